// A real OpenID Connect provider for tests: `node provider.js PORT REDIRECT`. Whoever `login_hint` names is signed in at once.

import Provider from "oidc-provider";

const [port, redirect] = process.argv.slice(2);
const groups = { ann: ["cloud-engineers", "others"], ben: ["cloud-operators"], eve: [] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: "carcloud", client_secret: "a-secret-of-the-zone", redirect_uris: [redirect] },
    { client_id: "another", client_secret: "a-secret-of-another", redirect_uris: [redirect] },
  ],
  claims: { openid: ["sub", "groups", "amr"], profile: ["name", "email"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/login/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      groups: groups[id] ?? [],
      name: `${id} of elsewhere`,
      email: "ann@example.org",
    }),
  }),
  async loadExistingGrant(ctx) {
    const { client, account } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: account.accountId });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/login/")) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const who = params.login_hint ?? "ann";
  const login = { accountId: who, amr: who === "ben" ? ["pwd", "mfa"] : ["pwd"] };
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login });
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
