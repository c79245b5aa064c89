/** The console's pages in the order and groups in which they are offered, and which acts open them. */
import type { PageName } from "./route.svelte";

export const FLEET = ["overview", "map", "vehicles", "sql", "plans"] as const satisfies PageName[];
/** What goes by GB/T 32960: terminals in, relays out. */
export const GBT32960 = ["terminals", "relays"] as const satisfies PageName[];
/** What planners make of what was recorded. */
export const RESEARCH = ["runs"] as const satisfies PageName[];
export const SAFETY = ["governance", "identity", "orders", "requests", "audit", "people"] as const satisfies PageName[];

export type Offered = (typeof FLEET)[number] | (typeof RESEARCH)[number] | (typeof GBT32960)[number] | (typeof SAFETY)[number];

/** One of these acts must be allowed to whoever opens a page; an empty list is open to everybody. */
export const NEEDS: Record<PageName, string[]> = {
  overview: ["readStatus"],
  map: ["readTwin"],
  vehicles: ["readVehicles"],
  sql: ["queryLake"],
  plans: ["readPlans"],
  research: ["readRecordings"],
  runs: ["readRecordings"],
  scenario: ["readRecordings"],
  gate: ["readRecordings"],
  terminals: ["readVehicles"],
  relays: ["readFlows"],
  safety: [],
  governance: ["readGovernance"],
  identity: ["readIdentity"],
  orders: ["readOrders"],
  requests: ["readRequests", "readReports"],
  audit: ["readAudit"],
  people: ["readPeople", "readApprovals"],
  account: [],
};

export const pageLink = (page: PageName) => (page === "overview" ? "#/" : `#/${page}`);
export const isResearch = (page: string) => ["research", "scenario", "gate"].includes(page) || RESEARCH.some((one) => one === page);
export const isSafety = (page: string) => page === "safety" || SAFETY.some((one) => one === page);
