/** What a verdict says, as its document has it; a number that is infinite is a word there. */
export type Told = number | string | null;

export interface Check {
  name: string;
  passed: boolean;
  found: Told;
  limit: Told;
  p?: number;
}

export interface Rate {
  baseline: number;
  candidate: number;
  worse: number;
  better: number;
  p: number;
  estimate: number;
  low: number;
  high: number;
}

export interface Ratio {
  baseline: number | null;
  candidate: number | null;
  scenarios: number;
  estimate: Told;
  low: Told;
  high: Told;
}

export interface NewlyRow {
  scenario: string;
  collided_s: number | null;
  collided_how: string | null;
  at_fault: boolean | null;
  fault: string;
  least_ttc_s: Told;
}

export interface Side {
  run: string;
  planner: string;
  planner_hash: string;
  digest: string;
  software_version: string;
}

export interface VerdictDocument {
  passed: boolean;
  baseline: Side;
  candidate: Side;
  scenarios: { count: number; hash: string; query: string; query_hash: string };
  settings: Record<string, unknown>;
  software_version: string;
  limits: Record<string, unknown> & { hash: string; confidence: number; p: number };
  checks: Check[];
  rates: Record<string, Rate>;
  ratios: Record<string, Ratio>;
  newly: Record<"collided" | "fault" | "passed", { count: number; first: NewlyRow[] }>;
  competence: { scenarios: number; avoidable: number; missed: Record<string, number>[] } | null;
}
