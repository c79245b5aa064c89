/** Calls about one scenario: what is known of it, who was where, on which lanes, and as runs drove it. */
import type { components } from "../api";
import { call } from "../calls";

type Schemas = components["schemas"];

export type About = Schemas["ScenarioAbout"];
export type Motion = Schemas["MotionShown"];
export type Driven = Schemas["DrivenMotion"];
export type Moving = Schemas["UserMotion"];
export type Lane = Schemas["LaneShown"];
export type Features = Schemas["FeaturesOfTrack"];

const READ_MS = 60_000;
const id = encodeURIComponent;

export const readAbout = (scenario: string) => call<About>(`/v1/scenarios/${id(scenario)}`, {}, READ_MS);
export const readMotion = (scenario: string) => call<Motion>(`/v1/scenarios/${id(scenario)}/motion`, {}, READ_MS);
export const readLanes = (scenario: string) => call<Schemas["Lanes"]>(`/v1/scenarios/${id(scenario)}/lanes`, {}, READ_MS).then((answer) => answer.lanes);
export const readFeatures = (scenario: string, track: number) =>
  call<Schemas["FeatureColumns"]>(`/v1/scenarios/${id(scenario)}/features?tracks=${track}`, {}, READ_MS).then((answer) => answer.tracks[0] ?? null);
export const readDriven = (run: string, scenario: string) => call<Driven>(`/v1/runs/${id(run)}/scenarios/${id(scenario)}/motion`, {}, READ_MS);
