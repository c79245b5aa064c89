/** The page shown, read from and written to the address's fragment: `#/vehicles/ID/grants?signals=…`. */
const PAGES = {
  "": "overview",
  map: "map",
  vehicles: "vehicles",
  sql: "sql",
  plans: "plans",
  research: "research",
  runs: "runs",
  scenarios: "scenario",
  gates: "gate",
  terminals: "terminals",
  relays: "relays",
  safety: "safety",
  governance: "governance",
  identity: "identity",
  orders: "orders",
  requests: "requests",
  audit: "audit",
  people: "people",
  account: "account",
} as const;

export type PageName = (typeof PAGES)[keyof typeof PAGES];

export interface Route {
  page: PageName | "nowhere";
  /** What the page is about, such as a vehicle, and which side of it. */
  of: string | null;
  side: string | null;
  query: URLSearchParams;
}

function parse(fragment: string): Route {
  const [path = "", query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const [first = "", second, third] = path.split("/").filter(Boolean);
  return {
    page: Object.hasOwn(PAGES, first) ? PAGES[first as keyof typeof PAGES] : "nowhere",
    of: second ? decodeURIComponent(second) : null,
    side: third ? decodeURIComponent(third) : null,
    query: new URLSearchParams(query),
  };
}

class Address {
  now = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => (this.now = parse(location.hash)));
  }

  /** Write query parts into the address without a new step in the browser's history; null takes one away. */
  note(parts: Record<string, string | null>): void {
    const query = new URLSearchParams(this.now.query);
    for (const [name, value] of Object.entries(parts)) value ? query.set(name, value) : query.delete(name);
    const path = location.hash.split("?", 1)[0] || "#/";
    const text = query.toString();
    history.replaceState(null, "", text ? `${path}?${text}` : path);
    this.now = parse(location.hash);
  }
}

export const planLink = (name: string, version: number | null = null) => `#/plans/${encodeURIComponent(name)}${version === null ? "" : `?version=${version}`}`;
export const address = new Address();
export const runLink = (run: string) => `#/runs/${encodeURIComponent(run)}`;
export const gateLink = (verdict: string) => `#/gates/${encodeURIComponent(verdict)}`;
/** Where a scenario is looked at: from a second of it on, with a road user chosen, as one or two runs had it. */
export function scenarioLink(scenario: string, view: { at?: number; track?: number; run?: string; beside?: string } = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) if (value !== undefined) query.set(name, String(value));
  return `#/scenarios/${encodeURIComponent(scenario)}${query.size ? `?${query}` : ""}`;
}

export const vehicleLink = (vehicle: string, side = "") => `#/vehicles/${encodeURIComponent(vehicle)}${side && `/${side}`}`;
