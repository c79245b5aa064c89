/** The colours of vehicles, and the arrows drawn in them. */
import type { Car } from "./fleet";

export type ColourBy = "charge" | "provenance";

export const CHARGE_STEPS = [
  { from: 0, key: "c0", colour: "#c2342a" },
  { from: 10, key: "c1", colour: "#d9822b" },
  { from: 25, key: "c2", colour: "#b89a1c" },
  { from: 50, key: "c3", colour: "#3f9a67" },
  { from: 75, key: "c4", colour: "#12809a" },
] as const;

const PROVENANCE = { measured: "#0f8496", replay: "#7a4fc4", simulated: "#c47a12" } as const;
const UNKNOWN = "#7d8890";

export const COLOURS: Record<string, string> = {
  ...Object.fromEntries(CHARGE_STEPS.map((step) => [step.key, step.colour])),
  ...PROVENANCE,
  unknown: UNKNOWN,
};

export function colourKey(car: Car, by: ColourBy, silent: boolean): string {
  if (silent) return "unknown";
  if (by === "provenance") return car.provenance ?? "unknown";
  const { charge } = car;
  if (charge === null) return "unknown";
  return CHARGE_STEPS.findLast((step) => charge >= step.from)?.key ?? "unknown";
}

const SIZE = 26;

/** Draw an arrow that points north, in one colour with a rim that keeps it apart from the map. */
export function arrow(colour: string, rim: string, pixelRatio: number): ImageData {
  const side = Math.round(SIZE * pixelRatio);
  const canvas = new OffscreenCanvas(side, side);
  const pen = canvas.getContext("2d")!;
  pen.scale(pixelRatio, pixelRatio);
  pen.translate(SIZE / 2, SIZE / 2);
  pen.beginPath();
  pen.moveTo(0, -10);
  pen.quadraticCurveTo(1.2, -10, 1.8, -8.6);
  pen.lineTo(7.4, 7);
  pen.quadraticCurveTo(7.8, 9.2, 5.8, 8.6);
  pen.lineTo(0, 5.6);
  pen.lineTo(-5.8, 8.6);
  pen.quadraticCurveTo(-7.8, 9.2, -7.4, 7);
  pen.lineTo(-1.8, -8.6);
  pen.quadraticCurveTo(-1.2, -10, 0, -10);
  pen.closePath();
  pen.lineJoin = "round";
  pen.lineWidth = 3.2;
  pen.strokeStyle = rim;
  pen.stroke();
  pen.fillStyle = colour;
  pen.fill();
  return pen.getImageData(0, 0, side, side);
}
