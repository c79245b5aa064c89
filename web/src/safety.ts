/** Calls about what is lawful, who may do what, and what was done. */
import { call, send } from "./calls";
import type { Checked, Checkpoint, ClaimGiven, Erasure, Flows, Governance, Grant, GrantsOf, GrantWanted, LeafDetail, LeafPage, PersonRequest, PersonRequests, Report, ReportKind, VehicleIdentities, Waits, ZoneIdentities, ZoneObject } from "./types";

const id = encodeURIComponent;

export const readGovernance = () => call<Governance>("/v1/governance");
export const readGrants = (vehicle: string) => call<GrantsOf>(`/v1/vehicles/${id(vehicle)}/grants`);
export const giveGrant = (vehicle: string, wanted: GrantWanted) => send<Grant>("POST", `/v1/vehicles/${id(vehicle)}/grants`, wanted);
export const revokeGrant = (vehicle: string, grant: string) => send<Grant>("DELETE", `/v1/vehicles/${id(vehicle)}/grants/${id(grant)}`);

export const readFlows = () => call<Flows>("/v1/flows");
export const readZone = () => call<ZoneObject>("/v1/zone");

/** Reading a file against a large catalogue, or counting rows for a report, takes longer than other calls. */
const LONG_MS = 60_000;
export const checkGovernance = (text: string) => send<Checked>("POST", "/v1/governance/check", { text }, LONG_MS);
export const changeGovernance = (text: string) => send<Checked | Waits>("POST", "/v1/governance", { text }, LONG_MS);

export const readRequests = () => call<PersonRequests>("/v1/requests");
export const addRequest = (asked: { kind: PersonRequest["kind"]; vehicle: string | null; reference: string; received: string }) =>
  send<PersonRequest>("POST", "/v1/requests", asked);
export const closeRequest = (request: string, outcome: "done" | "refused", why: string) =>
  send<PersonRequest>("POST", `/v1/requests/${id(request)}/close`, { outcome, why });

export const reportLink = (kind: ReportKind, language: string, year: number, markdown: boolean) =>
  `/v1/reports/${kind}?${new URLSearchParams({ language, year: String(year), ...(markdown ? { markdown: "true" } : {}) })}`;
export const readReport = (kind: ReportKind, language: string, year: number) =>
  call<Report>(reportLink(kind, language, year, false), {}, LONG_MS);

export const readErasures = () => call<{ erasures: Erasure[] }>("/v1/erasures").then((answer) => answer.erasures);
export const eraseVehicle = (vehicle: string) => send<Erasure>("POST", `/v1/vehicles/${id(vehicle)}/erase`);

export const readIdentity = () => call<ZoneIdentities>("/v1/identity");
export const readVehicleIdentity = (vehicle: string) => call<VehicleIdentities>(`/v1/vehicles/${id(vehicle)}/identity`);
export const makeClaim = (car: { vin: string; label: string | null; hours: number; serial_hash: string | null }) =>
  send<ClaimGiven>("POST", "/v1/claims", car);
export const changeIdentity = (vehicle: string, act: "quarantine" | "release" | "revoke" | "retire") =>
  send<{ vehicle: string; state: string }>("POST", `/v1/vehicles/${id(vehicle)}/${act}`);
export const rekey = (vehicle: string, hours: number) =>
  send<ClaimGiven>("POST", `/v1/vehicles/${id(vehicle)}/rekey`, { hours, serial_hash: null });

export const readLeaves = (query: URLSearchParams) => call<LeafPage>(`/v1/audit?${query}`);
export const readLeaf = (number: number) => call<LeafDetail>(`/v1/audit/${number}`);
export const readCheckpoint = () => call<Checkpoint>("/v1/audit/checkpoint");
