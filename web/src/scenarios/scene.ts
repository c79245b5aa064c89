/** A scene from above, drawn on a canvas: lanes, road users as boxes, where they came from. Metres, x east, y north. */
import type { About, Lane, Motion, Moving } from "./calls";

/** What the middle of the picture shows, metres, and how many pixels a metre has. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

export interface Place {
  x: number;
  y: number;
  yaw: number;
  speed: number | null;
}

/** A motion to be drawn; a `ghost` is another run's ego, as an outline. */
export interface Cast {
  about: About;
  motion: Motion;
  lanes: Lane[];
  ego: number | null;
  ghost: { motion: Motion; track: number } | null;
}

const TRAIL_S = 3;
const MARGIN = 1.15;
const LEAST_SCALE = 0.05;
const MOST_SCALE = 80;
const LEAST_REACH_M = 20;

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The last step at or before a time. */
export function stepAt(times: readonly number[], at: number): number {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle]! <= at + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Where somebody is at a step; null where it is not there. */
export function placeAt(one: Moving | undefined, step: number): Place | null {
  const at = one ? step - one.first : -1;
  const [x, y, yaw] = [one?.x[at], one?.y[at], one?.yaw[at]];
  return x == null || y == null || yaw == null ? null : { x, y, yaw, speed: one?.speed[at] ?? null };
}

/** The view that shows all that moves. */
export function fitted(motion: Motion, width: number, height: number): View {
  let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const user of motion.users)
    for (let at = 0; at < user.x.length; at += 1) {
      const [x, y] = [user.x[at], user.y[at]];
      if (x == null || y == null) continue;
      [west, east, south, north] = [Math.min(west, x), Math.max(east, x), Math.min(south, y), Math.max(north, y)];
    }
  if (west > east) return { x: 0, y: 0, scale: 4 };
  const [across, up] = [Math.max(east - west, LEAST_REACH_M), Math.max(north - south, LEAST_REACH_M)];
  return zoomed({ x: (west + east) / 2, y: (south + north) / 2, scale: Math.min(width / across, height / up) / MARGIN }, 1);
}

export const zoomed = (view: View, times: number): View => ({ ...view, scale: Math.min(MOST_SCALE, Math.max(LEAST_SCALE, view.scale * times)) });

/** Where a place of the canvas is, in metres. */
export const placeOf = (view: View, width: number, height: number, x: number, y: number) => ({
  x: view.x + (x - width / 2) / view.scale,
  y: view.y - (y - height / 2) / view.scale,
});

/** Whose box is at a place, the nearest middle first; null where none is. */
export function userAt(cast: Cast, step: number, x: number, y: number, slackM: number): number | null {
  let found: { track: number; off: number } | null = null;
  cast.motion.users.forEach((one) => {
    const place = placeAt(one, step);
    const size = cast.about.users.find((user) => user.track === one.track);
    if (!place || !size) return;
    const [east, north] = [x - place.x, y - place.y];
    const along = Math.abs(east * Math.cos(place.yaw) + north * Math.sin(place.yaw));
    const aside = Math.abs(north * Math.cos(place.yaw) - east * Math.sin(place.yaw));
    const off = Math.hypot(east, north);
    if (along <= size.length / 2 + slackM && aside <= size.width / 2 + slackM && (!found || off < found.off)) found = { track: one.track, off };
  });
  return (found as { track: number } | null)?.track ?? null;
}

const COLOURS: Record<string, string> = { pedestrian: "--series-5", bicycle: "--series-4", motorcycle: "--series-4", static: "--line-strong" };

