/** Calls about what is lawful, who may do what, and what was done. */
import { call, send } from "./calls";
import type { Consents, Governance } from "./types";

const id = encodeURIComponent;

export const readGovernance = () => call<Governance>("/v1/governance");
export const readConsents = (vehicle: string) => call<Consents>(`/v1/vehicles/${id(vehicle)}/consents`);
export const changeConsent = (vehicle: string, purpose: string, state: "given" | "withdrawn") =>
  send<Consents>("POST", `/v1/vehicles/${id(vehicle)}/consents`, { purpose, state });
