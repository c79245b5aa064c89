/** Calls about orders. */
import { call, send } from "../calls";
import type { Order, SignerKey } from "../types";
import { authorisation, type OrderKey, sign, type Wish } from "./key";

const RETRY_MS = 2000;
/** An order may name ten thousand cars. */
const GIVE_MS = 60_000;

export const readOrders = (vehicle: string, state: string, before: string | null) => {
  const query = new URLSearchParams({ limit: "50" });
  if (vehicle) query.set("vehicle", vehicle);
  if (state) query.set("state", state);
  if (before) query.set("before", before);
  return call<{ orders: Order[] }>(`/v1/orders?${query}`).then((answer) => answer.orders);
};

export const readKeys = () => call<{ keys: SignerKey[] }>("/v1/orders/keys").then((answer) => answer.keys);

/** An authorisation with the signatures over it, as the zone takes it and as it goes to a second person. */
export interface Signed {
  authorisation: string;
  signatures: { key: string; signature: string }[];
}

export async function signed(key: OrderKey, text: string): Promise<Signed> {
  return { authorisation: text, signatures: [{ key: key.key, signature: await sign(key, text) }] };
}

export const giveSigned = (given: Signed) => send<{ orders: Order[] }>("POST", "/v1/orders", given, GIVE_MS).then((answer) => answer.orders);

/** Sign what is wished, and give it to the zone. */
export const giveOrder = async (key: OrderKey, wish: Wish) => giveSigned(await signed(key, authorisation(wish)));

/** Call back whenever an order moves on; return the call that stops it. */
export function followOrders(vehicle: string, onMove: () => void): () => void {
  let source: EventSource;
  let retry: ReturnType<typeof setTimeout> | undefined;

  function open() {
    source = new EventSource(`/v1/orders/events${vehicle ? `?vehicle=${encodeURIComponent(vehicle)}` : ""}`);
    source.addEventListener("order", onMove);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
    });
  }

  open();
  return () => {
    clearTimeout(retry);
    source.close();
  };
}
