/** The page shown, read from and written to the address's fragment: `#/vehicles/ID?signals=…`. */
export interface Route {
  page: "overview" | "map" | "vehicles" | "sql" | "nowhere";
  vehicle: string | null;
  query: URLSearchParams;
}

function parse(fragment: string): Route {
  const [path = "", query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const [first = "", second] = path.split("/").filter(Boolean);
  const pages: Record<string, Route["page"]> = { "": "overview", map: "map", vehicles: "vehicles", sql: "sql" };
  return {
    page: pages[first] ?? "nowhere",
    vehicle: second ? decodeURIComponent(second) : null,
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

export const address = new Address();
export const vehicleLink = (vehicle: string) => `#/vehicles/${encodeURIComponent(vehicle)}`;
