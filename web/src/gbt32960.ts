/** Calls about terminals of GB/T 32960, and about what authorities' platforms are told. */
import { call, send } from "./calls";
import type { Approval, Relay, TerminalAnswer, TerminalSessions, TerminalWanted, Waits } from "./types";
import type { Words } from "./words/en";

/** A terminal has ten seconds to answer; the zone says so where it does not. */
const ANSWER_MS = 20_000;

export const readTerminals = () => call<TerminalSessions>("/v1/gbt32960/sessions");
export const readRelays = () => call<{ relays: Relay[] }>("/v1/relays").then((answer) => answer.relays);
export const tellTerminal = (vehicle: string, wanted: TerminalWanted) =>
  send<TerminalAnswer | Waits>("POST", `/v1/vehicles/${encodeURIComponent(vehicle)}/gbt32960`, wanted, ANSWER_MS);

/** What terminals can be told to do, the harmless first. */
export const CONTROLS = ["sample", "alarm", "reset", "drop-link", "upgrade", "power-off", "factory"] as const;
export type Control = (typeof CONTROLS)[number];
const GRAVE = ["drop-link", "upgrade", "power-off", "factory"];

const SHARED = ["storage_period_ms", "report_period_s", "platform_length", "platform", "platform_port", "hardware", "software", "heartbeat_s"];
const MORE = ["terminal_timeout_s", "platform_timeout_s", "login_interval_min", "public_platform_length", "public_platform", "public_platform_port", "sampling"];

/** The parameters of a terminal of this edition. */
export const parametersOf = (edition: 2016 | 2025) => [
  ...SHARED,
  edition === 2016 ? "alarm_report_period_ms" : "alarm_report_period_s",
  ...MORE,
];
/** Those that are texts; all others are numbers. */
export const TEXTS = ["platform", "hardware", "software", "public_platform"];

/** Whether the zone will want a second person for this; it decides so itself, whatever is shown. */
export const isGrave = (wanted: TerminalWanted) =>
  wanted.act === "control"
    ? GRAVE.includes(wanted.control ?? "")
    : wanted.act === "set" && Object.keys(wanted.values ?? {}).some((name) => /^(public_)?platform($|_length$|_port$)/.test(name));

/** Whether an approval is of something that a terminal is told. */
export const isTold = (approval: Approval) => approval.action === "sendOrder" && "act" in approval.asked;

/** What a terminal would be told, in words. */
export function inWords(wanted: TerminalWanted, words: Words["terminals"]): string {
  const { act, control, level, text, values } = wanted;
  if (act === "control") return [words.controls[control ?? ""]?.[0] ?? control, level, text].filter((part) => part != null && part !== "").join(", ");
  const said = Object.entries(values ?? {}).map(([name, value]) => `${words.parameters[name] ?? name} = ${value}`);
  return [words.acts[act], said.join(", ")].filter(Boolean).join(": ");
}

/** Where a terminal is told something. */
export const tellLink = (vehicle: string) => `#/terminals?tell=${encodeURIComponent(vehicle)}`;
