/** What the API says, as the pages use it. */
export type Provenance = "measured" | "replay" | "simulated";
export type Value = number | string | boolean | null | unknown[];

export interface Alarm {
  code: string;
  message: string;
  do: string;
  since: string;
}

export interface ZonePart {
  state: string;
  pid: number | null;
  since: string | null;
  restarts: number;
}

export interface Spread {
  p50: number | null;
  p99: number | null;
}

export interface Status {
  zone: string;
  tenant: string;
  at: string;
  personal_data: boolean;
  stream: {
    batches: number;
    samples_in: number;
    samples_kept: number;
    refused: Record<string, number>;
    quarantined: number;
    chunks: number;
    raw_waiting: number;
    raw_bytes: number;
    governed_bytes: number;
  };
  delay: { twin_s: Spread; lake_s: Spread };
  lake: { rows: number; bytes: number; files: number; version: number };
  vehicles: { enrolled: number; connected: number; reporting: number };
  parts: Record<string, ZonePart>;
  alarms: Alarm[];
}

type Series = (number | null)[];

export interface History {
  at: string[];
  samples_in_s: Series;
  samples_kept_s: Series;
  refused_s: Series;
  twin_delay_s: Series;
  lake_delay_s: Series;
  lake_rows: Series;
}

export interface Vehicle {
  id: string;
  vin: string;
  label: string | null;
  state: string;
  enrolled_at: string;
  last_seen: string | null;
  signals: number;
}

export interface VehicleDetail extends Vehicle {
  certificate: { serial: string; not_after: string } | null;
  provenance: Provenance | null;
  clock_offset_s: number | null;
}

export interface VehiclePage {
  vehicles: Vehicle[];
  next: string | null;
}

export interface Signal {
  value: Value;
  unit?: string | null;
  time: string;
  age_s?: number | null;
  provenance: Provenance;
}

export interface VehicleSignals {
  vehicle: string;
  at: string;
  signals: Record<string, Signal>;
}

export interface FleetSignals {
  at: string;
  paths: string[];
  vehicles: {
    id: string;
    label: string | null;
    values: Value[];
    times: (string | null)[];
    provenance: (Provenance | null)[];
  }[];
}

export interface SignalEvent {
  vehicle: string;
  signals: Record<string, Signal>;
}

export interface CatalogueSignal {
  path: string;
  type: string;
  unit: string | null;
  min: number | null;
  max: number | null;
  kind: string;
  description: string;
  retired: boolean;
}

export interface Answer {
  columns: { name: string; type: string }[];
  rows: Value[][];
  truncated: boolean;
  elapsed_s: number;
}

export interface LakeTable {
  name: string;
  columns: { name: string; type: string; description: string }[];
}

export interface QuarantineEntry {
  id: string;
  at: string;
  vehicle: string;
  cause: string;
  detail: string;
  bytes: number;
}

export interface QuarantineDetail extends QuarantineEntry {
  payload_base64: string;
  decoded: unknown;
}
