/** A signal's history out of the lake, thinned by SQL to what a chart can show. */
import { runSql } from "./calls";
import { days } from "./live";

const POINTS = 600;

export interface Span {
  /** µs since 1970. */
  from: number;
  to: number;
}

export interface Past {
  times: number[];
  low: (number | null)[];
  high: (number | null)[];
  mean: (number | null)[];
  samples: number;
  stepS: number;
}

/** Return the first and last time of a signal in the lake, or null where it has none. */
export async function wholeSpan(vehicle: string, signal: string): Promise<Span | null> {
  const answer = await runSql(
    "select min(epoch_us(time)), max(epoch_us(time)) from samples where vehicle = $vehicle and signal = $signal",
    { parameters: { vehicle, signal } },
  );
  const [from, to] = answer.rows[0] ?? [];
  return from == null || to == null ? null : { from: Number(from), to: Number(to) + 1 };
}

const statement = (vehicle: string, signal: string, span: Record<string, string>) =>
  `select epoch_us(time) // ${span["step"]} * ${span["step"]} as bucket,
       avg(value) as mean, min(value) as low, max(value) as high, count(value) as samples
from samples
where vehicle = ${vehicle} and signal = ${signal}
  and day between ${span["first_day"]} and ${span["last_day"]}
  and epoch_us(time) between ${span["from"]} and ${span["to"]}
group by bucket having count(value) > 0
order by bucket`;

const stepOf = ({ from, to }: Span) => Math.max(1, Math.ceil((to - from) / POINTS));
const quote = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** The statement that draws a history, with its values written in, to go on with on the SQL page. */
export function historySql(vehicle: string, signal: string, span: Span): string {
  const { first_day, last_day } = days(span.from, span.to);
  return statement(quote(vehicle), quote(signal), {
    step: String(stepOf(span)),
    from: String(span.from),
    to: String(span.to),
    first_day: quote(first_day),
    last_day: quote(last_day),
  });
}

export async function readPast(vehicle: string, signal: string, span: Span): Promise<Past> {
  const step = stepOf(span);
  const names = { step: "$step", from: "$from", to: "$to", first_day: "$first_day", last_day: "$last_day" };
  const answer = await runSql(statement("$vehicle", "$signal", names), {
    parameters: { vehicle, signal, step, from: span.from, to: span.to, ...days(span.from, span.to) },
  });
  const past: Past = { times: [], low: [], high: [], mean: [], samples: 0, stepS: step / 1e6 };
  const longestGap = Math.max(step * 4, 30e6);
  let before: number | null = null;
  for (const [at, mean, low, high, samples] of answer.rows.map((row) => row.map(Number))) {
    if (before !== null && at! - before > longestGap) add(past, (before + step) / 1e6, null, null, null);
    add(past, at! / 1e6, mean!, low!, high!);
    past.samples += samples!;
    before = at!;
  }
  return past;
}

function add(past: Past, time: number, mean: number | null, low: number | null, high: number | null): void {
  past.times.push(time);
  past.mean.push(mean);
  past.low.push(low);
  past.high.push(high);
}
