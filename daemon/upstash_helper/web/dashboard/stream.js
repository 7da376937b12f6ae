/** The event stream, `/v1/events`, read by fetch: an EventSource cannot send an Authorization header. */

import { ApiError, send } from "./api.js";

/** @import { Attempt, Confirmation, Connection, Pairing } from "./openapi.js" */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/**
 * @typedef {{ kind: "reset", data: object }
 *   | { kind: "connection", data: Connection }
 *   | { kind: "attempt", data: Attempt }
 *   | { kind: "database", data: object }
 *   | { kind: "pairing", data: Pairing }
 *   | { kind: "confirmation", data: Confirmation }
 *   | { kind: "revoked", data: { app_id: string, name: string, reason: "owner" | "app" | "misused" | "expired" } }
 * } StreamEvent
 */

/**
 * @typedef {object} Listener
 * @property {(event: StreamEvent) => void} event
 * @property {(missed: boolean) => void} up Events arrive again; `missed`: some may have been lost.
 * @property {() => void} down Events no longer arrive. Reconnecting goes on.
 * @property {() => void} [refused] The helper does not open another stream now. Reconnecting goes on.
 */

/** Follows the events while it is started. It reconnects with growing pauses. */
export class Stream {
  #lastId = "";
  #wait = FIRST_WAIT_MS;
  #hasRun = false;
  #listener;
  #stopped = new AbortController();
  #wake = () => {};

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  start() {
    const { signal } = this.#stopped;
    window.addEventListener("online", () => this.#wake(), { signal });
    void this.#run(signal);
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  /** Reconnect now. */
  reconnect() {
    this.#wait = FIRST_WAIT_MS;
    this.#wake();
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    while (!signal.aborted) {
      let isRefused = false;
      try {
        await this.#follow(signal);
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return; // the session is over
        // An error response, such as for too many streams, does not mean that the helper is gone.
        isRefused = error instanceof ApiError && error.status > 0;
      }
      if (signal.aborted) return;
      if (isRefused) this.#listener.refused?.();
      else this.#listener.down();
      await this.#pause();
    }
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    /** @type {Record<string, string>} */
    const headers = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
    const response = await send("GET", "/v1/events", { headers, signal });
    this.#wait = FIRST_WAIT_MS;
    // With an id to resume from, the helper replays what was missed or sends a reset. Without one, it can do neither.
    this.#listener.up(this.#hasRun && !this.#lastId);
    this.#hasRun = true;
    if (!response.body) return;
    let rest = "";
    const decoder = /** @type {ReadableWritablePair<string, Uint8Array>} */ (new TextDecoderStream());
    const reader = response.body.pipeThrough(decoder).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) if (this.#handle(block)) return;
    }
  }

  /** Handle one event and return whether it is the last one. @param {string} block */
  #handle(block) {
    let kind = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
      if (name === "event") kind = value;
      else if (name === "id") this.#lastId = value;
      else if (name === "data") data.push(value);
    }
    if (kind === "bye") return true;
    if (kind === "reset") this.#lastId = "";
    if (data.length) {
      this.#listener.event(/** @type {StreamEvent} */ ({ kind, data: JSON.parse(data.join("\n")) }));
    }
    return false;
  }

  /** @returns {Promise<void>} */
  #pause() {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
    });
  }
}
