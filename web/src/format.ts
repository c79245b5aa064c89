/** Numbers, sizes and times as a reader wants them. */
import { language } from "./words/language.svelte";

const formats = new Map<string, Intl.NumberFormat>();

function number(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = language.code + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(language.code === "zh" ? "zh-CN" : "en-GB", options)));
  return format;
}

export const whole = (value: number | null | undefined) =>
  value == null ? "–" : number({ maximumFractionDigits: 0 }).format(value);

/** At most four significant digits, thousands and more shortened (12.3k, 4.5M). */
export function short(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]] as const)
    if (Math.abs(value) >= limit) return `${number({ maximumSignificantDigits: 3 }).format(value / (unit === "k" ? 1e3 : limit))}${unit}`;
  return number({ maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0 }).format(value);
}

/** A label of an axis whose labels lie `step` apart: as many decimals as tell them apart. */
export function axisLabel(value: number, step: number): string {
  if (Math.abs(value) >= 1e4) return short(value);
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  return number({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value === 0 ? 0 : value);
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step++) value /= 1024;
  return `${number({ maximumSignificantDigits: 3 }).format(value)} ${units[step]}`;
}

/** A size as plans write their budgets: in thousands. */
export function size(value: number | null | undefined): string {
  if (value == null) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let step = 0;
  for (; value >= 1000 && step < units.length - 1; step++) value /= 1000;
  return `${number({ maximumSignificantDigits: 3 }).format(value)} ${units[step]}`;
}

export function seconds(value: number | null | undefined): string {
  if (value == null) return "–";
  if (Math.abs(value) < 1) return `${number({ maximumSignificantDigits: 3 }).format(value * 1000)} ms`;
  return `${number({ maximumSignificantDigits: 3 }).format(value)} s`;
}

/** A length of time in its two largest units. */
export function span(value: number): string {
  const s = Math.max(0, Math.floor(value));
  const { units } = language.words;
  if (s < 60) return `${s} ${units.s}`;
  if (s < 3600) return `${Math.floor(s / 60)} ${units.min} ${s % 60} ${units.s}`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${units.h} ${Math.floor((s % 3600) / 60)} ${units.min}`;
  return `${Math.floor(s / 86400)} ${units.d} ${Math.floor((s % 86400) / 3600)} ${units.h}`;
}

const pad = (value: number, width = 2) => String(value).padStart(width, "0");

export function clock(iso: string | null | undefined): string {
  if (!iso) return "–";
  const at = new Date(iso);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function dateTime(iso: string | null | undefined): string {
  if (!iso) return "–";
  const at = new Date(iso);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(iso)}`;
}

export const ageSeconds = (iso: string, now: number) => (now - Date.parse(iso)) / 1000;

/** A signal's value: numbers to at most six digits, truths as words. */
export function signalValue(value: unknown, yes: string, no: string): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? yes : no;
  if (value === 0) return "0";
  if (typeof value === "number")
    return Number.isInteger(value)
      ? number({ useGrouping: Math.abs(value) >= 1e5 }).format(value)
      : number({ maximumSignificantDigits: Math.abs(value) >= 100 ? 7 : 5, useGrouping: false }).format(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

const SYMBOLS: Record<string, string> = {
  percent: "%",
  degrees: "°",
  celsius: "°C",
  "m/s^2": "m/s²",
  "degrees/s": "°/s",
  "cm^3": "cm³",
};

export const unitSymbol = (unit: string | null | undefined) => (unit ? (SYMBOLS[unit.toLowerCase()] ?? unit) : "");
