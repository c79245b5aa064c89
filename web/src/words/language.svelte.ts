/** The language of the console: the browser's at first, then the one chosen. */
import { en, type Words } from "./en";
import { zh } from "./zh";

export type Code = "en" | "zh";
const KEY = "carcloud.language";

function first(): Code {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.languages.find((name) => /^(en|zh)/.test(name))?.startsWith("zh") ? "zh" : "en";
}

class Language {
  code = $state<Code>(first());
  words = $derived<Words>(this.code === "zh" ? zh : en);

  choose(code: Code): void {
    this.code = code;
    localStorage.setItem(KEY, code);
  }
}

export const language = new Language();
