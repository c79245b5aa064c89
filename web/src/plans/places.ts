/**
 * Where in the text of a plan a problem is.
 *
 * The zone names a problem by its key (`when`, `signals[3].band`, `[1].budget`), and within a condition by the character.
 * Here that is found again in the text as it was written, YAML or JSON.
 */
import type { Problem } from "./calls";

export interface Place {
  from: number;
  to: number;
}

/** A value in the text: where it is, and where each of its characters stands. */
interface Value extends Place {
  characters: number[];
}

const BETWEEN = /^---[ \t]*\r?$/gm;

export function placeOf(text: string, problem: Problem): Place | null {
  const many = /^\[(\d+)\]\.?(.*)$/s.exec(problem.key);
  const part = partOf(text, many ? Number(many[1]) : 0);
  const path = (many ? many[2]! : problem.key).split(".");
  if (!part) return null;
  if (!path[0]) return syntaxPlace(text, problem.message) ?? (many ? lineOf(text, part.from) : null);
  const [, name = "", index] = /^([^[]*)(?:\[(\d+)\])?$/.exec(path[0]) ?? [];
  let within = find(text, part, name);
  if (!within) return null;
  if (index !== undefined) {
    const item = itemOf(text, within.value, Number(index));
    if (!item) return within.key;
    within = path[1] ? find(text, item, path[1]) : { key: item, value: item };
    return within ? trimmed(text, { from: within.key.from, to: within.value.to }) : item;
  }
  if (problem.at === null) return trimmed(text, { from: within.key.from, to: firstLineEnd(text, within.value) });
  const { characters } = scalar(text, within.value);
  const from = characters[problem.at] ?? (characters.at(-1) ?? within.value.from) + 1;
  const last = characters[problem.at + Math.max(1, problem.length ?? 1) - 1];
  return { from, to: Math.max(from + 1, (last ?? from) + 1) };
}

export const lineAt = (text: string, at: number) => text.slice(0, at).split("\n").length;

function partOf(text: string, index: number): Place | null {
  const parts: Place[] = [];
  let from = 0;
  for (const match of text.matchAll(BETWEEN)) {
    parts.push({ from, to: match.index });
    from = match.index + match[0].length;
  }
  parts.push({ from, to: text.length });
  return parts.filter((part) => text.slice(part.from, part.to).trim())[index] ?? null;
}

/** YAML and JSON name the place where reading stopped: "line 3, column 5". */
function syntaxPlace(text: string, message: string): Place | null {
  const match = [...message.matchAll(/line (\d+),? column (\d+)/g)].at(-1);
  if (!match) return null;
  const lines = text.split("\n").slice(0, Number(match[1]) - 1);
  return lineOf(text, Math.min(text.length, lines.reduce((sum, line) => sum + line.length + 1, 0)));
}

function lineOf(text: string, at: number): Place {
  const from = text.lastIndexOf("\n", at - 1) + 1;
  const end = text.indexOf("\n", at);
  return trimmed(text, { from, to: end < 0 ? text.length : end });
}

function firstLineEnd(text: string, { from, to }: Place): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? to : Math.min(end, to);
}

function trimmed(text: string, { from, to }: Place): Place {
  while (to > from + 1 && /[\s,]/.test(text[to - 1]!)) to -= 1;
  while (from < to - 1 && /\s/.test(text[from]!)) from += 1;
  return { from, to };
}

/** Find a key within a part of the text: the key, and all that stands behind it until the next one beside it. */
function find(text: string, part: Place, name: string): { key: Place; value: Place } | null {
  const inside = text.slice(part.from, part.to);
  const flow = /^[\s-]*\{/.test(inside);
  const word = name.replace(/[^\w-]/g, "\\$&");
  const match = new RegExp(flow ? `(?<=[{,\\s])(["']?)${word}\\1\\s*:` : `^([ \\t-]*)(["']?)${word}\\2\\s*:`, "m").exec(inside);
  if (!match) return null;
  const skipped = flow ? 0 : match[1]!.length;
  const key = { from: part.from + match.index + skipped, to: part.from + match.index + match[0].length };
  const rest = text.slice(key.to, part.to);
  const next = flow ? flowEnd(rest) : rest.search(/\n(?=[^\s#-])/);
  return { key, value: { from: key.to, to: next < 0 ? part.to : key.to + next } };
}

/** Where a value of flow style ends: at the comma or bracket that is not its own. */
function flowEnd(rest: string): number {
  let depth = 0;
  let quote = "";
  for (const [at, one] of [...rest].entries()) {
    if (quote) quote = one === quote ? "" : quote;
    else if (one === '"' || one === "'") quote = one;
    else if ("[{".includes(one)) depth += 1;
    else if ("]}".includes(one) && --depth < 0) return at;
    else if (one === "," && depth === 0) return at;
  }
  return -1;
}

/** The n-th entry of a list, in block or flow style. */
function itemOf(text: string, list: Place, index: number): Place | null {
  const inside = text.slice(list.from, list.to);
  const open = /^\s*\[/.exec(inside);
  if (!open) {
    const starts = [...inside.matchAll(/^([ \t]*)-\s/gm)];
    const first = starts[0]?.[1]?.length;
    const mine = starts.filter((one) => one[1]!.length === first);
    const here = mine[index];
    if (!here) return null;
    return trimmed(text, { from: list.from + here.index + here[0].length, to: list.from + (mine[index + 1]?.index ?? inside.length) });
  }
  let from = open[0].length;
  for (let at = 0; ; at += 1) {
    const length = flowEnd(inside.slice(from));
    if (at === index) return trimmed(text, { from: list.from + from, to: list.from + from + Math.max(1, length) });
    if (length < 0 || inside[from + length] !== ",") return null;
    from += length + 1;
  }
}

/** A text value: plain, quoted, or a block; and where in the text each of its characters stands. */
function scalar(text: string, value: Place): Value {
  const inside = text.slice(value.from, value.to);
  const start = value.from + /^[ \t]*/.exec(inside)![0].length;
  const opens = text[start] ?? "";
  const characters: number[] = [];
  if (opens === '"' || opens === "'") {
    for (let at = start + 1; at < value.to && text[at] !== opens; at += 1) {
      if (opens === '"' && text[at] === "\\") at += 1;
      characters.push(at);
    }
    return { ...value, characters };
  }
  const block = /^[|>][-+\d]*[ \t]*\r?\n/.exec(text.slice(start, value.to));
  let from = block ? start + block[0].length : start;
  while (from < value.to) {
    const end = text.indexOf("\n", from);
    const to = end < 0 || end > value.to ? value.to : end;
    const indent = /^[ \t]*/.exec(text.slice(from, to))![0].length;
    const comment = block ? -1 : text.slice(from, to).search(/(^|\s)#/);
    const shown = text.slice(from + indent, comment < 0 ? to : from + comment).trimEnd();
    if (shown && characters.length) characters.push(from - 1);
    for (const [at] of [...shown].entries()) characters.push(from + indent + at);
    from = to + 1;
  }
  return { ...value, characters };
}
