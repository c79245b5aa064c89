/** Proofs that a leaf is in a Merkle tree, computed here. Source: RFC 9162, section 2.1.3.2; hashes of RFC 6962. */
export interface Step {
  /** Whether the neighbour stands to the left of what was computed so far. */
  left: boolean;
  neighbour: Uint8Array;
  result: Uint8Array;
}

export interface Proof {
  leaf: Uint8Array;
  steps: Step[];
  holds: boolean;
}

export const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
export const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** Compute from a leaf up to the root, and say whether it is the one given. Numbers stay below 2^53. */
export async function prove(entry: Uint8Array, number: number, size: number, path: Uint8Array[], root: Uint8Array): Promise<Proof> {
  const leaf = await sha256(LEAF, entry);
  const steps: Step[] = [];
  let [at, last, found] = [number, size - 1, leaf];
  const half = (value: number) => Math.floor(value / 2);
  let fits = Number.isSafeInteger(number) && Number.isSafeInteger(size) && number >= 0 && number < size;
  for (const neighbour of path) {
    if (last === 0 || neighbour.length !== 32) fits = false;
    if (!fits) break;
    const left = at % 2 === 1 || at === last;
    found = left ? await sha256(NODE, neighbour, found) : await sha256(NODE, found, neighbour);
    steps.push({ left, neighbour, result: found });
    if (left) while (at !== 0 && at % 2 === 0) [at, last] = [half(at), half(last)];
    [at, last] = [half(at), half(last)];
  }
  return { leaf, steps, holds: fits && last === 0 && hex(found) === hex(root) };
}
