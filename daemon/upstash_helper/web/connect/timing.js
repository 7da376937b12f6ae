/** Waiting, and giving up. */

import { Aborted } from "./errors.js";

/**
 * @param {AbortSignal | undefined} signal
 * @throws {Aborted}
 */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw new Aborted();
}

/**
 * Wait for `ms` milliseconds; less if the user comes back to the page, or the helper's page in the sign-in window says
 * that something has changed. What changed is then read from the helper, so it does not matter who really said so.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 * @throws {Aborted}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("focus", done);
      globalThis.removeEventListener?.("message", onMessage);
      signal?.removeEventListener("abort", done);
      if (signal?.aborted) reject(new Aborted());
      else resolve();
    };
    /** @param {MessageEvent} event */
    const onMessage = (event) => {
      if (event.data?.type === "upstash-helper") done();
    };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.("focus", done);
    globalThis.addEventListener?.("message", onMessage);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** @param {number} ms @returns {Promise<false>} */
export function after(ms) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ms);
  });
}

/**
 * Return a signal that aborts as soon as one of `signals` does.
 *
 * @param {...(AbortSignal | undefined)} signals
 * @returns {AbortSignal}
 */
export function anyOf(...signals) {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}
