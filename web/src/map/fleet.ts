/** The fleet as the map sees it: where each vehicle is, was, and is drawn right now. */
import { isProvenance, type FleetSignals, type Provenance, type SignalEvent } from "../types";
import { CHARGE, HEADING, LATITUDE, LONGITUDE, SPEED } from "./paths";

export type Point = [longitude: number, latitude: number];

export interface Car {
  id: string;
  label: string;
  to: Point | null;
  from: Point;
  /** When the glide from `from` to `to` began, and how long it lasts, in ms of the page's clock. */
  begun: number;
  lasts: number;
  heading: number;
  speed: number | null;
  charge: number | null;
  provenance: Provenance | null;
  /** When the newest value was taken, ms since 1970. */
  at: number;
  trail: Point[];
}

const JUMP_DEGREES = 0.02;
const LONGEST_GLIDE_MS = 2500;
const SILENT_MS = 60_000;
const SMALL_FLEET = 200;
const TRAIL_STEP_DEGREES = 0.00004;

const numeric = (value: unknown) => (typeof value === "number" ? value : null);

/** Course over ground from one point to another, degrees clockwise from north. */
function course(from: Point, to: Point): number {
  const east = (to[0] - from[0]) * Math.cos((to[1] * Math.PI) / 180);
  return ((Math.atan2(east, to[1] - from[1]) * 180) / Math.PI + 360) % 360;
}

export class Fleet {
  readonly cars = new Map<string, Car>();
  /** Raised by the first event of a vehicle that the first answer did not name. */
  strangers = false;

  /** Take the whole fleet's last known values. */
  load(answer: FleetSignals, now: number): void {
    for (const { id, label, values, times, provenance } of answer.vehicles) {
      const signals: SignalEvent["signals"] = {};
      answer.paths.forEach((path, index) => {
        const [value, time, origin] = [values[index], times[index], provenance[index]];
        if (value != null && time && origin) signals[path] = { value, unit: null, time, provenance: origin };
      });
      this.#car(id).label = label || id;
      this.take({ vehicle: id, signals }, now);
    }
    this.strangers = false;
  }

  /** Take what one vehicle said just now. */
  take({ vehicle, signals }: SignalEvent, now: number): void {
    if (!this.cars.has(vehicle)) this.strangers = true;
    const car = this.#car(vehicle);
    const latitude = numeric(signals[LATITUDE]?.value);
    const longitude = numeric(signals[LONGITUDE]?.value);
    if (latitude !== null && longitude !== null) this.#move(car, [longitude, latitude], now);
    car.heading = numeric(signals[HEADING]?.value) ?? car.heading;
    car.speed = numeric(signals[SPEED]?.value) ?? car.speed;
    car.charge = numeric(signals[CHARGE]?.value) ?? car.charge;
    for (const signal of Object.values(signals)) {
      car.at = Math.max(car.at, Date.parse(signal.time));
      if (isProvenance(signal.provenance)) car.provenance = signal.provenance;
    }
  }

  /** Where to draw a vehicle now: it glides to its newest position in the time that its positions are apart. */
  place(car: Car, now: number): Point | null {
    if (!car.to) return null;
    const share = Math.min(1, (now - car.begun) / car.lasts);
    return [car.from[0] + (car.to[0] - car.from[0]) * share, car.from[1] + (car.to[1] - car.from[1]) * share];
  }

  #car(id: string): Car {
    let car = this.cars.get(id);
    if (!car) {
      car = { id, label: id, to: null, from: [0, 0], begun: 0, lasts: 1000, heading: 0, speed: null, charge: null, provenance: null, at: 0, trail: [] };
      this.cars.set(id, car);
    }
    return car;
  }

  #move(car: Car, to: Point, now: number): void {
    const here = this.place(car, now);
    const jumped = !here || Math.hypot(to[0] - here[0], to[1] - here[1]) > JUMP_DEGREES;
    if (car.to && Math.hypot(to[0] - car.to[0], to[1] - car.to[1]) > TRAIL_STEP_DEGREES) car.heading = course(car.to, to);
    car.lasts = Math.min(LONGEST_GLIDE_MS, Math.max(100, car.lasts * 0.7 + (now - car.begun) * 0.3));
    if (jumped) car.trail = [];
    car.from = jumped ? to : here;
    car.to = to;
    car.begun = now;
    this.#trace(car);
  }

  #trace(car: Car): void {
    const last = car.trail.at(-1);
    if (last && Math.hypot(car.from[0] - last[0], car.from[1] - last[1]) < TRAIL_STEP_DEGREES) return;
    car.trail.push(car.from);
    const longest = this.cars.size > SMALL_FLEET ? 12 : 60;
    if (car.trail.length > longest) car.trail.splice(0, car.trail.length - longest);
  }
}

/** What a vehicle is doing; `wall` is the time of day in ms. */
export function doing(car: Car, wall: number): "moving" | "standing" | "silent" {
  if (wall - car.at > SILENT_MS) return "silent";
  return (car.speed ?? 0) > 1 ? "moving" : "standing";
}
