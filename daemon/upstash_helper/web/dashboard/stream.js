/** The event stream: `/v1/events` by fetch, since an EventSource can send no Authorization header. */

import { Problem, send } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Follow what happens for as long as the page is open. Between two tries it waits longer and longer, and tries at once
 * when the tab is looked at again.
 */
export class Stream {
  #last = "";
  #wait = FIRST_WAIT;
  #refused = false;
  #stopped = new AbortController();
  #wake = () => {};

  /**
   * @param {{
   *   event: (kind: string, data: any) => void,
   *   up: (again: boolean) => void,
   *   down: () => void,
   * }} told `up`: events come, and whether some may be missed; `down`: none do, and it will be tried again.
   */
  constructor(told) {
    this.told = told;
    this.ran = false;
  }

  start() {
    document.addEventListener("visibilitychange", () => !document.hidden && this.#wake(), { signal: this.#stopped.signal });
    window.addEventListener("online", () => this.#wake(), { signal: this.#stopped.signal });
    void this.#run();
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  /** Try now. */
  hurry() {
    this.#wait = FIRST_WAIT;
    this.#wake();
  }

  async #run() {
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return; // the session is over
        this.#refused = error instanceof Problem && error.status > 0;
      }
      if (this.#stopped.signal.aborted) return;
      // Too many streams, say: that is no reason to claim that the helper is gone.
      if (!this.#refused) this.told.down();
      this.#refused = false;
      await this.#pause();
    }
  }

  async #follow() {
    const headers = this.#last ? { "Last-Event-ID": this.#last } : {};
    const response = await send("GET", "/v1/events", { headers, signal: this.#stopped.signal });
    this.#wait = FIRST_WAIT;
    // With an id to resume from, what was missed is replayed or answered by a reset; without one, nothing would tell.
    this.told.up(this.ran && !this.#last);
    this.ran = true;
    let rest = "";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) if (this.#take(block)) return;
    }
  }

  /** Take one event; returns whether it was the last one. */
  #take(block) {
    let kind = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
      if (name === "event") kind = value;
      else if (name === "id") this.#last = value;
      else if (name === "data") data.push(value);
    }
    if (kind === "bye") return true;
    if (kind === "reset") this.#last = "";
    if (data.length) this.told.event(kind, JSON.parse(data.join("\n")));
    return false;
  }

  #pause() {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve(undefined);
      };
    });
  }
}
