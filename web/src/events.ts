/** Live values by Server-Sent Events. */
import type { SignalEvent } from "./types";

const RETRY_MS = 2000;

/** Follow the named paths of one vehicle, or of all (`*`), places as the map has them where asked; return the call that stops it. */
export function follow(
  vehicles: string,
  paths: readonly string[],
  onSignals: (event: SignalEvent) => void,
  onOpen: () => void = () => {},
  onMap = false,
): () => void {
  let source: EventSource;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const query = `vehicles=${encodeURIComponent(vehicles)}${paths.length ? `&paths=${paths.map(encodeURIComponent).join(",")}` : ""}${onMap ? "&datum=map" : ""}`;

  function open() {
    source = new EventSource(`/v1/events?${query}`);
    source.addEventListener("open", onOpen);
    source.addEventListener("signals", (event) => onSignals(JSON.parse(event.data) as SignalEvent));
    // The browser reconnects by itself, except after an answer that is no event stream.
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