/** Draw the scene at a step. */
export function draw(pen: CanvasRenderingContext2D, width: number, height: number, view: View, cast: Cast, step: number, chosen: number | null): void {
  const ratio = devicePixelRatio;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.fillStyle = token("--sunken");
  pen.fillRect(0, 0, width * ratio, height * ratio);
  const scale = view.scale * ratio;
  pen.setTransform(scale, 0, 0, -scale, (width / 2) * ratio - view.x * scale, (height / 2) * ratio + view.y * scale);
  const hair = 1 / view.scale;
  drawLanes(pen, cast.lanes, hair);
  drawGoal(pen, cast.about.goal, hair);
  for (const track of new Set([cast.ego, chosen])) if (track !== null) drawTrail(pen, cast, track, step, hair);
  const sizes = new Map(cast.about.users.map((user) => [user.track, user]));
  for (const one of cast.motion.users) {
    const [place, size] = [placeAt(one, step), sizes.get(one.track)];
    if (!place || !size) continue;
    const colour = one.track === cast.ego ? "--accent" : (COLOURS[size.kind] ?? "--muted");
    drawBox(pen, place, size.length, size.width, hair, { fill: token(colour), rim: one.track === chosen ? token("--warn") : null });
  }
  if (cast.ghost) {
    const one = cast.ghost.motion.users.find((user) => user.track === cast.ghost!.track);
    const [place, size] = [placeAt(one, Math.min(step, cast.ghost.motion.time_s.length - 1)), sizes.get(cast.ghost.track)];
    if (place && size) drawBox(pen, place, size.length, size.width, hair, { fill: null, rim: token("--series-2") });
  }
}

function drawLanes(pen: CanvasRenderingContext2D, lanes: Lane[], hair: number): void {
  pen.fillStyle = token("--map-land");
  pen.strokeStyle = token("--map-road-edge");
  pen.lineWidth = hair;
  for (const lane of lanes) {
    pen.beginPath();
    trace(pen, lane.left_edge, false);
    trace(pen, lane.right_edge, true);
    pen.closePath();
    pen.fill();
    pen.beginPath();
    trace(pen, lane.left_edge, false, true);
    pen.stroke();
    pen.beginPath();
    trace(pen, lane.right_edge, false, true);
    pen.stroke();
  }
}

function trace(pen: CanvasRenderingContext2D, edge: number[], backwards: boolean, begins = !backwards): void {
  const count = edge.length / 2;
  for (let step = 0; step < count; step += 1) {
    const at = 2 * (backwards ? count - 1 - step : step);
    if (step === 0 && begins) pen.moveTo(edge[at]!, edge[at + 1]!);
    else pen.lineTo(edge[at]!, edge[at + 1]!);
  }
}

function drawGoal(pen: CanvasRenderingContext2D, goal: number[], hair: number): void {
  if (goal.length < 6) return;
  pen.beginPath();
  trace(pen, goal, false);
  pen.closePath();
  pen.setLineDash([4 * hair, 4 * hair]);
  pen.lineWidth = 1.5 * hair;
  pen.strokeStyle = token("--good");
  pen.stroke();
  pen.setLineDash([]);
}

function drawTrail(pen: CanvasRenderingContext2D, cast: Cast, track: number, step: number, hair: number): void {
  const one = cast.motion.users.find((user) => user.track === track);
  const since = stepAt(cast.motion.time_s, cast.motion.time_s[step]! - TRAIL_S);
  pen.beginPath();
  let begun = false;
  for (let at = since; at <= step; at += 1) {
    const place = placeAt(one, at);
    if (place && begun) pen.lineTo(place.x, place.y);
    else if (place) pen.moveTo(place.x, place.y);
    begun = place !== null;
  }
  pen.lineWidth = 2 * hair;
  pen.strokeStyle = token(track === cast.ego ? "--accent" : "--warn");
  pen.stroke();
}

function drawBox(pen: CanvasRenderingContext2D, place: Place, length: number, width: number, hair: number, look: { fill: string | null; rim: string | null }): void {
  pen.save();
  pen.translate(place.x, place.y);
  pen.rotate(place.yaw);
  if (look.fill) {
    pen.fillStyle = look.fill;
    pen.fillRect(-length / 2, -width / 2, length, width);
    pen.fillStyle = token("--surface");
    pen.fillRect(length / 2 - length * 0.22, -width * 0.36, length * 0.1, width * 0.72);
  }
  if (look.rim) {
    pen.lineWidth = 2.5 * hair;
    pen.strokeStyle = look.rim;
    pen.strokeRect(-length / 2, -width / 2, length, width);
  }
  pen.restore();
}
