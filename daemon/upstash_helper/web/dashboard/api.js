/** Calls of the helper's API. The session is this tab's alone: in its sessionStorage, and in no cookie. */

const KEY = "upstash-helper.session";
const SECONDS = 60;

/** An error that the helper answered, as RFC 9457 problem details; or that it did not answer at all. */
export class Problem extends Error {
  /** @param {{status?: number, code?: string, detail?: string, errors?: {pointer: string, detail: string}[]}} told */
  constructor(told) {
    super(told.detail || "The helper answered something that this page does not understand.");
    this.status = told.status ?? 0;
    this.code = told.code ?? "unexpected";
    this.errors = told.errors ?? [];
  }
}

/** @returns {string | null} */
export function session() {
  return sessionStorage.getItem(KEY);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

/** Who is told that the session is over. @type {(reason: Problem) => void} */
let over = () => {};

/** Have `told` called when the helper no longer takes this session. */
export function whenOver(told) {
  over = told;
}

/**
 * Take the ticket out of the address, so that it is in no history and on no screenshot, and hand it in.
 *
 * @returns {Promise<void>}
 * @throws {Problem} If it is not taken.
 */
export async function handIn() {
  const given = new URLSearchParams(location.hash.slice(1));
  const ticket = given.get("ticket");
  if (!ticket) return;
  // The section that whoever opened it wants to show; only the ticket must go.
  const section = /^[a-z]+$/.exec(given.get("section") ?? "")?.[0];
  history.replaceState(null, "", location.pathname + (section ? `#${section}` : ""));
  forget(); // whoever comes with a ticket wants a new session
  const { token } = await call("POST", "/v1/dashboard/sessions", { ticket });
  sessionStorage.setItem(KEY, token);
}

/**
 * Send one request and return the JSON of its answer.
 *
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function call(method, path, body, headers = {}) {
  const response = await send(method, path, {
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    signal: AbortSignal.timeout(SECONDS * 1000),
  });
  if (response.status === 204) return null;
  return response.json();
}

/** Send one request with the session's token. @throws {Problem} */
export async function send(method, path, options = {}) {
  const token = session();
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, method, headers, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (options.signal?.aborted && error?.name === "AbortError") throw error;
    const detail = "The helper does not answer. Start it with: upstash-helper start";
    throw new Problem({ code: "unreachable", detail });
  }
  if (response.ok) return response;
  const problem = new Problem(await response.json().catch(() => ({ status: response.status })));
  if (token && (problem.code === "invalid_token" || problem.code === "origin_mismatch") && token === session()) {
    forget();
    over(problem);
  }
  throw problem;
}
