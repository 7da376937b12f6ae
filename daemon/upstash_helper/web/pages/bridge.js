/**
 * The bridge: carries requests to the helper for the page that opened this window, and for that page alone.
 *
 * Who that is, the browser says with the page's first message (`event.origin`), and every request names it, so that the
 * helper treats them as that page's own. Nothing of this origin is added to a request: no token, no session.
 */

const ON_BEHALF_OF = 'Upstash-Helper-On-Behalf-Of';
const METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);
const PATHS = /^\/(?:v1|upstash)\//;
const HEADERS = new Set([
  'accept', 'authorization', 'content-type', 'idempotency-key', 'if-match', 'if-none-match', 'last-event-id',
]);
const MOST_AT_ONCE = 32;
const LARGEST_BODY = 1024 * 1024;

/** @param {string} id @returns {HTMLElement} */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {{origin: string, port: MessagePort} | null} */
let served = null;
let isOver = false;
/** @type {Map<number, AbortController>} */
const running = new Map();

/** @param {string} title @param {string} text */
function say(title, text) {
  find('title').textContent = title;
  find('text').textContent = text;
}

/** Take the first message of the page that opened this window, and no other. @param {MessageEvent} event */
function meet(event) {
  const [port] = event.ports;
  if (event.source !== window.opener || event.data?.upstashHelper !== 'bridge' || !port || isOver) return;
  if (event.origin === 'null' || event.origin === location.origin) return;
  // The page knocks until it is heard. What comes later from the same page is the same channel, once more.
  if (served) return;
  served = { origin: event.origin, port };
  port.onmessage = ({ data }) => take(data);
  port.postMessage({ ready: true });
  say('Carrying requests for',
    'Your browser keeps this page from apps on this computer. Leave this window open while you use it.');
  find('origin').textContent = event.origin;
  for (const id of ['origin', 'stop']) find(id).hidden = false;
}

/** @param {any} message */
function take(message) {
  if (!Number.isSafeInteger(message?.id)) return;
  if (message.abort === true) running.get(message.id)?.abort();
  else if (isFit(message)) carry(message);
  else served?.port.postMessage({ id: message.id, failed: true });
}

/** @param {any} message */
function isFit({ id, method, path, headers, body }) {
  return METHODS.has(method) && isPath(path) && isHeaders(headers)
    && (body === null || (typeof body === 'string' && body.length <= LARGEST_BODY))
    && !running.has(id) && running.size < MOST_AT_ONCE;
}

/** Whether it is one of the API, and written so that it means no other. @param {unknown} path */
function isPath(path) {
  if (typeof path !== 'string' || !PATHS.test(path)) return false;
  const { origin, pathname, search } = new URL(path, location.origin);
  return origin === location.origin && pathname + search === path;
}

/** @param {unknown} headers */
function isHeaders(headers) {
  return Array.isArray(headers) && headers.every((pair) => Array.isArray(pair) && pair.length === 2
    && HEADERS.has(pair[0]) && typeof pair[1] === 'string');
}

/** @param {{id: number, method: string, path: string, headers: [string, string][], body: string | null}} message */
async function carry({ id, method, path, headers, body }) {
  if (!served) return;
  const { origin, port } = served;
  const stop = new AbortController();
  running.set(id, stop);
  try {
    const response = await fetch(path, {
      method, body, headers: [...headers, [ON_BEHALF_OF, origin]], signal: stop.signal,
      mode: 'same-origin', credentials: 'omit', cache: 'no-store', redirect: 'error',
    });
    port.postMessage({ id, head: { status: response.status, headers: [...response.headers] } });
    await pass(id, port, method === 'POST' && path === '/v1/connection' ? offered(response) : response.body);
    port.postMessage({ id, end: true });
  } catch {
    port.postMessage({ id, failed: true });
  } finally {
    running.delete(id);
  }
}

/** @param {number} id @param {MessagePort} port @param {ReadableStream<Uint8Array> | null} body */
async function pass(id, port, body) {
  if (!body) return;
  const reader = body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    port.postMessage({ id, chunk: value });
  }
}

/**
 * Where the helper has begun a sign-in, offer it here: the page's click is spent, and only a click opens a window.
 * The address is the helper's word, and not the page's. @param {Response} response
 */
function offered(response) {
  const copy = response.clone();
  copy.json().then(({ authorization_url: url }) => {
    if (response.status !== 202 || !/^https?:\/\//.test(url)) return;
    const link = /** @type {HTMLAnchorElement} */ (find('sign-in'));
    link.href = url;
    link.hidden = false;
    link.focus();
  }).catch(() => {});
  return response.body;
}

function stop() {
  isOver = true;
  for (const request of running.values()) request.abort();
  served?.port.postMessage({ closed: true });
  served?.port.close();
  for (const id of ['origin', 'stop', 'sign-in']) find(id).hidden = true;
  say('Stopped', 'No more requests go through this window. You can close it.');
}

find('stop').addEventListener('click', () => {
  stop();
  window.close();
});
find('sign-in').addEventListener('click', () => {
  find('sign-in').hidden = true;
  find('stop').focus();
});
// Who is gone needs no bridge.
setInterval(() => { if (served && window.opener?.closed !== false) window.close(); }, 1000);
window.addEventListener('pagehide', () => served?.port.postMessage({ closed: true }));

if (window.opener && window.top === window) window.addEventListener('message', meet);
else say('Nothing to do here', 'This page works only in a window that another page has opened.');
