/** What a car can be ordered to do, as src/carcloud/vehicle/commands.py has it, without plans; a test holds this to it. */
export interface Bounds {
  low: number;
  high: number;
  step: number;
  unit: string;
}

export interface Command {
  roles: readonly string[];
  parameters: Record<string, Bounds>;
}

const MOST = ["owner", "fleet"];
const ALL = ["owner", "fleet", "operator"];

export const COMMANDS = {
  lock: { roles: ALL, parameters: {} },
  unlock: { roles: MOST, parameters: {} },
  locate: { roles: ALL, parameters: {} },
  "climate-start": { roles: MOST, parameters: {} },
  "climate-stop": { roles: MOST, parameters: {} },
  "climate-temperature": { roles: MOST, parameters: { temperature_c: { low: 16, high: 28, step: 0.5, unit: "°C" } } },
  horn: { roles: ALL, parameters: { seconds: { low: 1, high: 5, step: 1, unit: "s" } } },
  lights: { roles: ALL, parameters: { seconds: { low: 1, high: 60, step: 1, unit: "s" } } },
  "charge-start": { roles: MOST, parameters: {} },
  "charge-stop": { roles: MOST, parameters: {} },
  "charge-limit": { roles: MOST, parameters: { limit_pct: { low: 50, high: 100, step: 1, unit: "%" } } },
} as const satisfies Record<string, Command>;

export type CommandName = keyof typeof COMMANDS;
export const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name);
export const commandOf = (name: CommandName): Command => COMMANDS[name];

/** The command's own middle, to begin with. */
export const firstValue = ({ low, high, step }: Bounds) => low + Math.round((high - low) / 2 / step) * step;
