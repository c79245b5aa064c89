/** The console's pages in the order and groups in which they are offered. */
import type { PageName } from "./route.svelte";

export const FLEET = ["overview", "map", "vehicles", "sql"] as const satisfies PageName[];
export const SAFETY = ["governance"] as const satisfies PageName[];

export type Offered = (typeof FLEET)[number] | (typeof SAFETY)[number];

export const pageLink = (page: PageName) => (page === "overview" ? "#/" : `#/${page}`);
export const isSafety = (page: string) => page === "safety" || SAFETY.some((one) => one === page);
