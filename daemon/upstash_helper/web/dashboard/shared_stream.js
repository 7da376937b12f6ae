/**
 * One event stream for all tabs of the dashboard: a browser opens at most six connections to an origin, so six tabs with
 * a stream each would block every other request to the helper, including the return from a sign-in.
 *
 * The tab that holds a lock (Web Locks) has the stream, and reports to the other tabs (BroadcastChannel) what kind of
 * thing has changed. It passes no data on: a page that another program has left in this origin could read it or make it up,
 * and each tab has a session of its own, with which it loads what it shows. A tab that is hidden has no stream and
 * hears nothing; it loads everything when it is shown.
 */

import { Stream } from "./stream.js";

/** @import { StreamEvent } from "./stream.js" */

/** The name of the lock and of the channel. */
const NAME = "upstash-helper.events";
/** For how long messages are collected before something is loaded: many can come at once. */
const COLLECT_MS = 100;

/**
 * @typedef {object} Listener
 * @property {(event: StreamEvent) => void} event
 * @property {(kind: string) => void} changed Something of this kind has changed; its data must be loaded.
 * @property {() => void} reload Anything may have changed.
 * @property {() => void} up Events arrive.
 * @property {() => void} down Events no longer arrive. Reconnecting goes on.
 */

/**
 * What tabs send to each other: a tab has joined or wants to reconnect; something has changed; whether events arrive, and
 * whether some may have been missed.
 *
 * @typedef {{ type: "join" } | { type: "reconnect" } | { type: "changed", kind: string }
 *   | { type: "state", isUp: boolean, missed: boolean }} Message
 */

export class SharedStream {
  #listener;
  #stopped = new AbortController();
  /** Aborts when the tab is hidden. @type {AbortController | null} */
  #shown = null;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** The stream, if this tab has it. @type {Stream | null} */
  #stream = null;
  /** Whether the stream of this tab is up; null if that is not known yet. @type {boolean | null} */
  #isUp = null;
  /** The kinds of what has changed; "reset" means everything. @type {Set<string>} */
  #changed = new Set();

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  start() {
    const { signal } = this.#stopped;
    document.addEventListener("visibilitychange", () => this.#visibilityChanged(), { signal });
    this.#visibilityChanged();
  }

  stop() {
    this.#stopped.abort();
    this.#shown?.abort();
  }

  /** Reconnect now. */
  reconnect() {
    if (this.#stream) this.#stream.reconnect();
    else this.#send({ type: "reconnect" });
  }

  #visibilityChanged() {
    if (document.hidden) {
      this.#shown?.abort();
      this.#shown = null;
    } else if (!this.#shown) {
      this.#shown = new AbortController();
      void this.#follow(this.#shown.signal);
    }
  }

  /** Follow events, here or through another tab. @param {AbortSignal} signal */
  async #follow(signal) {
    if (!("locks" in navigator) || typeof BroadcastChannel === "undefined") {
      await this.#lead(signal);
      return;
    }
    const channel = new BroadcastChannel(NAME);
    this.#channel = channel;
    signal.addEventListener("abort", () => channel.close());
    channel.onmessage = ({ data }) => this.#received(data);
    const hasLed = await navigator.locks.request(NAME, { ifAvailable: true }, async (lock) => {
      if (lock) await this.#lead(signal);
      return lock !== null;
    });
    if (hasLed || signal.aborted) return;
    this.#send({ type: "join" });
    this.#listener.reload();
    try {
      await navigator.locks.request(NAME, { signal }, () => this.#lead(signal));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Have the stream until `signal` aborts. @param {AbortSignal} signal */
  async #lead(signal) {
    if (signal.aborted) return;
    let wasUp = false;
    let hasFailed = false;
    /** Show what can be loaded, or why nothing can. */
    const loadAnyway = () => {
      if (!wasUp && !hasFailed) this.#listener.reload();
      hasFailed = true;
    };
    const stream = new Stream({
      event: (event) => {
        this.#listener.event(event);
        this.#send({ type: "changed", kind: event.kind });
      },
      up: (missed) => {
        // What was loaded before the stream was open may be out of date.
        const isStale = missed || !wasUp;
        wasUp = true;
        this.#setState(true, isStale);
        this.#listener.up();
        if (isStale) this.#listener.reload();
      },
      down: () => {
        this.#setState(false, false);
        this.#listener.down();
        loadAnyway();
      },
      refused: loadAnyway,
    });
    this.#stream = stream;
    this.#isUp = null;
    stream.start();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    stream.stop();
    if (this.#stream === stream) this.#stream = null;
  }

  /**
   * @param {boolean} isUp
   * @param {boolean} missed
   */
  #setState(isUp, missed) {
    this.#isUp = isUp;
    this.#send({ type: "state", isUp, missed });
  }

  /** @param {Message} message */
  #send(message) {
    if (this.#shown && !this.#shown.signal.aborted) this.#channel?.postMessage(message);
  }

  /** @param {Message | null} message From a tab, or from any other page of this origin. */
  #received(message) {
    if (!message) return;
    if (this.#stream) this.#asked(message);
    else if (message.type === "changed") this.#collect(message.kind);
    else if (message.type === "state") {
      if (message.isUp) this.#listener.up();
      else this.#listener.down();
      if (message.missed) this.#collect("reset");
    }
  }

  /** Answer a tab that follows the events through this one. @param {Message} message */
  #asked(message) {
    if (message.type === "reconnect") this.#stream?.reconnect();
    else if (message.type === "join" && this.#isUp !== null) {
      this.#send({ type: "state", isUp: this.#isUp, missed: false });
    }
  }

  /** @param {string} kind */
  #collect(kind) {
    const isScheduled = this.#changed.size > 0;
    this.#changed.add(kind);
    if (!isScheduled) setTimeout(() => this.#report(), COLLECT_MS);
  }

  #report() {
    const kinds = this.#changed;
    this.#changed = new Set();
    if (this.#stopped.signal.aborted || !this.#shown) return;
    if (kinds.has("reset")) this.#listener.reload();
    else for (const kind of kinds) this.#listener.changed(kind);
  }
}
