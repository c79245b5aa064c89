/** Plans as text: writing a kept one out again, examples to begin with, and colours. */
import type { Piece } from "../sql/colouring";
import type { PlanDocument } from "./calls";
import type { Place } from "./places";

export const KEYS = ["plan", "version", "signals", "when", "before", "after", "interval", "priority", "purpose", "basis", "budget", "until", "upload"] as const;

const PLAIN = /^[A-Za-z][\w. °/%^+*<>=()-]*$/;

function scalar(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value);
  return (PLAIN.test(value) || /^\d[\w .:+-]*$/.test(value)) && !/^(true|false|yes|no|on|off|null)$/i.test(value) && !/^\d+(\.\d+)?$/.test(value)
    ? value
    : JSON.stringify(value);
}

const entry = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? `{${Object.entries(value)
        .map(([key, one]) => `${key}: ${scalar(one)}`)
        .join(", ")}}`
    : scalar(value);

/** Write a plan's document as YAML, its keys in the order in which one reads them. */
export function written(document: PlanDocument): string {
  const lines = KEYS.filter((key) => key in document).flatMap((key) => {
    const value = document[key];
    return Array.isArray(value) ? [`${key}:`, ...value.map((one) => `  - ${entry(one)}`)] : [`${key}: ${scalar(value)}`];
  });
  return `${lines.join("\n")}\n`;
}

/** A date-time in a year's time, for examples. */
const inAYear = () => `${new Date(Date.now() + 365 * 86_400_000).toISOString().slice(0, 10)}T00:00:00Z`;

/** What a plan is for, and why that is lawful, as the governance in force has it. */
export interface Lawful {
  purpose: string;
  basis: string;
}

export const EXAMPLES = {
  braking: ({ purpose, basis }: Lawful) => `plan: hard-braking
version: 1
priority: 1
signals:
  - Vehicle.Speed
  - Vehicle.Chassis.Brake.PedalPosition
  - {path: Vehicle.Chassis.Accelerator.PedalPosition, band: 2 percent}
when: rate of Vehicle.Speed < -9 km/h/s
before: 10 s
after: 10 s
interval: 1 min
purpose: ${purpose}
basis: ${basis}
budget: 2 MB
until: ${inAYear()}
`,
  battery: ({ purpose, basis }: Lawful) => `plan: battery-day
version: 1
priority: 9
signals:
  - {path: Vehicle.Powertrain.TractionBattery.StateOfCharge.Current, band: 0.5 percent}
  - {path: Vehicle.Powertrain.TractionBattery.Charging.IsCharging, change: true}
  - {path: Vehicle.Speed, every: 10 s}
purpose: ${purpose}
basis: ${basis}
budget: 500 kB
until: ${inAYear()}
upload: Vehicle.Speed = 0 km/h
`,
  fast: ({ purpose, basis }: Lawful) => `plan: fast-drive
version: 1
signals:
  - {path: Vehicle.Speed, every: 1 s}
  - {path: Vehicle.Powertrain.TractionBattery.StateOfCharge.Current, every: 10 s}
when: Vehicle.Speed > 90 km/h for at least 5 s
before: 5 s
after: 30 s
purpose: ${purpose}
basis: ${basis}
budget: 1 MB
until: ${inAYear()}
`,
} as const;

export type ExampleName = keyof typeof EXAMPLES;

const WORDS = "and|or|not|for|at|least|within|of|then|rising|falling|is|known|unknown|changed|by|over|rate|mean|min|max|count|abs|stale|after|true|false";
const PATTERN = new RegExp(
  `(?<note>(?:^|(?<=\\s))#[^\\n]*)|(?<word>^[ \\t-]*(?:${KEYS.join("|")}|path|every|change|band|curve)(?=\\s*:)|(?<=[{,]\\s*)(?:path|every|change|band|curve)(?=\\s*:)|(?<=:[^\\n]*\\s)(?:${WORDS})\\b)|(?<parameter>\\bVehicle(?:\\.\\w+)+)|(?<text>"[^"\\n]*"?)|(?<number>(?<![\\w.-])-?\\d+(?:\\.\\d+)?(?![\\w.:-]))`,
  "gm",
);

/** Cut a plan's text into coloured pieces, with what is wrong marked. */
export function pieces(text: string, wrong: readonly Place[]): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(PATTERN)) {
    if (match.index > at) found.push({ text: text.slice(at, match.index), kind: "plain" });
    const kind = Object.entries(match.groups ?? {}).find(([, one]) => one !== undefined)?.[0] ?? "plain";
    found.push({ text: match[0], kind: kind as Piece["kind"] });
    at = match.index + match[0].length;
  }
  found.push({ text: `${text.slice(at)}\n`, kind: "plain" });
  return marked(found, wrong);
}

function marked(found: readonly Piece[], wrong: readonly Place[]): Piece[] {
  const edges = [...new Set(wrong.flatMap((place) => [place.from, place.to]))].sort((a, b) => a - b);
  const cut: Piece[] = [];
  let at = 0;
  for (const piece of found) {
    const end = at + piece.text.length;
    const stops = [at, ...edges.filter((edge) => edge > at && edge < end), end];
    for (const [index, from] of stops.slice(0, -1).entries()) {
      const to = stops[index + 1]!;
      const bad = wrong.some((place) => place.from <= from && to <= place.to);
      cut.push({ text: piece.text.slice(from - at, to - at), kind: piece.kind, ...(bad ? { wrong: true } : {}) });
    }
    at = end;
  }
  return cut;
}
