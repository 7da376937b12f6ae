/**
 * The bridge: relays requests to the helper for the page that opened this window, and for no other page.
 *
 * The browser says which page that is with the page's first message (`event.origin`). Every request names it, so that
 * the helper treats the requests as that page's own. Nothing of this origin is added to them: no token and no session.
 */

import { isRelayable } from "./bridge_requests.js";

/** @import { RelayedRequest } from "./bridge_requests.js" */

const ON_BEHALF_OF = "Upstash-Helper-On-Behalf-Of";
const MAX_CONCURRENT = 32;
/** How long the page may take to offer a channel before its connect.js is taken for an earlier version. */
const ANSWER_MS = 3000;
const OUTDATED =
  "It may have an earlier version of connect.js. Its developer can get the current one from the helper: " +
  `http://localhost${location.port && `:${location.port}`}/connect.js`;

/** @param {string} id @returns {HTMLElement} */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** The page that is served, and the channel to it. @type {{ origin: string, port: MessagePort } | null} */
let served = null;
let isStopped = false;
/** @type {Map<number, AbortController>} */
const running = new Map();

/**
 * @param {string} title
 * @param {string} text
 */
function show(title, text) {
  find("title").textContent = title;
  find("text").textContent = text;
}

/** Accept the first message of the page that opened this window, and no other. @param {MessageEvent} event */
function connect(event) {
  const [port] = event.ports;
  if (event.source !== window.opener || event.data?.upstashHelper !== "bridge" || !port || isStopped) return;
  if (event.origin === "null" || event.origin === location.origin) return;
  // A page may offer several. What arrives later from the same page is another offer.
  if (served) return;
  served = { origin: event.origin, port };
  port.onmessage = ({ data }) => handle(data);
  port.postMessage({ ready: true });
  show(
    "Relaying requests for",
    "Your browser blocks this page from reaching apps on this computer directly. Leave this window open while you use it.",
  );
  find("origin").textContent = event.origin;
  for (const id of ["origin", "stop"]) find(id).hidden = false;
}

/** @param {RelayedRequest & { abort?: boolean }} message From the page, so it may be anything. */
function handle(message) {
  if (!Number.isSafeInteger(message?.id)) return;
  const isNew = !running.has(message.id) && running.size < MAX_CONCURRENT;
  if (message.abort === true) running.get(message.id)?.abort();
  else if (isNew && isRelayable(message, location.origin)) void relay(message);
  else served?.port.postMessage({ id: message.id, failed: true });
}

/** @param {RelayedRequest} request */
async function relay({ id, method, path, headers, body }) {
  if (!served) return;
  const { origin, port } = served;
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const response = await fetch(path, {
      method,
      body,
      headers: [...headers, [ON_BEHALF_OF, origin]],
      signal: abort.signal,
      mode: "same-origin",
      // Without a referrer, this mode sends the origin "null" with a POST (Fetch standard, section 3.2; Firefox).
      referrerPolicy: "same-origin",
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    port.postMessage({ id, head: { status: response.status, headers: [...response.headers] } });
    if (method === "POST" && path === "/v1/connection") void offerSignIn(response.clone());
    await relayBody(id, port, response.body);
    port.postMessage({ id, end: true });
  } catch {
    port.postMessage({ id, failed: true });
  } finally {
    running.delete(id);
  }
}

/**
 * @param {number} id
 * @param {MessagePort} port
 * @param {ReadableStream<Uint8Array> | null} body
 */
async function relayBody(id, port, body) {
  if (!body) return;
  const reader = body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    port.postMessage({ id, chunk: value });
  }
}

/**
 * Offer the sign-in that the helper has started: the page's click is spent, and only a click opens a window. The address
 * comes from the helper, and not from the page.
 *
 * @param {Response} response
 */
async function offerSignIn(response) {
  /** @type {{ authorization_url?: unknown } | null} */
  const started = await response.json().catch(() => null);
  const url = started?.authorization_url;
  if (response.status !== 202 || typeof url !== "string" || !/^https?:\/\//.test(url)) return;
  const link = /** @type {HTMLAnchorElement} */ (find("sign-in"));
  link.href = url;
  link.hidden = false;
  link.focus();
}

function stop() {
  isStopped = true;
  for (const request of running.values()) request.abort();
  served?.port.postMessage({ closed: true });
  served?.port.close();
  for (const id of ["origin", "stop", "sign-in"]) find(id).hidden = true;
  show("Stopped", "This window no longer relays requests. You can close it.");
}

find("stop").addEventListener("click", () => {
  stop();
  window.close();
});
find("sign-in").addEventListener("click", () => {
  find("sign-in").hidden = true;
  find("stop").focus();
});
// A page that is gone needs no bridge.
setInterval(() => {
  if (served && window.opener?.closed !== false) window.close();
}, 1000);
window.addEventListener("pagehide", () => served?.port.postMessage({ closed: true }));

if (window.opener && window.top === window) {
  window.addEventListener("message", connect);
  // The page cannot know this origin. Only what is at it now is told to the page, which then offers a channel.
  window.opener.postMessage({ upstashHelper: "bridge-loaded" }, "*");
  setTimeout(() => {
    if (!served && !isStopped) show("The page does not answer", OUTDATED);
  }, ANSWER_MS);
} else show("Nothing to do here", "This page works only in a window that another page has opened.");
