/** What the API says, by the names the pages use; the shapes are generated from the API itself. */
import type { components } from "./api";

type Schemas = components["schemas"];

export type Status = Schemas["Status"];
export type History = Schemas["StatusHistory"];
export type Vehicle = Schemas["Vehicle"];
export type VehicleDetail = Schemas["VehicleDetail"];
export type VehiclePage = Schemas["VehiclePage"];
export type VehicleSignals = Schemas["VehicleSignals"];
export type FleetSignals = Schemas["FleetSignals"];
export type Catalogue = Schemas["Signals"];
export type Question = Schemas["Question"];
export type Answer = Schemas["Rows"];
export type LakeTable = Schemas["Table"];
export type Tables = Schemas["Tables"];
export type Quarantine = Schemas["Entries"];
export type QuarantineEntry = Schemas["Entry"];
export type QuarantineDetail = Schemas["EntryDetail"];
export type Governance = Schemas["Governance"];
export type GovernanceRule = Schemas["RuleShown"];
export type GrantsOf = Schemas["GrantsOf"];
export type Grant = Schemas["GrantShown"];
export type GrantWanted = Partial<Schemas["GrantWanted"]> & Pick<Schemas["GrantWanted"], "grantee" | "purpose">;
export type ConsentState = Schemas["ConsentState"];
export type CatalogueSignal = Catalogue["signals"][number];
export type Self = Schemas["Self"];
export type Ways = Schemas["Ways"];
export type Factor = Schemas["Factor"];
export type Person = Schemas["Person"];
export type Role = Schemas["Role"];
export type Link = Schemas["Link"];
export type Added = Schemas["Added"];
export type Waits = Schemas["Waits"];
export type Approval = Schemas["ApprovalShown"];
export type Token = Schemas["Token"];
export type MadeToken = Schemas["MadeToken"];
export type ZoneIdentities = Schemas["ZoneIdentities"];
export type VehicleIdentities = Schemas["VehicleIdentities"];
export type ClaimGiven = Schemas["ClaimGiven"];
export type IdentityClaim = Schemas["ClaimShown"];
export type Suspicion = Schemas["SuspicionShown"];
export type CarCertificate = Schemas["CertificateOfCar"];
export type Flows = Schemas["FlowList"];
export type ZoneObject = Schemas["Zone"];
export type Meter = Schemas["MeterShown"];
export type Leaf = Schemas["Leaf"];
export type LeafPage = Schemas["LeafPage"];
export type LeafDetail = Schemas["LeafDetail"];
export type Checkpoint = Schemas["Checkpoint"];
export type Order = Schemas["OrderShown"];
export type SignerKey = Schemas["KeyShown"];
export type PairedKey = Schemas["Paired"];
export type PersonRequest = Schemas["RequestShown"];
export type PersonRequests = Schemas["Requests"];
export type Report = Schemas["ReportShown"];
export type ReportKind = "processing" | "impact" | "annual";
export type Checked = Schemas["Checked"];
export type Erasure = Schemas["ErasureShown"];
export type TerminalSessions = Schemas["TerminalSessions"];
export type TerminalSession = Schemas["TerminalSession"];
export type TerminalWanted = Partial<Schemas["TerminalWanted"]> & Pick<Schemas["TerminalWanted"], "act">;
export type TerminalAnswer = Schemas["TerminalAnswer"];
export type Relay = Schemas["RelayShown"];
export type Refusal = Partial<Schemas["ErrorBody"]>;

/** A value of a signal; its age is known only where it was asked for, not where it arrived live. */
export type Signal = Omit<Schemas["AgedValue"], "age_s">;

/** One live event; the API describes its stream in words only. */
export interface SignalEvent {
  vehicle: string;
  signals: Record<string, Signal>;
}

export const PROVENANCES = ["measured", "replay", "simulated"] as const;
export type Provenance = (typeof PROVENANCES)[number];
export const isProvenance = (text: unknown): text is Provenance => PROVENANCES.some((one) => one === text);
