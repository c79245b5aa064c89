/** Calls about runs of planners, the gate's verdicts and candidates. */
import type { components } from "../api";
import { call, send } from "../calls";

type Schemas = components["schemas"];

export type Run = Schemas["RunShown"];
export type RunWhole = Schemas["RunWhole"];
export type Measure = Schemas["MeasureShown"];
export type Result = Schemas["ResultShown"];
export type ResultPage = Schemas["ResultPage"];
export type Outcome = Result["outcome"];
export type Beside = Schemas["Beside"];
export type Pair = Schemas["PairShown"];
export type Gate = Schemas["GateShown"];
export type GateWhole = Schemas["GateWhole"];
export type Errand = Schemas["ErrandShown"];
export type RunWanted = Schemas["RunWanted"];
export type Candidate = Schemas["CandidateShown"];

export const WHICH = ["all", "amiss", "collided", "at_fault", "near", "off_road", "fault", "fine"] as const;
export const ORDERS = ["scenario", "collided_s", "least_ttc_s", "least_thw_s", "least_distance_m", "most_deceleration_mps2", "most_jerk_mps3", "comfortable_share", "progress_m"] as const;
export const TURNS = ["changed", "worse", "better", "all"] as const;
export const PLANNERS = ["idm", "log", "constant-speed", "r157-cc-human", "r157-reg157", "r157-rss", "r157-fsm"] as const;
export const TRAFFIC = ["log", "idm", "constant"] as const;
export const PAGE = 50;

const id = encodeURIComponent;
const READ_MS = 60_000;

export const readRuns = () => call<Schemas["RunList"]>("/v1/runs", {}, READ_MS).then((answer) => answer.runs);
export const readRun = (run: string) => call<RunWhole>(`/v1/runs/${id(run)}`, {}, READ_MS);
export const readResults = (run: string, asked: { which: string; order: string; text: string; offset: number }) =>
  call<ResultPage>(`/v1/runs/${id(run)}/scenarios?which=${id(asked.which)}&order=${id(asked.order)}&text=${id(asked.text)}&offset=${asked.offset}&limit=${PAGE}`, {}, READ_MS);
export const readBeside = (run: string, other: string, turn: string, offset: number) =>
  call<Beside>(`/v1/runs/${id(run)}/beside/${id(other)}?turn=${id(turn)}&offset=${offset}&limit=${PAGE}`, {}, READ_MS);

export const readGates = () => call<Schemas["GateList"]>("/v1/gates").then((answer) => answer.gates);
export const readGate = (digest: string) => call<GateWhole>(`/v1/gates/${id(digest)}`, {}, READ_MS);
export const askRun = (wanted: Partial<RunWanted> & { planner: string }) => send<Errand>("POST", "/v1/runs", wanted);
export const askGate = (baseline: string, candidate: string, limits: string) => send<Errand>("POST", "/v1/gates", { baseline, candidate, limits });
export const readLimits = () => call<Schemas["LimitsShown"]>("/v1/gates/limits").then((answer) => answer.text);
export const readErrands = () => call<Schemas["ErrandList"]>("/v1/errands").then((answer) => answer.errands);
export const stopErrand = (errand: string) => send<Errand>("POST", `/v1/errands/${id(errand)}/stop`);
export const readImported = () => call<Schemas["RecordingList"]>("/v1/recordings?state=imported").then((answer) => answer.recordings);

export const readCandidates = () => call<Schemas["CandidateList"]>("/v1/candidates").then((answer) => answer.candidates);
export const withdrawCandidate = (digest: string) => send<Candidate>("POST", `/v1/candidates/${id(digest)}/withdraw`);
