/** SQL text cut into coloured pieces. */
export interface Piece {
  text: string;
  kind: "word" | "text" | "number" | "note" | "parameter" | "plain";
  wrong?: boolean;
}

const WORDS =
  "select|from|where|group|by|order|having|limit|offset|join|left|right|full|inner|outer|cross|lateral|on|using|as|and|or|not|in|is|null|like|ilike|between|case|when|then|else|end|distinct|with|union|all|except|intersect|asc|desc|interval|cast|true|false|over|partition|filter|exists|qualify|window|values|pivot|unpivot|asof|describe|summarize|explain|nulls|first|last";
const PATTERN = new RegExp(
  `(?<note>--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$))|(?<text>'(?:[^']|'')*'?)|(?<parameter>\\$\\w+)|(?<number>\\b\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?\\b)|(?<word>\\b(?:${WORDS})\\b)`,
  "gi",
);

export function pieces(sql: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of sql.matchAll(PATTERN)) {
    if (match.index > at) found.push({ text: sql.slice(at, match.index), kind: "plain" });
    const kind = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined)?.[0] ?? "plain";
    found.push({ text: match[0], kind: kind as Piece["kind"] });
    at = match.index + match[0].length;
  }
  found.push({ text: `${sql.slice(at)}\n`, kind: "plain" });
  return found;
}

/** The line that an error of the lake points at ("Look at line 2, column 5."), counted from 1. */
export function errorLine(remedy: string): number | null {
  const match = /\bline (\d+)\b/i.exec(remedy);
  return match ? Number(match[1]) : null;
}
