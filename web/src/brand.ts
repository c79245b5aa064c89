/** How a tenant's console looks: its title, a few letters, and one accent colour. */
import type { Self } from "./types";

export type Brand = Self["brand"];

const COLOUR = /^#[0-9a-f]{6}$/;

/** Set the accent to the brand's colour, and the ink on it to what can be read there; without one, as for all. */
export function colour(style: CSSStyleDeclaration, brand: Brand | undefined): void {
  const accent = brand?.colour ?? "";
  if (!COLOUR.test(accent)) {
    style.removeProperty("--accent");
    style.removeProperty("--accent-ink");
    return;
  }
  style.setProperty("--accent", accent);
  style.setProperty("--accent-ink", bright(accent) ? "#000000" : "#ffffff");
}

/** Whether black is read better than white on a colour. Source: Rec. 709 luma. */
function bright(colour: string): boolean {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 140;
}
