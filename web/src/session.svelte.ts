/** Who looks at these pages, and what they may do. */
import { ApiError, call, send } from "./calls";
import { NEEDS } from "./pages";
import type { PageName } from "./route.svelte";
import type { Self } from "./types";

class Session {
  /** Null while nobody is known to be here. */
  me = $state.raw<Self | null>(null);
  askedAt = 0;

  /** Ask the zone who this is. Raise ApiError with status 401 where it knows nobody. */
  async ask(): Promise<void> {
    this.me = await call<Self>("/v1/session");
    this.askedAt = Date.now();
  }

  async signIn(login: string, password: string, code: string): Promise<void> {
    this.me = await send<Self>("POST", "/v1/session", { login, password, code });
  }

  async signOut(): Promise<void> {
    await send("DELETE", "/v1/session");
    this.me = null;
  }

  may(action: string): boolean {
    return this.me?.may.includes(action) ?? false;
  }

  /** Whether a second factor would open this. */
  mayWithFactor(action: string): boolean {
    return this.me?.may_with_factor.includes(action) ?? false;
  }

  opens(page: PageName): boolean {
    return NEEDS[page].length === 0 || NEEDS[page].some((action) => this.may(action));
  }
}

export const session = new Session();

/** How long the zone wants one to wait after too many attempts, in seconds; 0 where it does not. */
export function waitOf(error: unknown): number {
  return error instanceof ApiError && error.status === 429 ? Number(/(\d+) s/.exec(error.remedy)?.[1] ?? 1) : 0;
}
