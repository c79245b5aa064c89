/**
 * The key by which a person signs orders in this browser: made here, and never to be taken out.
 *
 * The browser keeps it in its own database and signs with it; no script, this one included, can read it.
 * Source: docs/orders.md (what is signed, how a key is paired), W3C Web Cryptography API.
 */
import type { PairedKey } from "../types";
import { send } from "../calls";

const DATABASE = "carcloud";
const STORE = "order-keys";
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const PAIRING = "carcloud/order-pairing/v1\n";
const AUTHORISATION = "carcloud/order-authorisation/v1\n";
const NONCE_BYTES = 16;

export interface OrderKey {
  name: string;
  key: string;
  roles: string[];
  privateKey: CryptoKey;
}

export interface Wish {
  tenant: string;
  vehicles: string[];
  command: string;
  parameters: Record<string, number | string>;
  role: string;
  notBefore: number;
  expiresAt: number;
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const base64 = (bytes: ArrayBuffer) => btoa(String.fromCharCode(...new Uint8Array(bytes)));

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("database"));
  });
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return (await answer(opening)).transaction(STORE, mode).objectStore(STORE);
}

/** Return a person's key in this browser, or null where there is none. `person`: their id. */
export async function readKey(person: string): Promise<OrderKey | null> {
  return (await answer<OrderKey | undefined>((await store("readonly")).get(person))) ?? null;
}

export async function forgetKey(person: string): Promise<void> {
  await answer((await store("readwrite")).delete(person));
}

/** Make a key here, and have it registered in this name by the one-time code. */
export async function pairKey(person: string, name: string, code: string): Promise<OrderKey> {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const secret = await crypto.subtle.importKey("raw", utf8(code), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const proof = await crypto.subtle.sign("HMAC", secret, joined(utf8(`${PAIRING}${name}\n`), point));
  const paired = await send<PairedKey>("POST", "/v1/orders/keys", { name, point: base64(point.buffer), proof: base64(proof) });
  const made: OrderKey = { name, ...paired, privateKey: pair.privateKey };
  await answer((await store("readwrite")).put(made, person));
  return made;
}

/** Write an authorisation in its one form: keys sorted, no blanks. */
export function authorisation(wish: Wish): string {
  const nonce = [...crypto.getRandomValues(new Uint8Array(NONCE_BYTES))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const parameters = Object.fromEntries(Object.entries(wish.parameters).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({
    command: wish.command,
    expires_at: wish.expiresAt,
    nonce,
    not_before: wish.notBefore,
    parameters,
    role: wish.role,
    tenant: wish.tenant,
    vehicles: [...new Set(wish.vehicles)].sort(),
  });
}

/** Sign an authorisation: r and s, in base64. */
export async function sign(key: OrderKey, text: string): Promise<string> {
  return base64(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.privateKey, joined(utf8(AUTHORISATION), utf8(text))));
}

