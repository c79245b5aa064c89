/** Numbers of runs and verdicts as a reader wants them. */
import { scenarioLink } from "../route.svelte";
import type { Outcome } from "./calls";
import type { Told } from "./document";

/** How long before a collision the viewer begins. */
const BEFORE_S = 2;

export const TONES: Record<Outcome, string> = { fine: "good", off_road: "warn", collided: "bad", fault: "bad" };

/** What arithmetic leaves where there is nothing. */
const NOTHING = 1e-9;
const SMALL = 1e-4;
const LARGE = 1e6;

/** At most three significant digits; what never comes, or is not known, is a dash. */
export function told(value: Told | undefined, never = "∞"): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value === "never" ? never : value;
  const size = Math.abs(value);
  if (size < NOTHING) return "0";
  if (size < SMALL || size >= LARGE) return value.toExponential(1);
  return size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)} %`;
export const points = (share: number) => `${share > 0 ? "+" : ""}${(100 * share).toFixed(1)}`;

/** Where a result is looked at: shortly before it went wrong, if it did. */
export const seen = (run: string, scenario: string, collided: number | null, beside = "") =>
  scenarioLink(scenario, { run, ...(beside ? { beside } : {}), ...(collided === null ? {} : { at: Math.max(0, Number((collided - BEFORE_S).toFixed(1))) }) });

export const brief = (hash: string) => hash.slice(0, 12);
