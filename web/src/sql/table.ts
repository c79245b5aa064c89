/** An answer of the lake as CSV, and as lines of a chart. */
import type { Answer } from "../types";

// Types are named as Arrow names them.
const NUMERIC = /^(u?int|float|halffloat|double|decimal)/;
const TIMES = /^(timestamp|date)/;

export const isNumeric = (type: string) => NUMERIC.test(type);
export const isTime = (type: string) => TIMES.test(type);

export function csv({ columns, rows }: Answer): string {
  const cell = (value: unknown) => {
    const text = value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns.map((column) => cell(column.name)), ...rows.map((row) => row.map(cell))].map((row) => row.join(",")).join("\r\n");
}

export interface Drawing {
  kind: "time" | "number" | "name";
  x: number[];
  /** Names of the places on the horizontal axis, where it holds names. */
  names: string[];
  lines: { label: string; values: (number | null)[] }[];
  left: number;
}

export interface Choice {
  x: string;
  y: string[];
  series: string | null;
}

/** A first choice for a chart: time or the first column across, numbers up, a text column as lines. */
export function firstChoice({ columns, rows }: Answer): Choice | null {
  const across = columns.find((column) => isTime(column.type)) ?? columns[0];
  const numbers = columns.filter((column) => column !== across && isNumeric(column.type));
  if (!across || !numbers.length) return null;
  const index = columns.indexOf(across);
  const repeated = new Set(rows.map((row) => row[index])).size < rows.length;
  const texts = columns.filter((column) => column !== across && !isNumeric(column.type) && !isTime(column.type));
  const series = repeated && texts[0] ? texts[0].name : null;
  const named = !isTime(across.type) && !isNumeric(across.type);
  return { x: across.name, y: numbers.slice(0, series || named ? 1 : 3).map((column) => column.name), series };
}

/** Gather rows into lines over one common axis; at most `most` lines, the number left out is told. */
export function draw(answer: Answer, choice: Choice, most: number): Drawing {
  const index = (name: string) => answer.columns.findIndex((column) => column.name === name);
  const [x, s] = [index(choice.x), choice.series === null ? -1 : index(choice.series)];
  const type = answer.columns[x]?.type ?? "";
  const kind = isTime(type) ? "time" : isNumeric(type) ? "number" : "name";
  const names = kind === "name" ? [...new Set(answer.rows.map((row) => String(row[x])))] : [];
  const rank = new Map(names.map((name, place) => [name, place]));
  const place = (value: unknown) =>
    kind === "time" ? Date.parse(String(value)) / 1000 : kind === "number" ? Number(value) : rank.get(String(value))!;

  const across = [...new Set(answer.rows.filter((row) => row[x] !== null).map((row) => place(row[x])))].sort((a, b) => a - b);
  const slot = new Map(across.map((at, position) => [at, position]));
  const lines = new Map<string, (number | null)[]>();
  let left = 0;
  for (const row of answer.rows) {
    const at = slot.get(place(row[x]));
    if (row[x] === null || at === undefined) continue;
    for (const y of choice.y) {
      const own = s < 0 ? y : choice.y.length > 1 ? `${row[s]} · ${y}` : String(row[s]);
      let line = lines.get(own);
      if (!line && lines.size >= most) {
        left += 1;
        continue;
      }
      if (!line) lines.set(own, (line = Array.from({ length: across.length }, () => null)));
      const value = row[index(y)];
      line[at] = value === null || value === undefined ? null : Number(value);
    }
  }
  return { kind, x: across, names, lines: [...lines].map(([label, values]) => ({ label, values })), left };
}
