/** Calls to the zone's API, and its one shape of error. */
import type {
  Answer,
  Catalogue,
  FleetSignals,
  History,
  Quarantine,
  QuarantineDetail,
  Question,
  Refusal,
  Status,
  Tables,
  VehicleDetail,
  VehiclePage,
  VehicleSignals,
} from "./types";

/** What the API refused, and what it says to do about it; status 0 means that it did not answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly remedy: string,
  ) {
    super(message);
  }
}

/** Ask the API, and return what it answers. Raise ApiError where it refuses, or does not answer. */
export async function call<T>(path: string, options: RequestInit = {}, timeoutMs = 8000): Promise<T> {
  const signals = [AbortSignal.timeout(timeoutMs), ...(options.signal ? [options.signal] : [])];
  let response: Response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.any(signals) });
  } catch (failure) {
    if (options.signal?.aborted) throw failure;
    throw new ApiError(0, "away", String(failure), "");
  }
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T;
  const { error } = (await response.json().catch(() => ({}))) as Refusal;
  throw new ApiError(response.status, error?.code ?? "error", error?.message ?? response.statusText, error?.do ?? "");
}

/** Send the API something to do. */
export const send = <T>(method: "POST" | "PATCH" | "DELETE", path: string, body?: unknown, timeoutMs = 15_000) =>
  call<T>(
    path,
    { method, ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }) },
    timeoutMs,
  );

const id = encodeURIComponent;

export const readStatus = () => call<Status>("/v1/status", {}, 5000);
export const readHistory = () => call<History>("/v1/status/history");
export const readVehicle = (vehicle: string) => call<VehicleDetail>(`/v1/vehicles/${id(vehicle)}`);
export const readSignals = (vehicle: string) => call<VehicleSignals>(`/v1/vehicles/${id(vehicle)}/signals`);
export const readFleet = (paths: readonly string[], limit: number) =>
  call<FleetSignals>(`/v1/signals?paths=${paths.map(id).join(",")}&limit=${limit}&datum=map`);
export const readCatalogue = () => call<Catalogue>("/v1/catalogue");
export const readTables = () => call<Tables>("/v1/lake/tables");
export const readQuarantine = () => call<Quarantine>("/v1/quarantine?limit=100");
export const readQuarantined = (entry: string) => call<QuarantineDetail>(`/v1/quarantine/${id(entry)}`);
export const readVehicles = (after: string | null, limit: number) =>
  call<VehiclePage>(`/v1/vehicles?limit=${limit}${after ? `&after=${id(after)}` : ""}`);

/** Return the zone's base map as GeoJSON, or null where none is configured. */
export async function readMap(): Promise<GeoJSON.FeatureCollection | null> {
  try {
    return await call<GeoJSON.FeatureCollection>("/v1/map");
  } catch (failure) {
    if (failure instanceof ApiError && failure.status === 404) return null;
    throw failure;
  }
}

/** Run one read-only statement in the lake; parameters are named `$name` in it. */
export const runSql = (
  sql: string,
  options: { parameters?: Record<string, string | number>; limit?: number; signal?: AbortSignal } = {},
) =>
  call<Answer>(
    "/v1/lake/sql",
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql, parameters: options.parameters ?? {}, limit: options.limit ?? 10_000 } satisfies Question),
      ...(options.signal ? { signal: options.signal } : {}),
    },
    120_000,
  );
