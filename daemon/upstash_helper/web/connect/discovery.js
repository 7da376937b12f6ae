/** Finding the helper, and making sure that it is the helper. */

import { blocksMixedContent, isLoopback, mayPrompt, networkPermission } from "./environment.js";
import { HelperNotRunning, MixedContentBlocked, PermissionDenied } from "./errors.js";
import { ADDRESS_KEY, read } from "./storage.js";
import { after, anyOf, pause, throwIfAborted } from "./timing.js";
import { directly, randomKey } from "./transport.js";

/** @import { UpstashHelperError } from "./errors.js" */
/** @import { Progress, TokenStorage } from "./types.js" */

/** Where helpers are, in the order to try: the port that is registered with Upstash, then the helper's own ports. */
const PORTS = [3000, 26300, 26301, 26302];
/** The paths at which a helper serves this module. */
const SERVED_AT = new Set(["/connect.js", "/connect-core.js"]);
/** A resource that any page may read without access. Its status is 200, so that the probe logs no error. */
const PROBE = "/connect.d.ts";
/**
 * The header in which the helper returns the random value of the probe. Servers that answer every path with the same
 * page, servers with a copy of the file, and caches do not send it.
 */
const PROOF = "upstash-helper-probe";
export const PROBE_MS = 8_000;
/** How long only the first address is tried: browsers log an error for each port without a listener. */
const HEAD_START_MS = 250;
/** How long an address that has proved to be a helper's waits for those that come before it. */
const GRACE_MS = 500;
/** A permission prompt is reported only once a request has hung for this long: it may have been answered before. */
const PROMPT_MS = 400;

/**
 * Return the addresses to try, in order. The page's own server is not one of them.
 *
 * @param {string} [url] The helper's address, if the caller knows it.
 * @param {string} [module] Where this module was loaded from.
 * @returns {string[]}
 * @throws {TypeError} If `url` is not on this computer.
 */
export function candidates(url, module = import.meta.url) {
  if (url !== undefined) return [loopbackOrigin(url)];
  const page = globalThis.location?.origin;
  const from = new URL(module);
  const isServed = from.protocol === "http:" && SERVED_AT.has(from.pathname) && isLoopback(from.hostname);
  if (isServed && from.origin !== page) return [from.origin];
  return PORTS.map((port) => `http://localhost:${port}`).filter((address) => address !== page);
}

/** @param {string} url @returns {string} */
function loopbackOrigin(url) {
  const { protocol, hostname, origin } = new URL(url);
  if (protocol !== "http:" || !isLoopback(hostname)) {
    throw new TypeError(`The helper must be on this computer, such as at http://localhost:3000, not at ${origin}.`);
  }
  return origin;
}

/**
 * Return whether the helper answers at `url`. Only the probe is sent.
 *
 * @param {string} url
 * @param {AbortSignal} signal
 */
export async function isHelper(url, signal) {
  const value = randomKey();
  try {
    const response = await directly(url)(`${PROBE}?probe=${value}`, { signal });
    return response.ok && response.headers.get(PROOF) === value;
  } catch {
    return false;
  }
}

/**
 * Return the first of `urls` at which the helper answers, or null.
 *
 * @param {string[]} urls
 * @param {AbortSignal} [signal]
 * @returns {Promise<string | null>}
 */
export async function firstHelper(urls, signal) {
  const over = new AbortController();
  /** @param {string} url */
  const probe = (url) => isHelper(url, anyOf(signal, over.signal, AbortSignal.timeout(PROBE_MS)));
  try {
    const probes = [probe(urls[0])];
    if (await Promise.race([probes[0], after(HEAD_START_MS)])) return urls[0];
    probes.push(...urls.slice(1).map(probe));
    const proved = probes.map(async (one) => {
      if (!(await one)) throw new TypeError("another program");
    });
    const late = Promise.any(proved).then(
      () => after(GRACE_MS),
      () => false,
    );
    for (const [index, one] of probes.entries()) {
      if (await Promise.race([one, late])) return urls[index];
    }
    return null;
  } finally {
    over.abort();
  }
}

/**
 * Have the browser ask its user, with a single request, since one permission covers all addresses; and wait for the
 * answer.
 *
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<boolean>} Whether it makes sense to continue.
 */
async function promptUser(url, signal) {
  const began = Date.now();
  const over = new AbortController();
  let isAnswered = false;
  isHelper(url, anyOf(signal, over.signal)).finally(() => {
    isAnswered = true;
  });
  try {
    while (!isAnswered && (await networkPermission()) === "prompt") await pause(100, signal);
    // If it took no time, nobody was asked. A user who dismissed the prompt is not asked three more times.
    return (await networkPermission()) !== "prompt" || Date.now() - began < PROMPT_MS;
  } finally {
    over.abort();
  }
}

/**
 * Return the address of the helper.
 *
 * @param {string[]} urls In the order to try; the address that worked last goes first.
 * @param {TokenStorage} storage
 * @param {{ signal?: AbortSignal, onProgress?: (progress: Progress) => void }} [options]
 * @returns {Promise<string>}
 * @throws {UpstashHelperError} `HelperNotRunning`, `PermissionDenied`, `MixedContentBlocked` or `Aborted`.
 */
export async function discover(urls, storage, { signal, onProgress = () => {} } = {}) {
  const ordered = startingWith(urls.length > 1 ? await read(storage, ADDRESS_KEY) : null, urls);
  const prompts = mayPrompt() && (await networkPermission()) === "prompt";
  const reported = setTimeout(() => {
    if (prompts) onProgress({ step: "permission" });
  }, PROMPT_MS);
  try {
    const continues = !prompts || (await promptUser(ordered[0], signal));
    const found = continues ? await firstHelper(ordered, signal) : null;
    throwIfAborted(signal);
    if (found === null) throw await unreachable(ordered);
    return found;
  } finally {
    clearTimeout(reported);
  }
}

/**
 * Return `urls` with `first` moved to the front, if it is one of them.
 *
 * @param {string | null} first
 * @param {string[]} urls
 * @returns {string[]}
 */
export function startingWith(first, urls) {
  return first !== null && urls.includes(first) ? [first, ...urls.filter((url) => url !== first)] : urls;
}

/**
 * Return why nothing answered.
 *
 * @param {string[]} urls
 * @param {unknown} [cause]
 * @returns {Promise<UpstashHelperError>}
 */
export async function unreachable(urls, cause) {
  if (mayPrompt() && (await networkPermission()) === "denied") return new PermissionDenied();
  return blocksMixedContent() ? new MixedContentBlocked() : new HelperNotRunning(urls, cause);
}
