/** Which requests the bridge relays. They come from the page that opened it, so they may be anything. */

/**
 * @typedef {object} RelayedRequest
 * @property {number} id
 * @property {string} method
 * @property {string} path
 * @property {[string, string][]} headers
 * @property {string | null} body
 */

const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);
const PATHS = /^\/(?:v1|upstash)\//;
const HEADERS = new Set([
  "accept",
  "authorization",
  "content-type",
  "idempotency-key",
  "if-match",
  "if-none-match",
  "last-event-id",
]);
/** Characters. */
const MAX_BODY = 1024 * 1024;

/**
 * Return whether a message is a request of the API that can be relayed.
 *
 * @param {Partial<Record<keyof RelayedRequest, unknown>>} message
 * @param {string} origin The bridge's own.
 */
export function isRelayable({ method, path, headers, body }, origin) {
  return (
    typeof method === "string" && METHODS.has(method) && isPath(path, origin) && isHeaders(headers) && isBody(body)
  );
}

/**
 * Return whether it is a path of the API, in the one spelling that cannot mean another.
 *
 * @param {unknown} path
 * @param {string} origin
 */
function isPath(path, origin) {
  if (typeof path !== "string" || !PATHS.test(path)) return false;
  const url = new URL(path, origin);
  return url.origin === origin && url.pathname + url.search === path;
}

/** @param {unknown} headers */
function isHeaders(headers) {
  return Array.isArray(headers) && headers.every(isHeader);
}

/** @param {unknown} pair */
function isHeader(pair) {
  return Array.isArray(pair) && pair.length === 2 && HEADERS.has(pair[0]) && typeof pair[1] === "string";
}

/** @param {unknown} body */
function isBody(body) {
  return body === null || (typeof body === "string" && body.length <= MAX_BODY);
}
