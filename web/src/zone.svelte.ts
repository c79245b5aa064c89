/** What the zone says of itself, asked each second while the page is in sight. */
import { ApiError, readHistory, readStatus } from "./calls";
import { session } from "./session.svelte";
import type { History, Status } from "./types";

const STATUS_MS = 1000;
const HISTORY_MS = 2000;
const AWAY_MS = 3000;
/** How often those are asked after who may not know the zone's status: only whether they are still known. */
const SELF_MS = 15_000;
/** How often it is asked anew what somebody may do. */
const RIGHTS_MS = 60_000;

class Zone {
  status = $state.raw<Status | null>(null);
  history = $state.raw<History | null>(null);
  /** `waiting` before the first answer; `away` when the API does not answer; `locked` when it knows nobody here. */
  reach = $state<"waiting" | "here" | "away" | "locked">("waiting");
  answeredAt = $state<number | null>(null);
  asking = $state(false);
  /** Pages that draw the history raise this while they are shown. */
  historyWanted = $state(0);

  #timer: ReturnType<typeof setTimeout> | undefined;
  #historyAt = 0;

  start(): void {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") void this.ask();
    });
    void this.ask();
  }

  /** Ask now, and go on asking. */
  async ask(): Promise<void> {
    if (this.asking) return;
    clearTimeout(this.#timer);
    this.asking = true;
    try {
      if (!session.may("readStatus") || Date.now() - session.askedAt > RIGHTS_MS) await session.ask();
      this.status = session.may("readStatus") ? await readStatus() : null;
      if (this.status) await this.#askHistory();
      this.reach = "here";
      this.answeredAt = Date.now();
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      if (failure.status === 401 || failure.status === 403) [session.me, this.status, this.history] = [null, null, null];
      this.reach = failure.status === 401 ? "locked" : failure.status === 403 ? "waiting" : "away";
    } finally {
      this.asking = false;
      if (document.visibilityState === "visible") this.#timer = setTimeout(() => void this.ask(), this.#pause());
    }
  }

  #pause(): number {
    if (this.reach !== "here") return AWAY_MS;
    return this.status ? STATUS_MS : SELF_MS;
  }

  async #askHistory(): Promise<void> {
    if (!this.historyWanted || Date.now() - this.#historyAt < HISTORY_MS) return;
    this.history = await readHistory();
    this.#historyAt = Date.now();
  }
}

export const zone = new Zone();
