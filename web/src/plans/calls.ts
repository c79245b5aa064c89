/** Calls about collection plans, and what a dry run answers. */
import { ApiError, call, send } from "../calls";
import type { components } from "../api";
import type { Refusal } from "../types";

type Schemas = components["schemas"];

export type Plan = Schemas["PlanShown"];
export type PlanListed = Schemas["PlanListed"];
export type PlanDocument = Plan["document"];
export type Problem = Schemas["Problem"];
export type PlanCheck = Schemas["PlanCheck"];
export type PlanOnCar = Schemas["PlanOnCar"];
export type PlansOnCar = Schemas["PlansOnCar"];
export type CarsOfPlan = Schemas["CarsOfPlan"];
export type CarOfPlan = Schemas["CarOfPlan"];
export type Standing = PlanOnCar["state"];
export type Desired = Schemas["DesiredList"];
export type AskedSignal = Schemas["AskedSignal"];

const id = encodeURIComponent;
const CHECK_MS = 20_000;
const TARGETS_MS = 120_000;

export const readPlans = () => call<Schemas["PlanTable"]>("/v1/plans").then((answer) => answer.plans);
export const readCarsOf = (name: string, version: number) => call<CarsOfPlan>(`/v1/plans/${id(name)}/cars?version=${version}`);
export const readPlansOn = (vehicle: string) => call<PlansOnCar>(`/v1/vehicles/${id(vehicle)}/plans`);
export const readDesired = (vehicle: string) => call<Desired>(`/v1/vehicles/${id(vehicle)}/desired`);
export const addPlan = (document: string) => send<{ plans: Plan[] }>("POST", "/v1/plans", { document }, CHECK_MS).then((answer) => answer.plans);
export const withdrawPlan = (name: string, version: number) => send<Plan>("POST", `/v1/plans/${id(name)}/withdraw`, { version });

const posted = (body: unknown, signal: AbortSignal): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

export const checkPlan = (document: string, signal: AbortSignal) => call<PlanCheck>("/v1/plans/check", posted({ document }, signal), CHECK_MS);
export const checkCondition = (text: string, signal: AbortSignal) =>
  call<Schemas["ConditionCheck"]>("/v1/conditions/check", posted({ text }, signal), CHECK_MS);

/** Which cars, in one of three ways. */
export type Targets = { vehicles: string[] } | { condition: string } | { sql: string };
export const readTargets = (targets: Targets) => send<{ vehicles: string[] }>("POST", "/v1/plans/targets", targets, TARGETS_MS).then((answer) => answer.vehicles);

export interface Progress {
  cars: number;
  done: number;
  firings: number;
}

export interface PlanTried {
  plan: string;
  version: number;
  budget_bytes: number;
  firings: number;
  cars_fired: number;
  known_share: number | null;
  most_bytes_a_day: number;
  moments: { vehicle: string; time: string }[];
  moments_left_out: number;
  days: { day: string; firings: number; cars: number; bytes: number; samples: number; cut_bytes: number; cut_samples: number }[];
  cars: { vehicle: string; firings: number; bytes: number; cut_bytes: number; known_share: number | null }[];
  unknown: { signal: string; why: string[] }[];
}

export interface Tried {
  cars: number;
  elapsed_s: number;
  plans: PlanTried[];
}

/** Try plans on history since a time, or on all of it; call back as it goes on. Raise ApiError where it fails. */
export async function tryPlans(document: string, since: string | null, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Tried> {
  const answer = await fetch("/v1/plans/try", posted(since ? { document, since } : { document }, signal)).catch((failure: unknown) => {
    if (signal.aborted) throw failure;
    throw new ApiError(0, "away", String(failure), "");
  });
  if (!answer.ok || !answer.body) {
    const { error } = (await answer.json().catch(() => ({}))) as Refusal;
    throw new ApiError(answer.status, error?.code ?? "error", error?.message ?? answer.statusText, error?.do ?? "");
  }
  for await (const [name, data] of events(answer.body)) {
    if (name === "progress") onProgress(data as Progress);
    if (name === "result") return data as Tried;
    if (name === "error") {
      const { error } = data as Required<Refusal>;
      throw new ApiError(answer.status, error.code, error.message, error.do);
    }
  }
  throw new ApiError(0, "away", "", "");
}

/** The server-sent events of a body: names and data. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<[string, unknown]> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const name = /^event: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (name && data) yield [name, JSON.parse(data)];
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
