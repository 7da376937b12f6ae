/** The browser globals that the dashboard's modules without a document need in Node. */

import { memory, withGlobals } from "./helper.js";

/** @import { TestContext } from "node:test" */
/** @import { Helper } from "./helper.js" */

const send = globalThis.fetch;

/**
 * Have the code under test run in a page of `helper`.
 *
 * @param {TestContext} t
 * @param {Helper} helper
 * @param {string} [hash]
 */
export function inPage(t, helper, hash = "") {
  const location = new URL(`${helper.url}/${hash}`);
  const sessionStorage = memory();
  /** @type {string[]} */
  const replaced = [];
  withGlobals(t, {
    location,
    sessionStorage,
    document: new EventTarget(),
    window: new EventTarget(),
    history: {
      replaceState: (/** @type {unknown} */ _state, /** @type {string} */ _title, /** @type {string} */ url) =>
        replaced.push(url),
    },
    fetch: (/** @type {string} */ path, /** @type {RequestInit} */ init) => send(new URL(path, location), init),
  });
  return { sessionStorage, replaced };
}
