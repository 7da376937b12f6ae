/** Calls of the helper's API. The session belongs to this tab: it is kept in sessionStorage, and in no cookie. */

/** @import { DashboardSession, FieldError, Problem } from "./openapi.js" */

const KEY = "upstash-helper.session";
const TIMEOUT_MS = 60_000;

/** An error that the helper answered (RFC 9457 problem details), or that it did not answer. */
export class ApiError extends Error {
  /** @param {Partial<Problem>} problem */
  constructor(problem) {
    super(problem.detail || "The helper sent an answer that this page does not understand.");
    /** 0 if there was no answer. */
    this.status = problem.status ?? 0;
    this.code = problem.code ?? "unexpected";
    /** @type {FieldError[]} */
    this.errors = problem.errors ?? [];
  }
}

/** Return what to show for an error. The text of any other than the helper's is for the console. @param {unknown} error */
export function messageOf(error) {
  if (error instanceof ApiError) return error.message;
  console.error(error);
  return "Something went wrong in this page. Reload it, and try again.";
}

/** @returns {string | null} */
export function session() {
  return sessionStorage.getItem(KEY);
}

export function forgetSession() {
  sessionStorage.removeItem(KEY);
}

/**
 * Forget a session that was copied to this tab. A window gets a copy of the entire sessionStorage of the tab that opened
 * it, even if another site's page was there. A tab's own session is found after a reload, or by going back.
 */
export function forgetCopiedSession() {
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  if (navigation?.type === "navigate") forgetSession();
}

/** @type {(reason: ApiError) => void} */
let onSessionEnd = () => {};

/**
 * Have `callback` called when the helper no longer accepts this session.
 *
 * @param {(reason: ApiError) => void} callback
 */
export function whenSessionEnds(callback) {
  onSessionEnd = callback;
}

/** @type {(text: string) => void} */
let onNotRecorded = () => {};

/**
 * Have `callback` called with what to tell the user when a change has taken effect and could not be saved yet.
 *
 * @param {(text: string) => void} callback
 */
export function whenNotRecorded(callback) {
  onNotRecorded = callback;
}

/**
 * Take the ticket out of the address, so that it is in no history and on no screenshot, and exchange it for a session.
 *
 * @returns {Promise<void>}
 * @throws {ApiError} If the ticket is not valid.
 */
export async function exchangeTicket() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const ticket = fragment.get("ticket");
  if (!ticket) return;
  // The section to show may stay in the address; only the ticket must go.
  const section = /^[a-z]+$/.exec(fragment.get("section") ?? "")?.[0];
  history.replaceState(null, "", location.pathname + (section ? `#${section}` : ""));
  forgetSession(); // a ticket always starts a new session
  /** @type {DashboardSession} */
  const { token } = await call("POST", "/v1/dashboard/sessions", { ticket });
  sessionStorage.setItem(KEY, token);
}

/**
 * Send a request and return the JSON of its answer; null for 204.
 *
 * @template T
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<T>}
 * @throws {ApiError}
 */
export async function call(method, path, body, headers = {}) {
  const response = await send(method, path, {
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 204) return /** @type {T} */ (null);
  const answer = await response.json().catch(() => {
    throw new ApiError({ status: response.status });
  });
  if (answer?.recorded === false && answer.notice) onNotRecorded(answer.notice);
  return answer;
}

/**
 * Send a request with the session's token.
 *
 * @param {string} method
 * @param {string} path
 * @param {{ body?: string, headers?: Record<string, string>, signal?: AbortSignal }} [options]
 * @returns {Promise<Response>} An answer whose status is 2xx.
 * @throws {ApiError}
 */
export async function send(method, path, options = {}) {
  const token = session();
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, method, headers, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (options.signal?.aborted && error instanceof Error && error.name === "AbortError") throw error;
    throw new ApiError({
      code: "unreachable",
      detail: "The helper is not responding. Start it with: upstash-helper start",
    });
  }
  if (response.ok) return response;
  const problem = new ApiError(await response.json().catch(() => ({ status: response.status })));
  // After a restart, the helper's pages have another origin, and it no longer serves this one.
  const isSessionOver = ["invalid_token", "origin_mismatch", "host_not_allowed"].includes(problem.code);
  if (token && isSessionOver && token === session()) {
    forgetSession();
    onSessionEnd(problem);
  }
  throw problem;
}
