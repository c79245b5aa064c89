/** Statements to begin with. */
import type { Words } from "../words/en";

export const EXAMPLES: { key: keyof Words["sql"]["example"]; sql: string }[] = [
  {
    key: "newest",
    sql: `select time, vehicle, signal, value, text, provenance
from samples
where day = strftime(now(), '%Y-%m-%d')
order by time desc
limit 200`,
  },
  {
    key: "counts",
    sql: `select signal, count(*) as samples, min(value) as low, avg(value) as mean, max(value) as high
from samples
group by signal
order by samples desc`,
  },
  {
    key: "speed",
    sql: `select time_bucket(interval '10 seconds', time) as moment, avg(value) as mean_kmh, max(value) as fastest_kmh
from samples
where signal = 'Vehicle.Speed'
group by moment
order by moment`,
  },
  {
    key: "charge",
    sql: `select time_bucket(interval '10 seconds', time) as moment, vehicle, avg(value) as charge_pct
from samples
where signal = 'Vehicle.Powertrain.TractionBattery.StateOfCharge.Current'
group by moment, vehicle
order by moment`,
  },
  {
    key: "fastest",
    sql: `select vehicle, max(value) as fastest_kmh, avg(value) as mean_kmh
from samples
where signal = 'Vehicle.Speed'
group by vehicle
order by fastest_kmh desc
limit 10`,
  },
  {
    key: "provenance",
    sql: `select day, provenance, count(*) as samples, count(distinct vehicle) as vehicles
from samples
group by day, provenance
order by day, provenance`,
  },
  { key: "catalogue", sql: "select path, type, unit, kind, description\nfrom signals\norder by path" },
];
