/** Calls about oneself, the people of the zone, and what waits for a second one. */
import { call, send } from "./calls";
import type { Added, Approval, Factor, Link, MadeToken, Person, Role, Self, Token, Waits } from "./types";

const id = encodeURIComponent;

export const setPassword = (present: string, fresh: string) =>
  send<Self>("POST", "/v1/session/password", { present, new: fresh });
export const beginFactor = (password: string) => send<Factor>("POST", "/v1/session/factor", { password });
export const confirmFactor = (code: string) => send<Self>("POST", "/v1/session/factor/confirm", { code });
export const removeFactor = (password: string, code: string) =>
  send<Self>("POST", "/v1/session/factor/remove", { password, code });

export const readPeople = () => call<{ people: Person[] }>("/v1/people").then((answer) => answer.people);
export const readRoles = () => call<{ roles: Role[] }>("/v1/roles").then((answer) => answer.roles);
export const addPerson = (person: { login: string; name: string; roles: string[] }) =>
  send<Added | Waits>("POST", "/v1/people", person);
export const changePerson = (person: string, change: Record<string, unknown>) =>
  send<Person | Waits>("PATCH", `/v1/people/${id(person)}`, change);
export const makeLink = (person: string) => send<Link | Waits>("POST", `/v1/people/${id(person)}/link`);

export const readTokens = () => call<{ tokens: Token[] }>("/v1/tokens").then((answer) => answer.tokens);
export const makeToken = (name: string, roles: string[], days: number) =>
  send<MadeToken>("POST", "/v1/tokens", { name, roles, days });
export const revokeToken = (token: string) => send<void>("DELETE", `/v1/tokens/${id(token)}`);

export const readApprovals = () => call<{ approvals: Approval[] }>("/v1/approvals").then((answer) => answer.approvals);
export const decide = (approval: string, decision: "approve" | "refuse") =>
  send<Approval>("POST", `/v1/approvals/${id(approval)}`, { decision });

/** Whether nothing was done yet, because a second person has to approve it. */
export const waits = (answer: object): answer is Waits => "approval" in answer;

/** Do what was approved: the same again, as it was asked. */
export function doApproved(approval: Approval): Promise<Added | Person | Link | Waits> {
  const person = approval.object.replace(/^person:/, "");
  if (person === "new") return addPerson(approval.asked as Parameters<typeof addPerson>[0]);
  if (approval.asked["link"]) return makeLink(person);
  return changePerson(person, approval.asked);
}
