/** The last five minutes of chosen signals: what the lake holds of them, then what arrives. */
import { runSql } from "./calls";
import type { Signal } from "./types";

export const LIVE_S = 300;

export interface Track {
  times: number[];
  values: (number | null)[];
}

export const chartable = (value: unknown) => typeof value === "number" || typeof value === "boolean";

/** Add a value at its own time, and forget what is older than five minutes before the newest. */
export function append(track: Track, signal: Signal): void {
  const time = Date.parse(signal.time) / 1000;
  const last = track.times.at(-1);
  if (!chartable(signal.value) || (last !== undefined && time <= last)) return;
  track.times.push(time);
  track.values.push(Number(signal.value));
  const old = track.times.findIndex((at) => at >= time - LIVE_S);
  if (old > 0) {
    track.times.splice(0, old);
    track.values.splice(0, old);
  }
}

/** Read the five minutes before a time out of the lake. */
export async function readTrack(vehicle: string, signal: string, until: string): Promise<Track> {
  const to = Date.parse(until) * 1000;
  const from = to - LIVE_S * 1e6;
  const answer = await runSql(
    `select epoch_us(time) as moment, value from samples
     where vehicle = $vehicle and signal = $signal and day between $first_day and $last_day
       and epoch_us(time) between $from and $to and value is not null
     order by moment desc`,
    { parameters: { vehicle, signal, from, to, ...days(from, to) }, limit: 5000 },
  );
  const rows = answer.rows.reverse();
  return { times: rows.map((row) => Number(row[0]) / 1e6), values: rows.map((row) => Number(row[1])) };
}

/** The partitions that a span of µs touches. */
export function days(from: number, to: number) {
  const day = (at: number) => new Date(at / 1000).toISOString().slice(0, 10);
  return { first_day: day(from), last_day: day(to) };
}
