/** The gate's checks in words: what each is about, what it found and what it allows. */
import type { language } from "../words/language.svelte";
import type { Check } from "./document";
import { points, told } from "./shown";

type Words = typeof language.words.runs;

export function checkName(name: string, w: Words): string {
  const [kind = "", what = ""] = name.split(" ", 2);
  if (kind === "rate") return w.moreOften(w.rateNames[what] ?? what);
  if (kind === "ratio") return w.measures[what]?.[0] ?? what;
  return w.checkNames[name] ?? name;
}

/** What a check found, and what its limit is. */
export function checkValues(check: Check, w: Words): [string, string] {
  const { name, found, limit } = check;
  if (name.startsWith("rate ") && typeof found === "number" && typeof limit === "number")
    return [w.pointsMore(points(found)), w.atMost(points(limit))];
  if (name.startsWith("ratio ")) return [w.times(told(found)), w.atMost(w.times(told(limit)))];
  if (name === "progress") return [w.times(told(found)), w.atLeast(w.times(told(limit)))];
  if (name === "R157 competence") return [w.cutIns(told(found)), w.atMost(told(limit))];
  return [w.scenariosN(told(found)), w.atMost(told(limit))];
}
