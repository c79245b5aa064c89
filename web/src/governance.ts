/** Reading a governance file as text: its colours, the line an error is about, and changes put together. */
import type { Piece } from "./sql/colouring";

const PATTERN = /(?<note>(?<=^|\s)#[^\n]*)|(?<text>(?<=[\s:[{,])(?:"[^"\n]*"?|'[^'\n]*'?))|(?<word>(?<=^[ \t]*(?:- )?|[{,] *)[\w-]+(?=:))|(?<number>(?<=[:[,] *)\d+(?:\.\d+)?(?=[\s,}\]]|$))/gm;

/** YAML cut into coloured pieces. */
export function yamlPieces(text: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(PATTERN)) {
    if (match.index > at) found.push({ text: text.slice(at, match.index), kind: "plain" });
    const kind = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined)?.[0] ?? "plain";
    found.push({ text: match[0], kind: kind as Piece["kind"] });
    at = match.index + match[0].length;
  }
  found.push({ text: `${text.slice(at)}\n`, kind: "plain" });
  return found;
}

/** The line, counted from 1, that a refusal of the file is about; null where it names none that is found. */
export function lineOf(message: string, text: string): number | null {
  const named = [...message.matchAll(/\bline (\d+)/g)].at(-1);
  if (named) return Number(named[1]);
  const lines = text.split("\n");
  const rule = /: rule (\d+)\b/.exec(message);
  if (rule) return nthRule(lines, Number(rule[1]));
  const key = /: purpose '([\w-]+)'/.exec(message)?.[1] ?? /unknown keys ([\w-]+)/.exec(message)?.[1] ?? /: (name|about|epoch|deadlines|purposes|rules)\b/.exec(message)?.[1];
  const index = key ? lines.findIndex((line) => line.trimStart().startsWith(`${key}:`)) : -1;
  return index < 0 ? null : index + 1;
}

function nthRule(lines: string[], number: number): number | null {
  const head = lines.findIndex((line) => /^rules:/.test(line));
  let indent: string | null = null;
  let count = 0;
  for (let index = head + 1; head >= 0 && index < lines.length; index++) {
    const dash = /^( *)-( |$)/.exec(lines[index] ?? "");
    if (!dash) continue;
    indent ??= dash[1] ?? "";
    if (dash[1] === indent && ++count === number) return index + 1;
  }
  return null;
}

/** Changes that are alike: what they are about, what was, and what will be. */
export interface Alike {
  subjects: string[];
  was: string;
  will: string;
}

/** Put the zone's sentences on a changed governance together; `more`: how many it did not list. */
export function alike(changes: readonly string[]): { groups: Alike[]; more: number } {
  const groups = new Map<string, Alike>();
  let more = 0;
  for (const change of changes) {
    const [, subject, was, will] = /^(.+?): (.*?) → (.*)$/s.exec(change) ?? [];
    const rest = /^and (\d+) more$/.exec(change);
    if (rest) more = Number(rest[1]);
    else {
      const key = subject === undefined ? change : `${was} → ${will}`;
      const group = groups.get(key) ?? { subjects: [], was: was ?? "", will: will ?? "" };
      group.subjects.push(subject ?? change);
      groups.set(key, group);
    }
  }
  return { groups: [...groups.values()], more };
}
