// Generated from web/connect; do not edit. CONTRIBUTING.md says how to build it.
/**
 * connect.js: gives a web page or a browser extension access to its user's Upstash account, through upstash-helper, the
 * program on the user's computer that keeps the account's API key. It has no dependencies and needs no build step: load
 * it from the helper (`http://localhost:3000/connect.js`), or copy this file into your project. The types are in
 * `connect.d.ts`. If you draw your own button, use `connect-core.js`, which is the same without ours.
 *
 *     <script type="module" src="connect.js"></script>
 *     <upstash-connect name="Orders" scopes="databases:read databases:write"></upstash-connect>
 *
 *     import { connectUpstash } from "./connect.js";
 *     const upstash = await connectUpstash({ name: "Orders", scopes: ["databases:read"], onCode: show });
 *     for (const database of await upstash.databases.list()) …
 *
 * The page's token. When the user approves the page, it gets a token that is valid for its exact origin and the granted
 * scopes, until the user revokes it. By default it is kept in the origin's localStorage, where every script of that
 * origin can read it, as it could use the page itself. Pass `storage` to keep it elsewhere: sessionStorage for a token
 * that ends with the tab, or your own `{ getItem, setItem, removeItem }`, which may be asynchronous.
 *
 * The helper's address. It is where this module was loaded from, if that is a helper; otherwise `http://localhost:3000`
 * or, where the user leaves that port to other programs, `http://localhost:26300`, `:26301` or `:26302`. A program that
 * answers there must prove that it is the helper before anything is sent to it, since many programs use port 3000. A
 * token is sent only to the address that issued it. A page with a Content-Security-Policy lists all four in
 * `connect-src`.
 */

/** The errors that callers catch, and which of the helper's problems becomes which of them. */

/** What every function here throws. */
class UpstashHelperError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [help]
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, help = "", options = undefined) {
    super(message, options);
    this.name = new.target.name;
    /** Stable: programs distinguish errors by it. @readonly @type {string} */
    this.code = code;
    /** What to do about it, for a person. May be empty. @readonly @type {string} */
    this.help = help;
  }
}

/** `helper_not_running`: the helper does not respond where it should be. */
class HelperNotRunning extends UpstashHelperError {
  /** @param {string[]} urls @param {unknown} [cause] @param {string} [next] @param {string} [more] Further help. */
  constructor(urls, cause, next, more = "") {
    const start = "start it on this computer with: upstash-helper start. If it is not installed, install it first.";
    super(
      "helper_not_running",
      `upstash-helper is not responding at ${urls.join(" or ")}.`,
      (next === undefined
        ? `S${start.slice(1)}`
        : `If it is running, another program is using that address: try again to check ${next}. Otherwise, ${start}`) +
        more,
      { cause },
    );
    /** @readonly @type {string} */
    this.url = urls[0];
    /**
     * Where the next attempt looks, if that is another address: the bridge tries one address per click.
     *
     * @readonly @type {string | undefined}
     */
    this.next = next;
  }
}

/**
 * `helper_not_running`, for the bridge: its window did not open the helper's page. A page cannot see whether the helper
 * is not there or the browser does not find it.
 */
class BridgeNotOpened extends HelperNotRunning {
  /** @param {string} url @param {string} bridge @param {string} [next] */
  constructor(url, bridge, next) {
    const { host, hostname } = new URL(bridge);
    super(
      [url],
      undefined,
      next,
      ` If the window showed that ${hostname} cannot be found, this browser does not open addresses at *.localhost: ` +
        `use Chrome, Edge, Firefox, or another browser that opens http://${host}.`,
    );
  }
}

/** `helper_outdated`: the helper is of a version that cannot prove that it is the helper. */
class HelperOutdated extends UpstashHelperError {
  /** @param {string} url */
  constructor(url) {
    super(
      "helper_outdated",
      `The upstash-helper at ${url} is too old for this page.`,
      "Update it on this computer, then restart it with: upstash-helper restart",
    );
  }
}

/** `helper_busy`: the user cannot be asked now, or this page sends too many requests. */
class HelperBusy extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} retryAfter */
  constructor(problem, retryAfter) {
    const wait = retryAfter === null ? "a moment" : `${retryAfter} seconds`;
    const isPending = problem.code === "pairing_pending";
    super(
      "helper_busy",
      problem.detail,
      isPending
        ? `Answer the request that is pending in upstash-helper, or try again in ${wait}.`
        : `Try again in ${wait}.`,
    );
    /** Seconds. @readonly @type {number | null} */
    this.retryAfter = retryAfter;
    /** @readonly @type {Problem} */
    this.problem = problem;
  }
}

/** `permission_denied`: the browser blocks the page from reaching programs on this device (Local Network Access). */
class PermissionDenied extends UpstashHelperError {
  constructor() {
    super(
      "permission_denied",
      "Your browser does not allow this page to reach apps on this device.",
      "Open the site settings next to the address bar, allow “Apps on device” (or “Local network access”), and try again.",
    );
  }
}

/** `mixed_content_blocked`: the browser lets no https page reach http://localhost (Safari). From a click, the bridge helps. */
class MixedContentBlocked extends UpstashHelperError {
  constructor() {
    super(
      "mixed_content_blocked",
      "This browser does not allow https pages to reach apps on this device directly.",
      "Try again from a button: upstash-helper then opens a window that relays the requests.",
    );
  }
}

/** `popup_blocked`: the browser did not open the window. */
class PopupBlocked extends UpstashHelperError {
  /** @param {string} url */
  constructor(url) {
    super(
      "popup_blocked",
      "Your browser blocked the window.",
      "Open the link yourself, or allow pop-ups for this page.",
    );
    /** Show it as a link, and call again afterwards. @readonly @type {string} */
    this.url = url;
  }
}

/** `bridge_closed`: the helper's window that relayed the requests was closed. */
class BridgeClosed extends UpstashHelperError {
  constructor() {
    super(
      "bridge_closed",
      "The upstash-helper window was closed or stopped.",
      "This browser needs it. Connect again, and leave it open.",
    );
  }
}

/** `pairing_denied`: the user denied the request. */
class PairingDenied extends UpstashHelperError {
  constructor() {
    super(
      "pairing_denied",
      "You denied this app's request.",
      "If that was a mistake, request access again in a minute.",
    );
  }
}

/** `pairing_expired`: the user did not answer the request in time. */
class PairingExpired extends UpstashHelperError {
  constructor() {
    super(
      "pairing_expired",
      "The request was not approved in time.",
      "Request access again, and approve it within two minutes.",
    );
  }
}

/** `pairing_replaced`: another tab or window of this site has requested access, which replaced the request of this page. */
class PairingReplaced extends UpstashHelperError {
  constructor() {
    super(
      "pairing_replaced",
      "Another tab or window of this app has requested access, which replaced this request.",
      "Continue there, or connect again here.",
    );
  }
}

/** `app_blocked`: the user blocked requests from this origin. */
class Blocked extends UpstashHelperError {
  constructor() {
    super(
      "app_blocked",
      "This app is blocked in upstash-helper.",
      "To unblock it, find it with: upstash-helper approvals blocked",
    );
  }
}

/** `token_revoked`: the user revoked the page's access. The token is deleted; connect again to request a new one. */
class TokenRevoked extends UpstashHelperError {
  constructor() {
    super("token_revoked", "This app's access was revoked in upstash-helper.", "Connect again to request access.");
  }
}

/** `connect_failed`: the account was not connected. The message and the help are the helper's own texts. */
class ConnectFailed extends UpstashHelperError {
  /** @param {string} reason @param {{ title?: string, detail?: string }} [text] */
  constructor(reason, { title = "The account was not connected", detail } = {}) {
    super("connect_failed", `${title}.`, detail || "Try again.");
    /** Stable, such as `access_denied`, `expired`, `helper_restarted`. @readonly @type {string} */
    this.reason = reason;
  }
}

/** `answer_lost`: the request was sent but its answer was lost, so it is not known whether it took effect. */
class AnswerLost extends UpstashHelperError {
  constructor() {
    super(
      "answer_lost",
      "The connection to upstash-helper was lost before it answered.",
      "Check whether the change was made before you try again.",
    );
  }
}

/** `aborted`: canceled by `signal`, or by the button's Cancel. */
class Aborted extends UpstashHelperError {
  constructor() {
    super("aborted", "This was canceled.");
  }
}

/** Any other refusal; `code` is that of the problem. */
class ApiError extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} [retryAfter] */
  constructor(problem, retryAfter = null) {
    super(problem.code, problem.detail);
    /** @readonly @type {number} */
    this.status = problem.status;
    /** @readonly @type {Problem} */
    this.problem = problem;
    /** Seconds. @readonly @type {number | null} */
    this.retryAfter = retryAfter;
  }
}

const BUSY = new Set(["pairing_pending", "too_many_pairings", "rate_limited"]);
const GONE = new Set(["pairing_expired", "pairing_not_found", "token_already_delivered"]);

/**
 * Return the error for a response whose status is not 2xx.
 *
 * @param {Response} response
 * @returns {Promise<UpstashHelperError>}
 */
async function errorOf(response) {
  const problem = /** @type {Problem | null} */ (await response.json().catch(() => null));
  if (typeof problem?.code !== "string") {
    return new ApiError({
      status: response.status,
      code: "unexpected_answer",
      title: "Unexpected answer",
      detail: `This answer (${response.status}) is not from upstash-helper: another program is using its port.`,
    });
  }
  const retryAfter = problem.retry_after ?? null;
  if (response.status === 401) return new TokenRevoked();
  if (BUSY.has(problem.code)) return new HelperBusy(problem, retryAfter);
  if (problem.code === "pairing_replaced") return new PairingReplaced();
  if (GONE.has(problem.code)) return new PairingExpired();
  if (problem.code === "pairing_denied") return new PairingDenied();
  if (problem.code === "app_blocked") return new Blocked();
  return new ApiError(problem, retryAfter);
}

/** Waiting, and giving up. */

/**
 * @param {AbortSignal | undefined} signal
 * @throws {Aborted}
 */
function throwIfAborted(signal) {
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
function pause(ms, signal) {
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
function after(ms) {
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
function anyOf(...signals) {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

/** Requesting access to the account, and waiting for the user's decision. */

/** For how long the helper may be away while something is pending: it may be restarting. */
const AWAY_MS = 60_000;
const RETRY_MS = 1_000;

/**
 * What a call of `connectUpstash` works with.
 *
 * @typedef {object} Run
 * @property {SignInWindow} window
 * @property {AbortSignal | undefined} signal
 * @property {(progress: Progress) => void} onProgress
 * @property {(code: UserCode) => void} onCode
 * @property {((url: string) => void) | undefined} onPopupBlocked
 */

/**
 * The helper adds `connection:write` to the scopes if no account is connected: only then can a sign-in be needed, and
 * only then is the user asked about it. A page without access cannot know.
 *
 * @typedef {{ name: string, scopes: string[], reason: string }} AccessRequest
 */

const CONNECT$1 = "connection:write";

/** @typedef {{ id: string, user_code: string, poll_secret: string, interval: number, expires_at: string }} Pairing */

/**
 * Request access for the page, wait for the decision, and keep the token. If the page goes away or an error ends it,
 * the request is withdrawn.
 *
 * @param {Session} session
 * @param {AccessRequest} request
 * @param {Run} run
 */
async function pair(session, request, run) {
  const pairing = await start$1(session, request, run.signal);
  const path = `/v1/pairings/${pairing.id}`;
  const options = { token: pairing.poll_secret, signal: run.signal };
  const withdraw = async () => {
    if (!session.isVerified) return;
    const headers = { authorization: `Bearer ${pairing.poll_secret}` };
    await session.send(path, { method: "DELETE", headers, keepalive: true }).catch(() => {});
  };
  const leave = () => {
    run.window.close();
    void withdraw();
  };
  globalThis.addEventListener?.("pagehide", leave);
  try {
    const code = { userCode: pairing.user_code, expiresAt: new Date(pairing.expires_at) };
    run.window.showCode(code.userCode);
    run.onCode(code);
    run.onProgress({ step: "approval", ...code });
    await approval(session, path, options, pairing.interval, code.expiresAt);
    /** @type {{ token: string, scopes: Scope[] }} */
    const granted = await session.call("POST", `${path}/token`, options);
    const requested = [...new Set([...request.scopes, ...granted.scopes])];
    await session.keep({ token: granted.token, requested, scopes: granted.scopes });
  } catch (error) {
    await withdraw();
    throw error;
  } finally {
    globalThis.removeEventListener?.("pagehide", leave);
  }
}

/**
 * @param {Session} session
 * @param {AccessRequest} request
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Pairing>}
 */
async function start$1(session, request, signal) {
  /** @type {object} */
  let body = { ...request, connect_if_needed: true };
  /** @returns {Promise<Pairing>} */
  const send = () => session.call("POST", "/v1/pairings", { token: null, body, signal });
  try {
    return await send();
  } catch (error) {
    if (isOlder(error)) {
      body = { ...request, scopes: [...new Set([...request.scopes, CONNECT$1])] };
      return send();
    }
    if (!(error instanceof HelperBusy) || error.problem.code !== "pairing_pending") throw error;
  }
  // A helper of an earlier version does not let a page replace its own request. A page that was reloaded withdraws its
  // request as it goes, and that may still be on its way.
  await pause(RETRY_MS, signal);
  return send();
}

/** Return whether a helper does not know `connect_if_needed`, which was added later. @param {unknown} error */
function isOlder(error) {
  const errors = error instanceof ApiError ? (error.problem.errors ?? []) : [];
  return errors.some(({ detail }) => detail.includes("connect_if_needed"));
}

/**
 * Wait until the user has approved the request.
 *
 * @param {Session} session
 * @param {string} path
 * @param {{ token: string, signal?: AbortSignal }} options
 * @param {number} interval Seconds between two polls.
 * @param {Date} expiresAt
 * @throws {PairingDenied}
 * @throws {PairingExpired}
 * @throws {PairingReplaced}
 */
async function approval(session, path, options, interval, expiresAt) {
  /** @returns {Promise<{ state: string, replaced?: boolean }>} */
  const poll = () => session.call("GET", path, options);
  for (;;) {
    const { state, replaced: isReplaced } = await whileAway(poll, options.signal, expiresAt.getTime() + 5_000);
    if (state === "approved") return;
    if (state === "denied") throw new PairingDenied();
    if (state === "expired") throw isReplaced ? new PairingReplaced() : new PairingExpired();
    await pause(interval * 1000, options.signal);
  }
}

/**
 * Repeat `poll` while the helper is away or busy: it remembers requests across a restart.
 *
 * @template T
 * @param {() => Promise<T>} poll
 * @param {AbortSignal | undefined} signal
 * @param {number} [until] When to give up, in milliseconds since the epoch.
 * @returns {Promise<T>}
 */
async function whileAway(poll, signal, until = Date.now() + AWAY_MS) {
  for (;;) {
    try {
      return await poll();
    } catch (error) {
      const isTemporary =
        error instanceof HelperNotRunning || error instanceof AnswerLost || error instanceof HelperBusy;
      if (!isTemporary || Date.now() > until) throw error;
    }
    await pause(RETRY_MS, signal);
  }
}

/** Connecting the account: starting a sign-in, and following it to its end. */

const POLL_MS = 800;
/** How long the window stays visible after a sign-in. The page in it closes it, too. */
const LINGER_MS = 2_500;

/** States in which no sign-in can be started. */
const STUCK = new Set(["needs_email", "keyring_locked", "keyring_unavailable", "port_conflict"]);

/** The scope that starting a sign-in needs. */
const CONNECT = "connection:write";

/** @typedef {Connection & { state: "connected" }} AlreadyConnected */
/**
 * Without an address, the sign-in was started by someone else, and is finished there.
 *
 * @typedef {{ state: string, attempt_id: string, authorization_url?: string, joined?: boolean }} StartedAttempt
 */
/** @typedef {{ state: string, reason?: string, title?: string, detail?: string }} Attempt */

/**
 * Return whether the page needs a sign-in that it may not start, and has not requested to start before: when it was given
 * access, an account was connected, and now none is.
 *
 * @param {Session} session
 * @param {{ signal?: AbortSignal }} options
 */
async function needsToSignIn(session, { signal }) {
  if (!session.has("connection:read") || session.has(CONNECT) || session.hasRequested([CONNECT])) return false;
  /** @type {Connection} */
  const { state } = await session.call("GET", "/v1/connection", { signal });
  return state !== "connected" && !STUCK.has(state);
}

/**
 * Connect an account, if none is, and return the connection; null if the page may not read it.
 *
 * @param {Session} session
 * @param {Run} run
 * @returns {Promise<Connection | null>}
 */
async function connectAccount(session, run) {
  const { signal } = run;
  /** @type {Connection | null} */
  const connection = session.has("connection:read") ? await session.call("GET", "/v1/connection", { signal }) : null;
  if (!connection || connection.state === "connected") {
    run.window.close();
    return connection;
  }
  if (STUCK.has(connection.state)) throw new ConnectFailed(connection.state, connection);
  if (!session.has(CONNECT)) {
    await session.keepRefusal(CONNECT);
    throw new ConnectFailed("not_connected", {
      title: connection.title ?? "No account connected",
      detail: "This page may not start a sign-in. Connect an account in upstash-helper: upstash-helper connect",
    });
  }
  const started = await start(session, signal);
  if (isConnected(started)) {
    run.window.close();
    return started;
  }
  try {
    await signIn(session, started, run);
  } catch (error) {
    if (error instanceof Aborted && !started.joined) await cancel(session, started.attempt_id);
    throw error;
  }
  return session.call("GET", "/v1/connection", { signal });
}

/** @param {AlreadyConnected | StartedAttempt} answer @returns {answer is AlreadyConnected} */
function isConnected(answer) {
  return answer.state === "connected";
}

/**
 * @param {Session} session
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<AlreadyConnected | StartedAttempt>}
 */
async function start(session, signal) {
  try {
    return await session.call("POST", "/v1/connection", { body: { open_browser: false }, signal });
  } catch (error) {
    // Where the callback port is opened only for a sign-in, only now is it known that another program has it.
    if (!(error instanceof ApiError) || !STUCK.has(error.code)) throw error;
    throw new ConnectFailed(error.code, error.problem);
  }
}

/**
 * @param {Session} session
 * @param {string} attemptId
 */
async function cancel(session, attemptId) {
  await session.call("DELETE", `/v1/connection/attempts/${attemptId}`).catch(() => {});
}

/**
 * @param {Session} session
 * @param {StartedAttempt} started
 * @param {Run} run
 */
async function signIn(session, started, run) {
  const url = started.authorization_url ?? "";
  if (!url) {
    run.window.close();
    run.onProgress({ step: "sign-in-elsewhere" });
    await completed(session, started.attempt_id, url, run);
    return;
  }
  // The window of a bridge offers the sign-in: the click that could open another window is spent.
  const isShown = session.isBridged || (await run.window.navigate(url));
  if (!isShown && !run.onPopupBlocked) throw new PopupBlocked(url);
  run.onProgress({ step: session.isBridged ? "sign-in-bridge" : "sign-in", url });
  if (!isShown) run.onPopupBlocked?.(url);
  await completed(session, started.attempt_id, url, run);
  run.window.close(LINGER_MS);
}

/**
 * Wait until the sign-in has succeeded. Only the helper knows: a window behind a strict sign-in page looks closed early.
 *
 * @param {Session} session
 * @param {string} attemptId
 * @param {string} url
 * @param {Run} run
 * @throws {ConnectFailed}
 */
async function completed(session, attemptId, url, run) {
  let looksClosed = 0;
  let reported = "";
  /** @param {"connecting" | "window-closed" | "decision"} step */
  const report = (step) => {
    if (reported !== step) run.onProgress({ step, url });
    reported = step;
  };
  for (;;) {
    const attempt = await whileAway(() => readAttempt(session, attemptId, run.signal), run.signal);
    if (attempt.state === "succeeded") return;
    if (attempt.state === "failed" || attempt.state === "expired") {
      throw new ConnectFailed(attempt.reason ?? attempt.state, attempt);
    }
    if (attempt.state === "exchanging") report("connecting");
    else if (attempt.state === "confirmation_required") report("decision");
    else if (url && run.window.seemsClosed) {
      looksClosed += 1;
      if (looksClosed > 3) report("window-closed");
    }
    await pause(POLL_MS, run.signal);
  }
}

/**
 * @param {Session} session
 * @param {string} attemptId
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Attempt>}
 */
async function readAttempt(session, attemptId, signal) {
  try {
    return await session.call("GET", `/v1/connection/attempts/${attemptId}`, { signal });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "attempt_not_found") throw error;
    // The helper forgets sign-ins when it stops.
    throw new ConnectFailed("helper_restarted", { title: "upstash-helper was restarted during the sign-in" });
  }
}

/** Server-sent events, read by fetch: an EventSource cannot send an Authorization header. */

/**
 * Read a stream of server-sent events (HTML standard, section 9.2.6). The data of each is JSON.
 *
 * @param {ReadableStream<Uint8Array> | null} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
async function* serverSentEvents(body) {
  if (!body) return;
  const decoder = /** @type {ReadableWritablePair<string, Uint8Array>} */ (new TextDecoderStream());
  const reader = body.pipeThrough(decoder).getReader();
  try {
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {ServerSentEvent | null} */
function parseEvent(block) {
  const found = { type: "message", data: "", id: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (field === "data") found.data += (found.data && "\n") + value;
    else if (field === "event") found.type = value;
    else if (field === "id") found.id = value;
  }
  return found.data ? { ...found, data: JSON.parse(found.data) } : null;
}

/** What the browser lets the page do, and where its windows go. */

const LOOPBACK = /^(?:(?:.+\.)?localhost|127\.0\.0\.1|\[::1\])$/;

/** @param {string} hostname */
function isLoopback(hostname) {
  return LOOPBACK.test(hostname);
}

/** Return whether the browser may ask the user before it sends a request of this page to this computer. */
function mayPrompt() {
  const page = globalThis.location;
  return page?.protocol === "https:" || (page?.protocol === "http:" && !isLoopback(page.hostname));
}

/**
 * Return the state of the Local Network Access permission, whose name depends on the version of the browser.
 *
 * @returns {Promise<PermissionState | "unknown">}
 */
async function networkPermission() {
  for (const name of ["loopback-network", "local-network-access", "local-network"]) {
    try {
      return (await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) })).state;
    } catch {
      // This browser does not know the name.
    }
  }
  return "unknown";
}

/** Only WebKit treats http://localhost as mixed content, and it reports no more than that the request failed. */
function blocksMixedContent() {
  return globalThis.location?.protocol === "https:" && (navigator.vendor ?? "").startsWith("Apple");
}

/**
 * Return the features of a popup window in the middle of the page's own.
 *
 * @param {{ width: number, height: number }} size
 * @returns {string}
 */
function popupFeatures({ width, height }) {
  const left = Math.round((globalThis.screenX ?? 0) + ((globalThis.outerWidth ?? width) - width) / 2);
  const top = Math.round((globalThis.screenY ?? 0) + ((globalThis.outerHeight ?? height) - height) / 3);
  return `popup,width=${width},height=${height},left=${left},top=${top}`;
}

/** The window in which the user signs in. */

const SIZE$1 = { width: 480, height: 720 };

const WAITING_CSS = `
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; box-sizing: border-box; padding: 1.5rem;
    background: light-dark(#f6f7f8, #101513); color: light-dark(#17211d, #e8eeeb);
    font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; text-align: center; }
  h1 { margin: 0 0 1.5rem; font-size: 1.375rem; line-height: 1.25; letter-spacing: -.01em; text-wrap: balance; }
  p { margin: 0; color: light-dark(#56635d, #9fb0a8); text-wrap: pretty; }
  .step { margin-bottom: .75rem; font-size: .875rem; }
  .code { margin: .5rem 0 1.5rem; font: 600 2rem/1.2 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; color: light-dark(#17211d, #e8eeeb); }
  .quiet { font-size: .875rem; }
`;

/**
 * It is opened while the click still counts, which is before its address is known, and shows the code until then.
 */
class SignInWindow {
  #openElsewhere;
  /** @type {Window | null} */
  #popup = null;
  /** Whether it was sent to the sign-in page. */
  hasNavigated = false;

  /** @param {((url: string) => unknown) | undefined} openElsewhere Opens an address in another way than in a window. */
  constructor(openElsewhere) {
    this.#openElsewhere = openElsewhere;
  }

  /** Open it empty, if the click still counts. */
  prepare() {
    if (this.#openElsewhere || this.#isOpen || !globalThis.navigator?.userActivation?.isActive) return;
    this.#popup = globalThis.open?.("", "_blank", popupFeatures(SIZE$1)) ?? null;
  }

  get #isOpen() {
    return this.#popup !== null && !this.#popup.closed;
  }

  /** Whether it was opened, and seems closed. */
  get seemsClosed() {
    return this.#popup?.closed ?? false;
  }

  /** @param {string} userCode */
  showCode(userCode) {
    if (!this.#isOpen || !this.#popup) return;
    try {
      writeWaiting(this.#popup, userCode);
    } catch {
      // It was navigated elsewhere. The page shows the code, too.
    }
  }

  /**
   * Go to the sign-in page.
   *
   * @param {string} url
   * @returns {Promise<boolean>} Whether a window shows it.
   */
  async navigate(url) {
    this.hasNavigated = true;
    if (this.#openElsewhere) {
      await this.#openElsewhere(url);
      return true;
    }
    if (this.#isOpen && this.#popup) this.#popup.location.replace(url);
    else this.#popup = globalThis.open?.(url, "_blank", popupFeatures(SIZE$1)) ?? null;
    return this.#popup !== null;
  }

  /** @param {number} [ms] After how long. */
  close(ms = 0) {
    const popup = this.#popup;
    if (ms === 0) popup?.close();
    else setTimeout(() => popup?.close(), ms);
  }
}

/**
 * @param {Window} popup
 * @param {string} userCode
 */
function writeWaiting(popup, userCode) {
  const { document } = popup;
  // Constructed by the window itself, so that a page whose policy allows no inline styles can show it as well.
  const sheet = new /** @type {Window & typeof globalThis} */ (popup).CSSStyleSheet();
  sheet.replaceSync(WAITING_CSS);
  document.adoptedStyleSheets = [sheet];
  document.title = "Connect Upstash";
  document.documentElement.lang = "en";
  /** @param {string} name @param {string} text @param {string} [className] */
  const element = (name, text, className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const main = document.createElement("main");
  main.append(
    element("p", "Waiting for you", "step"),
    element("h1", "Approve this request in upstash-helper"),
    element("p", "It shows the same code:"),
    element("p", userCode, "code"),
    element("p", "If your account is not connected yet, you then sign in to Upstash here.", "quiet"),
  );
  document.body.replaceChildren(main);
}

/** Requests that go straight to the helper; bridge.js has the alternative. */

/** @typedef {(path: string, init: RequestInit) => Promise<Response>} Send */

/** @param {string} url @returns {Send} */
function directly(url) {
  return (path, init) =>
    fetch(url + path, {
      ...init,
      mode: "cors",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      redirect: "error",
    });
}

/** Return 128 random bits. Not by randomUUID, which pages without TLS do not have. @returns {string} */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a page can do once it has access. */

const RECONNECT_MS = 1_000;
const PAGE_SIZE = "200";

/**
 * The sessions of clients.
 *
 * @type {WeakMap<UpstashClient, Session>}
 */
const SESSIONS = new WeakMap();

/**
 * Have `callback` called when the client's token is no longer valid: given back, or revoked.
 *
 * @param {UpstashClient} client
 * @param {() => void} callback
 */
function onSignedOut(client, callback) {
  const session = SESSIONS.get(client);
  if (session) session.onForgotten = callback;
}

/** The user's account, within what the user granted to this page. Each call throws `UpstashHelperError`. */
class UpstashClient {
  /** @type {Session} */
  #session;

  /**
   * @private
   * @param {Session} session
   */
  constructor(session) {
    this.#session = session;
    SESSIONS.set(this, session);
    /** @readonly */
    this.databases = Databases.of(session);
  }

  /**
   * @internal
   * @param {Session} session
   */
  static of(session) {
    return new UpstashClient(session);
  }

  /** What the user granted, which may be less than was requested. @returns {Scope[]} */
  get scopes() {
    return [...(this.#session.stored?.scopes ?? [])];
  }

  /**
   * Return the state of the connection to the account. Scope: `connection:read`.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<Connection>}
   */
  connection(options) {
    return this.#session.call("GET", "/v1/connection", options);
  }

  /**
   * Connect an account where none is connected (any more). Call it from a click. Scopes: `connection:read` and
   * `connection:write`, which `connectUpstash` requests if it is needed. Null if the page may not read the connection.
   *
   * @param {ReconnectOptions} [options]
   * @returns {Promise<Connection | null>}
   */
  async connect({ open, signal, onProgress = () => {}, onPopupBlocked } = {}) {
    const run = { window: new SignInWindow(open), signal, onProgress, onCode: () => {}, onPopupBlocked };
    return connectAccount(this.#session, run);
  }

  /**
   * Return the regions in which a database can be created.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<Region[]>}
   */
  async regions(options) {
    /** @type {{ regions: Region[] }} */
    const { regions } = await this.#session.call("GET", "/v1/regions", options);
    return regions;
  }

  /**
   * Follow what happens until `signal` aborts; an interrupted stream resumes where it broke. Scope: `connection:read`;
   * changes of databases come with `databases:read`.
   *
   * @param {(event: HelperEvent) => void} callback
   * @param {CallOptions & { lastEventId?: string }} [options]
   * @returns {Promise<void>}
   * @throws {TokenRevoked} When the user revokes the page's access.
   */
  async events(callback, { signal, lastEventId = "" } = {}) {
    const position = { id: lastEventId };
    while (!signal?.aborted) {
      try {
        await follow(this.#session, callback, position, signal);
      } catch (error) {
        if (signal?.aborted && !(error instanceof TokenRevoked)) return;
        const isTemporary =
          error instanceof HelperNotRunning ||
          error instanceof AnswerLost ||
          error instanceof TypeError ||
          (error instanceof ApiError && error.status === 429);
        if (!isTemporary) throw error;
      }
      await pause(RECONNECT_MS, signal).catch(() => {});
    }
  }

  /**
   * Return what the page's token is: the app's id, identity, scopes and expiry.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<TokenInfo>}
   */
  token(options) {
    return this.#session.call("GET", "/v1/token", options);
  }

  /** Replace the token with a new one. The old one stops working. @returns {Promise<void>} */
  async rotate() {
    const requested = this.#session.stored?.requested ?? [];
    /** @type {{ token: string, scopes: Scope[] }} */
    const { token, scopes } = await this.#session.call("POST", "/v1/token/rotate");
    await this.#session.keep({ token, requested, scopes });
  }

  /** Give the token back. The account stays connected for other apps. @returns {Promise<void>} */
  async signOut() {
    try {
      if (this.#session.stored) await this.#session.call("DELETE", "/v1/token");
    } catch (error) {
      if (!(error instanceof TokenRevoked)) throw error;
    } finally {
      await this.#session.forget();
    }
  }
}

/** The databases of the account. Fields are named as in the API: `primary_region`, `rest_url`. */
class Databases {
  /** @type {Session} */
  #session;

  /**
   * @private
   * @param {Session} session
   */
  constructor(session) {
    this.#session = session;
  }

  /**
   * @internal
   * @param {Session} session
   */
  static of(session) {
    return new Databases(session);
  }

  /**
   * Return all databases, by name. Scope: `databases:read`.
   *
   * @param {CallOptions & { refresh?: boolean }} [options] `refresh`: ask Upstash, and not the helper's cache.
   * @returns {Promise<Database[]>}
   */
  async list({ refresh = false, signal } = {}) {
    /** @type {Database[]} */
    const found = [];
    const query = new URLSearchParams({ page_size: PAGE_SIZE, ...(refresh && { refresh: "true" }) });
    for (;;) {
      /** @type {{ databases: Database[], next_page_token?: string | null }} */
      const page = await this.#read(`/v1/databases?${query}`, signal);
      found.push(...page.databases);
      if (!page.next_page_token) return found;
      query.set("page_token", page.next_page_token);
      query.delete("refresh");
    }
  }

  /**
   * Create a database. If the answer is lost, the request is repeated with the same idempotency key, so that there is
   * never a second one. Scope: `databases:write`.
   *
   * @param {NewDatabase} wanted
   * @param {CallOptions & { idempotencyKey?: string }} [options]
   * @returns {Promise<Database>}
   */
  async create(wanted, { idempotencyKey = randomKey(), signal } = {}) {
    const headers = { "idempotency-key": idempotencyKey };
    for (let wait = 500; ; wait *= 2) {
      try {
        return await this.#session.call("POST", "/v1/databases", { body: wanted, headers, signal });
      } catch (error) {
        const isTemporary =
          error instanceof AnswerLost ||
          error instanceof HelperNotRunning ||
          (error instanceof ApiError && error.code === "request_in_progress");
        if (!isTemporary || wait > 8_000) throw error;
      }
      await pause(wait, signal);
    }
  }

  /**
   * Scope: `databases:read`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<Database>}
   */
  get(id, { signal } = {}) {
    return this.#read(pathOf(id), signal);
  }

  /**
   * Scope: `databases:write`.
   *
   * @param {string} id
   * @param {DatabaseChanges} changes
   * @param {CallOptions & { ifMatch?: string }} [options]
   * @returns {Promise<Database>}
   */
  change(id, changes, { ifMatch, signal } = {}) {
    return this.#session.call("PATCH", pathOf(id), { body: changes, headers: ifMatchHeader(ifMatch), signal });
  }

  /**
   * Scope: `databases:delete`.
   *
   * @param {string} id
   * @param {CallOptions & { ifMatch?: string }} [options]
   * @returns {Promise<null>}
   */
  delete(id, { ifMatch, signal } = {}) {
    return this.#session.call("DELETE", pathOf(id), { headers: ifMatchHeader(ifMatch), signal });
  }

  /**
   * Return the URLs, the tokens and the password, which are secrets. Scope: `databases:credentials`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<DatabaseCredentials>}
   */
  credentials(id, { signal } = {}) {
    return this.#read(`${pathOf(id)}/credentials`, signal);
  }

  /**
   * Return the variables for a `.env` file. Scope: `databases:credentials`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<Record<string, string>>}
   */
  async env(id, options) {
    return (await this.credentials(id, options)).env;
  }

  /**
   * Repeat a read whose answer was lost: that does no harm.
   *
   * @template T
   * @param {string} path
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<T>}
   */
  async #read(path, signal) {
    try {
      return await this.#session.call("GET", path, { signal });
    } catch (error) {
      if (error instanceof AnswerLost) return this.#session.call("GET", path, { signal });
      throw error;
    }
  }
}

/** @param {string} id */
function pathOf(id) {
  return `/v1/databases/${encodeURIComponent(id)}`;
}

/** @param {string | undefined} etag @returns {Record<string, string>} */
function ifMatchHeader(etag) {
  return etag ? { "if-match": etag } : {};
}

/**
 * Read one event stream to its end.
 *
 * @param {Session} session
 * @param {(event: HelperEvent) => void} callback
 * @param {{ id: string }} position The id of the last event; updated.
 * @param {AbortSignal | undefined} signal
 */
async function follow(session, callback, position, signal) {
  /** @type {Record<string, string>} */
  const headers = position.id ? { "last-event-id": position.id } : {};
  const response = await session.request("GET", "/v1/events", { headers, signal, timeout: Infinity });
  for await (const event of serverSentEvents(response.body)) {
    if (event.id) position.id = event.id;
    if (event.type === "bye") return;
    if (event.type === "revoked") {
      await session.forget();
      throw new TokenRevoked();
    }
    callback(/** @type {HelperEvent} */ (event));
  }
}

/** Where the page's token and the helper's last address are kept. */

/** The key, beside the token, for the address of the helper, if it had to be discovered. */
const ADDRESS_KEY = "upstash-helper:at";

/** For pages without a storage (blocked by the user, or a worker): lasts as long as the page. @returns {TokenStorage} */
function inMemory() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => {
      kept.set(key, value);
    },
    removeItem: (key) => {
      kept.delete(key);
    },
  };
}

const MEMORY = inMemory();

/** @returns {TokenStorage} */
function defaultStorage() {
  try {
    return globalThis.localStorage ?? MEMORY;
  } catch {
    return MEMORY;
  }
}

/**
 * Return what is kept under `key`; null also where the storage fails.
 *
 * @param {TokenStorage} storage
 * @param {string} key
 * @returns {Promise<string | null>}
 */
async function read(storage, key) {
  try {
    return (await storage.getItem(key)) ?? null;
  } catch {
    return null;
  }
}

/**
 * As `read`, without waiting; null for an asynchronous storage.
 *
 * @param {TokenStorage} storage
 * @param {string} key
 */
function readNow(storage, key) {
  try {
    const found = storage.getItem(key);
    return typeof found === "string" ? found : null;
  } catch {
    return null;
  }
}

/** Finding the helper, and making sure that it is the helper. */

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
const PROBE_MS = 8_000;
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
function candidates(url, module = import.meta.url) {
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
async function isHelper(url, signal) {
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
async function firstHelper(urls, signal) {
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
async function discover(urls, storage, { signal, onProgress = () => {} } = {}) {
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
function startingWith(first, urls) {
  return first !== null && urls.includes(first) ? [first, ...urls.filter((url) => url !== first)] : urls;
}

/**
 * Return why nothing answered.
 *
 * @param {string[]} urls
 * @param {unknown} [cause]
 * @returns {Promise<UpstashHelperError>}
 */
async function unreachable(urls, cause) {
  if (mayPrompt() && (await networkPermission()) === "denied") return new PermissionDenied();
  return blocksMixedContent() ? new MixedContentBlocked() : new HelperNotRunning(urls, cause);
}

/** The alternative for pages that cannot reach http://localhost: a window of the helper relays their requests. */

const SIZE = { width: 420, height: 460 };
/** How often the window is checked, until it has taken a channel. */
const CHECK_MS = 150;
/** The site of the helper's own pages. Other programs have used `localhost`, and may have left something there. */
const SITE = "upstash-helper.localhost";

/**
 * What the window sends: that it is ready or closed, or a part of the response to request `id`.
 *
 * @typedef {{ id?: number, ready?: boolean, closed?: boolean, failed?: boolean, end?: boolean, chunk?: Uint8Array,
 *   head?: { status: number, headers: [string, string][] } }} BridgeMessage
 */

/**
 * Return where the bridge of the helper at `url` starts. It continues to the origin of the helper's own pages, which has
 * a random part that is new each time the helper starts.
 *
 * @param {string} url
 */
function bridgeOf(url) {
  const { port } = new URL(url);
  return `http://${SITE}${port && `:${port}`}/bridge`;
}

/**
 * Return whether `origin` is that of the pages of the helper at `url`.
 *
 * @param {string} origin
 * @param {string} url
 */
function isPagesOrigin(origin, url) {
  const found = /^http:\/\/[0-9a-f]{16}\.([^:]+)(?::([0-9]+))?$/.exec(origin);
  return found !== null && found[1] === SITE && (found[2] ?? "") === new URL(url).port;
}

/**
 * A window on the helper's own origin that relays requests. It learns from the browser which page opened it, and the
 * helper treats the requests as that page's own, so nothing gets access here that would not have it otherwise.
 */
class Bridge {
  /** @type {MessagePort | null} */
  #port = null;
  /** @type {Map<number, (message: BridgeMessage) => void>} */
  #relayed = new Map();
  #last = 0;
  #isClosed = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;
  /** Resolves once the window has taken a channel. @type {Promise<MessagePort>} */
  #channel;
  /** @type {(event: MessageEvent) => void} */
  #listener = () => {};

  /**
   * Call it from a click and before anything is awaited; otherwise the browser blocks the window.
   *
   * @param {string} url
   * @param {string} [next] The address that the next click tries.
   */
  constructor(url, next) {
    this.url = url;
    this.next = next;
    /** The origin of the page in the window, to which requests are sent; empty until it is open. */
    this.origin = "";
    const address = bridgeOf(url);
    const opened = globalThis.open(address, "upstash-helper-bridge", popupFeatures(SIZE));
    if (!opened) throw blocksMixedContent() ? new MixedContentBlocked() : new PopupBlocked(address);
    this.window = opened;
    /** The ports on which the window may answer: one for each time its page was loaded. */
    this.#channel = new Promise((resolve) => {
      this.#listener = (event) => {
        const isLoaded = event.source === opened && event.data?.upstashHelper === "bridge-loaded";
        if (!isLoaded || !isPagesOrigin(event.origin, url)) return;
        void this.#offer(event.origin).then((port) => {
          this.origin = event.origin;
          resolve(port);
        });
      };
    });
    globalThis.addEventListener?.("message", this.#listener);
  }

  /**
   * Wait until the window is ready.
   *
   * @param {AbortSignal} [signal]
   * @throws {HelperNotRunning}
   */
  async open(signal) {
    const until = Date.now() + PROBE_MS;
    /** @type {MessagePort | null} */
    let port = null;
    try {
      while (!port) {
        if (Date.now() > until) {
          this.window.close();
          throw new BridgeNotOpened(this.url, bridgeOf(this.url), this.next);
        }
        port = await Promise.race([this.#channel, pause(CHECK_MS, signal).then(() => null)]);
      }
    } finally {
      globalThis.removeEventListener?.("message", this.#listener);
    }
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data.closed) this.close();
      else this.#relayed.get(data.id)?.(data);
    };
    this.#watch = setInterval(() => {
      if (this.window.closed) this.close();
    }, 500);
  }

  /**
   * Offer the window a channel. Only the exact origin of the helper's own pages is ever given one.
   *
   * @param {string} origin
   * @returns {Promise<MessagePort>}
   */
  #offer(origin) {
    const { port1, port2 } = new MessageChannel();
    this.window.postMessage({ upstashHelper: "bridge" }, origin, [port2]);
    return new Promise((resolve) => {
      port1.onmessage = ({ data }) => {
        if (data.ready) resolve(port1);
      };
    });
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#watch);
    this.#port?.close();
    for (const take of [...this.#relayed.values()]) take({ failed: true });
    this.#relayed.clear();
  }

  /** @type {Send} */
  send = async (path, init) => {
    if (this.#isClosed || !this.#port) throw new BridgeClosed();
    this.#last += 1;
    const id = this.#last;
    const port = this.#port;
    const request = new RelayedRequest(
      () => port.postMessage({ id, abort: true }),
      () => this.#relayed.delete(id),
    );
    this.#relayed.set(id, (message) => request.take(message, this.#isClosed));
    init.signal?.addEventListener("abort", () => request.abort(init.signal?.reason));
    const headers = [...new Headers(init.headers)];
    port.postMessage({ id, method: init.method ?? "GET", path, headers, body: init.body ?? null });
    return request.response;
  };
}

/** How many bridges have found no helper. A click opens one window, so each click tries the next address. */
let failedBridges = 0;

/**
 * @param {string[]} urls
 * @param {TokenStorage} storage
 * @returns {Bridge}
 */
function bridgeTo(urls, storage) {
  const ordered = startingWith(readNow(storage, ADDRESS_KEY), urls);
  /** @param {number} turn */
  const at = (turn) => ordered[turn % ordered.length];
  return new Bridge(at(failedBridges), ordered.length > 1 ? at(failedBridges + 1) : undefined);
}

/**
 * Wait until a bridge is ready.
 *
 * @param {Bridge} bridge
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<string>} The helper's address.
 */
async function cross(bridge, signal) {
  try {
    await bridge.open(signal);
  } catch (error) {
    if (error instanceof HelperNotRunning) failedBridges += 1;
    throw error;
  }
  failedBridges = 0;
  return bridge.url;
}

/** A request that is being relayed. Its response comes in parts. */
class RelayedRequest {
  #stop;
  #over;
  /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
  #body;
  #stream;
  /** @type {(response: Response) => void} */
  #resolve = () => {};
  /** @type {(reason: unknown) => void} */
  #reject = () => {};

  /**
   * @param {() => void} stop Stops the request in the window.
   * @param {() => void} over Called at the end.
   */
  constructor(stop, over) {
    this.#stop = stop;
    this.#over = over;
    this.#stream = new ReadableStream({
      start: (controller) => {
        this.#body = controller;
      },
      cancel: stop,
    });
    /** @type {Promise<Response>} */
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /**
   * @param {BridgeMessage} message
   * @param {boolean} isClosed Whether the bridge is closed.
   */
  take({ head, chunk, end, failed }, isClosed) {
    if (failed) this.#end(isClosed ? new BridgeClosed() : new TypeError("The bridge got no answer."));
    else if (head) {
      const body = [204, 304].includes(head.status) ? null : this.#stream;
      this.#resolve(new Response(body, { status: head.status, headers: head.headers }));
    } else if (chunk) this.#body?.enqueue(chunk);
    else if (end) this.#end();
  }

  /** @param {unknown} reason */
  abort(reason) {
    this.#stop();
    this.#end(reason);
  }

  /** @param {unknown} [error] */
  #end(error) {
    this.#over();
    this.#reject(error);
    try {
      if (error) this.#body?.error(error);
      else this.#body?.close();
    } catch {
      // It has ended before.
    }
  }
}

/**
 * Proof that a server knows the page's token, before the token is sent to it: another program may have taken the
 * helper's port. The helper's side is `protocol/proof.py`.
 */

/**
 * Return whether the server proves that it knows the token.
 *
 * @param {Send} send
 * @param {string} url The address of the server.
 * @param {string} token
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<boolean>}
 * @throws {TokenRevoked} If the server answers that it does not know the token.
 * @throws {HelperOutdated} If it is a helper of an earlier version, or claims to be one.
 * @throws {ApiError} If another program has the same port of the other loopback address.
 */
async function provesToKnow(send, url, token, signal) {
  const digest = await sha256(encode(token));
  const keyId = (await hex(sha256(concat(encode("upstash-helper key id v1\n"), digest)))).slice(0, 32);
  const nonce = randomKey();
  const response = await send(`/v1/proof?key=${keyId}&nonce=${nonce}`, { method: "GET", headers: {}, signal });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer?.proof === null) throw new TokenRevoked();
  if (answer?.code === "not_found") throw new HelperOutdated(url);
  if (answer?.code === "port_conflict") throw new ApiError(answer);
  return answer?.proof === (await hmac(digest, `upstash-helper proof v1\n${new URL(url).host}\n${nonce}`));
}

/** @param {string} text */
const encode = (text) => new TextEncoder().encode(text);

/** @param {Uint8Array<ArrayBuffer>} bytes */
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {string} text
 */
async function hmac(key, text) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return hex(crypto.subtle.sign("HMAC", imported, encode(text)));
}

/** @param {Promise<ArrayBuffer | Uint8Array<ArrayBuffer>>} bytes */
async function hex(bytes) {
  return [...new Uint8Array(await bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} first
 * @param {Uint8Array} second
 */
function concat(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The page's token, and the requests that carry it. */

const CALL_MS = 60_000;
/** For how long after an answer of the helper no other program is assumed to have taken its address. */
const TRUSTED_MS = 10_000;

/**
 * What is stored for a helper's address. `requested` are the scopes that were requested: those that the user denied then
 * are not requested again. It stays in browsers for long, so a change of its fields must read what is stored already.
 *
 * @typedef {{ token: string, requested: string[], scopes: Scope[] }} StoredToken
 */

/**
 * @typedef {object} RequestOptions
 * @property {string | null} [token] Instead of the page's own; null for none.
 * @property {unknown} [body] Sent as JSON.
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] Milliseconds; may be Infinity.
 */

class Session {
  /** @type {string} */
  #target;
  /** When the helper last answered at this address. */
  #heardAt = Date.now();
  /** @type {StoredToken | null} */
  stored = null;
  /** Called when the token turns out to be no longer valid. */
  onForgotten = () => {};

  /** @param {{ url: string, storage: TokenStorage, isDiscovered?: boolean, bridge?: Bridge | null }} options */
  constructor({ url, storage, isDiscovered = false, bridge }) {
    this.url = url;
    this.storage = storage;
    /** Whether the helper's address had to be discovered. */
    this.isDiscovered = isDiscovered;
    this.send = bridge ? bridge.send : directly(url);
    this.isBridged = Boolean(bridge);
    /** The address that requests are sent to. */
    this.#target = bridge ? bridge.origin : url;
  }

  get #key() {
    return `upstash-helper:${this.url}`;
  }

  /** Read the stored token. */
  async load() {
    try {
      const stored = JSON.parse((await read(this.storage, this.#key)) ?? "null");
      // Pages have tokens of earlier versions, which named the requested scopes `wished`.
      this.stored =
        typeof stored?.token === "string" ? { ...stored, requested: stored.requested ?? stored.wished } : null;
    } catch {
      this.stored = null;
    }
  }

  /** @param {StoredToken} stored */
  async keep(stored) {
    this.stored = stored;
    try {
      await this.storage.setItem(this.#key, JSON.stringify(stored));
    } catch {
      // Full or blocked: then it lasts as long as the page.
    }
    await this.#rememberAddress();
  }

  /** Remember that the user did not grant `scope`, so that it is not requested again. @param {Scope} scope */
  async keepRefusal(scope) {
    if (this.stored) await this.keep({ ...this.stored, requested: [...new Set([...this.stored.requested, scope])] });
  }

  /** Have this address tried first from now on. */
  async #rememberAddress() {
    try {
      if (this.isDiscovered && (await read(this.storage, ADDRESS_KEY)) !== this.url) {
        await this.storage.setItem(ADDRESS_KEY, this.url);
      }
    } catch {
      // As above.
    }
  }

  /** Delete the token. */
  async forget() {
    this.stored = null;
    try {
      await this.storage.removeItem(this.#key);
      if ((await read(this.storage, ADDRESS_KEY)) === this.url) await this.storage.removeItem(ADDRESS_KEY);
    } catch {
      // Blocked: then nothing was stored.
    }
    this.onForgotten();
  }

  /** @param {Scope} scope */
  has(scope) {
    return this.stored?.scopes.includes(scope) ?? false;
  }

  /** Return whether all of `scopes` were requested before. @param {readonly string[]} scopes */
  hasRequested(scopes) {
    const { stored } = this;
    return stored !== null && scopes.every((scope) => stored.requested.includes(scope));
  }

  /**
   * Send a request and return the JSON of its answer; null for 204.
   *
   * @template T
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   * @returns {Promise<T>}
   * @throws {UpstashHelperError}
   */
  async call(method, path, options = {}) {
    const response = await this.request(method, path, options);
    if (response.status === 204) return /** @type {T} */ (null);
    return response.json().catch(() => {
      throwIfAborted(options.signal);
      throw new AnswerLost(); // the connection broke within the answer
    });
  }

  /**
   * As `call`, for the response itself.
   *
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, options = {}) {
    throwIfAborted(options.signal);
    if (options.token !== undefined) return this.#exchange(method, path, options.token, options);
    if (!this.stored) throw new TokenRevoked();
    const { token } = this.stored;
    try {
      return await this.#exchange(method, path, token, options);
    } catch (error) {
      // A call beside this one may have replaced the token. The helper did nothing with the old one.
      if (!(error instanceof TokenRevoked) || !this.stored || this.stored.token === token) throw error;
      return this.#exchange(method, path, this.stored.token, options);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #exchange(method, path, token, options) {
    await this.#verify(token, options);
    const response = await this.#answer(method, path, token, options);
    this.#heardAt = Date.now();
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.code === "unexpected_answer") this.#heardAt = 0;
    if (error instanceof TokenRevoked && token === this.stored?.token) await this.forget();
    throw error;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #answer(method, path, token, options) {
    try {
      return await this.#send(method, path, token, options);
    } catch (error) {
      throwIfAborted(options.signal);
      if (error instanceof UpstashHelperError) throw error;
      throw await this.#explain(token, options, error);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  #send(method, path, token, { body, headers, signal, timeout = CALL_MS }) {
    /** @type {Record<string, string>} */
    const sent = { ...headers };
    if (token !== null) sent.authorization = `Bearer ${token}`;
    if (body !== undefined) sent["content-type"] = "application/json";
    const limit = Number.isFinite(timeout) ? AbortSignal.timeout(timeout) : undefined;
    return this.send(path, {
      method,
      headers: sent,
      signal: anyOf(signal, limit),
      body: body === undefined ? null : JSON.stringify(body),
    });
  }

  /**
   * Find out why there was no answer. An origin whose access was revoked can read no answer but this one.
   *
   * @param {string | null} token
   * @param {RequestOptions} options
   * @param {unknown} cause
   * @returns {Promise<UpstashHelperError>}
   */
  async #explain(token, options, cause) {
    // An event, or another call, may have reported in the meantime that access was revoked.
    if (options.token === undefined && !this.stored) return new TokenRevoked();
    const isOwn = token !== null && token === this.stored?.token;
    this.#heardAt = 0;
    try {
      await this.#verify(isOwn ? token : null, { ...options, signal: undefined });
      return this.isBridged && !isOwn ? await unreachable([this.url], cause) : new AnswerLost();
    } catch (error) {
      return error instanceof UpstashHelperError ? error : unreachable([this.url], cause);
    }
  }

  /** Whether the helper answered a moment ago. The window of a bridge is the helper's own. */
  get isVerified() {
    return this.isBridged || Date.now() - this.#heardAt < TRUSTED_MS;
  }

  /**
   * Make sure that the helper is at its address: it may have stopped in the meantime, and another program may have taken
   * its port and imitate it. A token is sent only right after the server has proved that it knows it.
   *
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #verify(token, { token: given, signal }) {
    if (token === null && this.isVerified) return;
    const limit = anyOf(signal, AbortSignal.timeout(PROBE_MS));
    let isThere = false;
    try {
      isThere =
        token === null ? await isHelper(this.url, limit) : await provesToKnow(this.send, this.#target, token, limit);
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof TokenRevoked) throw given === undefined ? await this.#revoked(token) : new PairingExpired();
      if (error instanceof UpstashHelperError) throw error;
    }
    throwIfAborted(signal);
    if (!isThere) throw await unreachable([this.url]);
    this.#heardAt = Date.now();
  }

  /** Delete `token`, which the helper does not know any more, and return the error. @param {string | null} token */
  async #revoked(token) {
    if (token === this.stored?.token) await this.forget();
    return new TokenRevoked();
  }

  /**
   * Return whether the helper accepts the stored token. One that it does not accept is deleted.
   *
   * @param {{ signal?: AbortSignal }} [options]
   */
  async resume({ signal } = {}) {
    if (!this.stored) return false;
    try {
      /** @type {TokenInfo} */
      const { scopes } = await this.call("GET", "/v1/token", { signal, timeout: PROBE_MS });
      this.stored = { ...this.stored, scopes };
    } catch (error) {
      if (error instanceof TokenRevoked) return false;
      throw error instanceof AnswerLost ? new HelperNotRunning([this.url], error) : error;
    }
    await this.#rememberAddress();
    return true;
  }
}

/** The functions that a page calls. */

const DEFAULT_SCOPES = ["databases:read", "databases:write", "databases:credentials"];
/** Always requested: it shows whether a sign-in is needed. */
const REQUIRED_SCOPES = ["connection:read"];

/**
 * Reasons for a failed sign-in after which the window is closed. After any other it stays open, since its page explains
 * the failure.
 */
const UNEXPLAINED = new Set(["cancelled", "expired", "helper_restarted"]);

/**
 * Return whether the helper is running. The browser may first ask the user whether the page may reach this device;
 * `ask: false` answers false instead.
 *
 * @param {RunningOptions} [options]
 * @returns {Promise<boolean>}
 */
async function isHelperRunning({ timeout = 3000, url, ask = true } = {}) {
  const urls = candidates(url);
  if (!ask && mayPrompt() && (await networkPermission()) === "prompt") return false;
  try {
    await discover(urls, defaultStorage(), { signal: AbortSignal.timeout(timeout) });
    return true;
  } catch {
    return false;
  }
}

/**
 * Request access for the page and connect the user's account, unless that is already done, and return the client. Call
 * it from a click: only then does the browser open windows.
 *
 * @param {ConnectOptions} options
 * @returns {Promise<UpstashClient>}
 * @throws {UpstashHelperError} The subclass says why; `message` and `help` are for a person.
 */
async function connectUpstash(options) {
  const urls = candidates(options.url);
  const storage = options.storage ?? defaultStorage();
  const scopes = requestedScopes(options.scopes);
  const window = new SignInWindow(options.open);
  const { signal, onProgress = () => {}, onCode = () => {}, onPopupBlocked } = options;
  /** @type {Run} */
  const run = { window, signal, onProgress, onCode, onPopupBlocked };
  throwIfAborted(signal);
  // Before anything is awaited, since its window needs the click.
  const bridge = options.bridge || blocksMixedContent() ? bridgeTo(urls, storage) : null;
  onProgress({ step: "checking" });
  try {
    const url = bridge ? await cross(bridge, signal) : await discover(urls, storage, run);
    const session = new Session({ url, storage, isDiscovered: urls.length > 1, bridge });
    await session.load();
    const hasAccess = (await session.resume(run)) && session.hasRequested(scopes);
    if (!hasAccess || (await needsToSignIn(session, run))) {
      if (!bridge) window.prepare();
      await pair(session, { name: options.name, scopes, reason: options.reason ?? "" }, run);
    }
    const connection = await connectAccount(session, run);
    onProgress({ step: "connected", email: connection?.account?.email ?? null });
    return UpstashClient.of(session);
  } catch (error) {
    const isExplained = window.hasNavigated && error instanceof ConnectFailed && !UNEXPLAINED.has(error.reason);
    if (!isExplained) window.close();
    throw error;
  }
}

/**
 * Return the client if the page was given access before and still has it, otherwise null. The user is asked nothing.
 *
 * @param {ResumeOptions} [options]
 * @returns {Promise<UpstashClient | null>}
 */
async function resumeUpstash({ storage = defaultStorage(), url, signal } = {}) {
  const urls = candidates(url);
  const sessions = urls.map((at) => new Session({ url: at, storage, isDiscovered: urls.length > 1 }));
  await Promise.all(sessions.map((session) => session.load()));
  if (blocksMixedContent() || !sessions.some((session) => session.stored)) return null;
  const found = await discover(urls, storage, { signal });
  const session = sessions.find((one) => one.url === found);
  return session && (await session.resume({ signal })) ? UpstashClient.of(session) : null;
}

/** @param {string | readonly string[] | undefined} scopes @returns {string[]} */
function requestedScopes(scopes = DEFAULT_SCOPES) {
  const named = typeof scopes === "string" ? scopes.split(/[\s,]+/).filter(Boolean) : scopes;
  return [...new Set([...REQUIRED_SCOPES, ...(named.length ? named : DEFAULT_SCOPES)])];
}

/** The button `<upstash-connect>`, and the card that takes its place while it works. */

/**
 * What the button shows: a step of `connectUpstash`, or one of its own.
 *
 * @typedef {Progress | { step: "idle" } | { step: "missing" } | { step: "error" } | { step: "sign-in-link", url: string }
 * } ButtonState
 */

const ELEMENT_CSS = `
  :host {
    --_accent: var(--upstash-accent, light-dark(#00875a, #2fd196));
    --_on-accent: var(--upstash-on-accent, light-dark(#ffffff, #06231a));
    --_text: var(--upstash-text, light-dark(#17211d, #e8eeeb));
    --_quiet: var(--upstash-quiet, light-dark(#56635d, #9fb0a8));
    --_card: var(--upstash-card, light-dark(#ffffff, #181f1c));
    --_line: var(--upstash-line, light-dark(#dbe2de, #2f3a35));
    --_well: var(--upstash-well, light-dark(#f3f6f4, #101513));
    --_bad: var(--upstash-bad, light-dark(#b3402e, #ff8f7a));
    --_radius: var(--upstash-radius, .625rem);
    display: inline-block; max-width: 100%; vertical-align: middle; color: var(--_text); text-align: start;
    font: 1rem/1.5 var(--upstash-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
  }
  :host([hidden]) { display: none; }
  * { box-sizing: border-box; }
  :where(button, .button) { display: inline-flex; align-items: center; justify-content: center; gap: .625rem;
    min-height: 2.75rem; padding: .5rem 1.125rem; border: 1px solid transparent; border-radius: var(--_radius);
    font: inherit; font-weight: 600; text-decoration: none; white-space: nowrap;
    cursor: pointer; transition: filter .15s, background .15s; }
  .primary { background: var(--_accent); color: var(--_on-accent); }
  .primary:hover { filter: brightness(1.08); }
  .primary:active { filter: brightness(.95); }
  .plain { background: transparent; color: var(--_text); border-color: var(--_line); }
  .plain:hover { background: var(--_well); }
  .link { min-height: 2rem; padding: .25rem .5rem; margin-inline-end: -.5rem; background: none; color: var(--_quiet);
    font-weight: 500; font-size: .875rem; }
  .link:hover { color: var(--_text); background: var(--_well); }
  :focus-visible { outline: .1875rem solid color-mix(in srgb, var(--_accent) 55%, transparent); outline-offset: 2px; }
  svg { flex: none; width: 1.25rem; height: 1.25rem; }
  .card { width: 25rem; max-width: 100%; padding: 1.25rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: calc(var(--_radius) * 1.5); }
  .head { display: flex; gap: .75rem; align-items: flex-start; }
  .head > div { flex: 1; min-width: 0; }
  .head svg, .head .spin { margin-top: .125rem; }
  .title { margin: 0; font-size: 1rem; font-weight: 600; line-height: 1.5; text-wrap: balance; }
  .text { margin: .25rem 0 0; color: var(--_quiet); font-size: .9375rem; text-wrap: pretty; overflow-wrap: anywhere; }
  .code { margin: 1rem 0 0; padding: .75rem; text-align: center; background: var(--_well);
    border-radius: var(--_radius); font: 600 1.625rem/1.3 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; }
  .command { display: block; margin: .75rem 0 0; padding: .5rem .75rem; background: var(--_well);
    border-radius: var(--_radius); font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    overflow-wrap: anywhere; }
  .actions { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: 1rem; }
  .chip { display: flex; align-items: center; gap: .625rem; min-height: 2.75rem; max-width: 100%;
    padding: .375rem .75rem .375rem .875rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: var(--_radius); }
  .who { min-width: 0; line-height: 1.35; overflow-wrap: anywhere; }
  .good { color: var(--_accent); } .bad { color: var(--_bad); }
  .spin { flex: none; width: 1.25rem; height: 1.25rem; border: .1875rem solid var(--_line);
    border-top-color: var(--_accent); border-radius: 50%; animation: turn 1s linear infinite; }
  .card:focus { outline: none; }
  .aside { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
    white-space: nowrap; }
  @keyframes turn { to { transform: rotate(1turn); } }
  @media (prefers-reduced-motion: reduce) { .spin { animation-duration: 4s; } button { transition: none; } }
`;

/** Where users get the helper, as in pyproject.toml. */
const HELP_URL = "https://upstash.com/docs";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  mark: ["M5 6v7a7 7 0 0 0 14 0V6", "M12 7.5v.01"],
  done: ["M4.5 12.5l5 5 10-11"],
  error: ["M12 7v6", "M12 17v.01", "M12 2.5a9.5 9.5 0 1 1 0 19 9.5 9.5 0 0 1 0-19z"],
};

/**
 * @param {keyof typeof ICONS} name
 * @param {string} [className]
 */
function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = {
    viewBox: "0 0 24 24",
    fill: "none",
    stroke: "currentColor",
    "stroke-width": name === "error" ? "2" : "2.75",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
    class: className,
  };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  for (const d of ICONS[name]) svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("d", d);
  return svg;
}

/**
 * Make an element. Functions among the attributes are event listeners; null is left out.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | null | (() => void)>} attributes
 * @param {...(Node | string | null)} children
 */
function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Title and text of the steps in which the button waits.
 *
 * @type {Record<Exclude<ButtonState["step"], "idle" | "connected" | "missing" | "error">, [string, string]>}
 */
const WAITING = {
  checking: ["Looking for upstash-helper", "It keeps your Upstash account on this computer."],
  permission: [
    "Your browser asks about this page",
    "Choose Allow, so that this page can reach upstash-helper on this device.",
  ],
  approval: [
    "Approve this page in upstash-helper",
    "Use its dashboard, its tray icon, or “upstash-helper approvals approve”. It shows the same code:",
  ],
  "sign-in": ["Sign in to Upstash", "A window has opened. This page continues when you are done."],
  "sign-in-bridge": ["Sign in to Upstash", "Use the button in the upstash-helper window, and leave that window open."],
  "sign-in-link": ["Sign in to Upstash", "Your browser blocked the sign-in window."],
  "sign-in-elsewhere": [
    "A sign-in is in progress elsewhere",
    "Finish it where it was started, or start your own in upstash-helper. This page continues when an account is connected.",
  ],
  "window-closed": [
    "Have you finished signing in?",
    "The window seems to be closed. If you are not done, open it again.",
  ],
  connecting: ["Connecting your account", "You are signed in to Upstash. Your key is being stored on this computer."],
  decision: [
    "Waiting for your decision",
    "Another account is connected. upstash-helper asks you whether to replace it, in its dashboard and its tray icon.",
  ],
};

// Outside of a page, in a worker for instance, there are no elements.
const ElementBase = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/**
 * `<upstash-connect name="Orders" scopes="databases:read databases:write">`: the button, and what comes after it.
 * Importing the module defines it.
 *
 * Attributes: `name`, `scopes` and `reason` as in `connectUpstash`; `label` for the text on the button; `help-url` for
 * a page on how to get the helper, in place of the default one (empty: no link); `url` and `bridge`, for tests. Events:
 * see `UpstashConnectEvents`. Colors: the custom properties `--upstash-accent`, `--upstash-on-accent`,
 * `--upstash-text`, `--upstash-quiet`, `--upstash-card`, `--upstash-line`, `--upstash-well`, `--upstash-bad`; also
 * `--upstash-radius` and `--upstash-font`. Light or dark as the page's own `color-scheme`.
 */
class UpstashConnectElement extends ElementBase {
  /**
   * Where the token is kept, as in `connectUpstash`. Set it before the element is in the page.
   *
   * @type {TokenStorage | undefined}
   */
  storage = undefined;
  /** @type {UpstashClient | null} */
  #client = null;
  /** @type {UpstashHelperError | null} */
  #error = null;
  /** @type {AbortController | null} */
  #run = null;
  /** @type {ButtonState} */
  #state = { step: "idle" };
  /** @type {HTMLElement} */
  #stage;
  /** @type {HTMLElement} */
  #announcer;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(ELEMENT_CSS);
    this.#stage = h("div", {});
    this.#announcer = h("div", { class: "aside", role: "status", "aria-live": "polite" });
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#stage, this.#announcer);
  }

  /** @internal */
  connectedCallback() {
    this.#show(this.#state);
    if (!this.#client && !this.#run) void this.#resume();
  }

  /** @internal */
  disconnectedCallback() {
    this.#run?.abort();
  }

  /** The client, once the account is connected. @returns {UpstashClient | null} */
  get client() {
    return this.#client;
  }

  /** Why the last attempt failed. @returns {UpstashHelperError | null} */
  get error() {
    return this.#error;
  }

  /** The current step. It is also an attribute, for styles. @returns {ButtonState["step"]} */
  get state() {
    return this.#state.step;
  }

  /** Do what a click on the button does. @returns {Promise<void>} */
  async connect() {
    if (this.#run) return;
    const run = new AbortController();
    this.#run = run;
    this.#error = null;
    /** @param {ButtonState} state */
    const onProgress = (state) => {
      if (this.#run === run) this.#show(state);
    };
    try {
      const client = await connectUpstash({
        ...this.#options,
        signal: run.signal,
        onProgress,
        onPopupBlocked: (url) => onProgress({ step: "sign-in-link", url }),
      });
      if (this.#run === run) this.#connected(client, "email" in this.#state ? this.#state.email : null);
    } catch (error) {
      if (this.#run === run) this.#failed(error);
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** Cancel what is under way. */
  cancel() {
    const run = this.#run;
    this.#run = null;
    this.#show({ step: "idle" });
    run?.abort();
  }

  /** Give the page's token back. @returns {Promise<void>} */
  async signOut() {
    await this.#client?.signOut();
  }

  get #options() {
    /** @param {string} name */
    const attribute = (name) => this.getAttribute(name) ?? undefined;
    return {
      name: attribute("name") || document.title || location.host,
      scopes: attribute("scopes"),
      reason: attribute("reason"),
      url: attribute("url"),
      bridge: this.hasAttribute("bridge"),
      storage: this.storage,
    };
  }

  /** Show at once that a page that was given access before still has it. */
  async #resume() {
    try {
      const { url, storage, bridge } = this.#options;
      const client = bridge ? null : await resumeUpstash({ url, storage });
      if (!client || this.#run || !this.isConnected) return;
      const connection = client.scopes.includes("connection:read") ? await client.connection() : null;
      if (this.#run || (connection && connection.state !== "connected")) return;
      this.#connected(client, connection?.account?.email ?? null);
    } catch {
      // Perhaps the helper is not running. The user finds out when connecting.
    }
  }

  /**
   * @param {UpstashClient} client
   * @param {string | null} email
   */
  #connected(client, email) {
    this.#client = client;
    onSignedOut(client, () => this.#signedOut(client));
    this.#show({ step: "connected", email });
    this.#dispatch("upstash-connected", { client, email });
  }

  /** @param {UpstashClient} client */
  #signedOut(client) {
    if (this.#client !== client) return;
    this.#client = null;
    this.#show({ step: "idle" });
    this.#dispatch("upstash-signed-out", {});
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof Aborted) {
      this.#show({ step: "idle" });
      return;
    }
    this.#error =
      error instanceof UpstashHelperError
        ? error
        : new UpstashHelperError("unexpected", "Something went wrong.", "Reload this page, and try again.", {
            cause: error,
          });
    this.#show({ step: error instanceof HelperNotRunning ? "missing" : "error" });
    this.#dispatch("upstash-error", { error: this.#error });
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** @param {ButtonState} state */
  #show(state) {
    this.#state = state;
    this.setAttribute("state", state.step);
    const hadFocus = this.shadowRoot?.activeElement != null;
    this.#stage.replaceChildren(this.#draw(state));
    this.#announcer.textContent = this.#announcement(state);
    if (hadFocus) /** @type {HTMLElement | null} */ (this.#stage.querySelector("[data-first]"))?.focus();
  }

  /** @param {ButtonState} state @returns {HTMLElement} */
  #draw(state) {
    switch (state.step) {
      case "idle":
        return h(
          "button",
          { type: "button", class: "primary", "data-first": "", click: () => this.connect() },
          icon("mark"),
          this.getAttribute("label") ?? "Connect Upstash",
        );
      case "connected":
        return h(
          "div",
          { class: "chip" },
          icon("done", "good"),
          h("span", { class: "who" }, state.email ? `Connected as ${state.email}` : "Connected"),
          h(
            "button",
            { type: "button", class: "link", "data-first": "", click: () => this.signOut().catch(() => {}) },
            "Sign out",
          ),
        );
      case "missing":
      case "error":
        return this.#drawError();
      default:
        return this.#drawWaiting(state);
    }
  }

  /** @param {Exclude<ButtonState, { step: "idle" | "connected" | "missing" | "error" }>} state */
  #drawWaiting(state) {
    const [title, text] = WAITING[state.step];
    const { step } = state;
    return card(
      h("span", { class: "spin", "aria-hidden": "true" }),
      title,
      text,
      step === "approval" ? h("p", { class: "code" }, state.userCode) : null,
      h(
        "div",
        { class: "actions" },
        step === "sign-in-link" || step === "window-closed"
          ? h(
              "a",
              { class: "button primary", href: state.url, target: "_blank", rel: "noopener noreferrer" },
              step === "sign-in-link" ? "Sign in to Upstash" : "Open it again",
            )
          : null,
        h("button", { type: "button", class: "plain", click: () => this.cancel() }, "Cancel"),
      ),
    );
  }

  #drawError() {
    const error = this.#error;
    const isMissing = error instanceof HelperNotRunning;
    const helpUrl = this.getAttribute("help-url") ?? HELP_URL;
    const retry = h("button", { type: "button", class: "primary", click: () => this.connect() }, "Try again");
    if (!isMissing) {
      const dismiss = h("button", { type: "button", class: "plain", click: () => this.cancel() }, "Dismiss");
      const actions = h("div", { class: "actions" }, retry, dismiss);
      return card(icon("error", "bad"), error?.message ?? "", error?.help ?? "", actions);
    }
    const [title, text] = error.next
      ? ["upstash-helper is not responding", error.help]
      : [
          "upstash-helper is not running",
          "It keeps your Upstash credential on this computer, so that pages never see it. If it is installed, start it in a terminal:",
        ];
    const help = helpUrl
      ? h("a", { class: "button plain", href: helpUrl, target: "_blank", rel: "noopener" }, "Get upstash-helper")
      : null;
    return card(
      icon("error", "bad"),
      title,
      text,
      h("code", { class: "command" }, "upstash-helper start"),
      h("div", { class: "actions" }, retry, help),
    );
  }

  /** What a screen reader says. @param {ButtonState} state */
  #announcement(state) {
    switch (state.step) {
      case "idle":
        return "";
      case "connected":
        return state.email ? `Connected as ${state.email}` : "Connected";
      case "missing":
        return "upstash-helper is not running.";
      case "error":
        return `${this.#error?.message} ${this.#error?.help}`;
      case "approval":
        return `${WAITING.approval.join(". ")} ${state.userCode}`;
      default:
        return WAITING[state.step].join(". ");
    }
  }
}

/**
 * @param {Element} sign
 * @param {string} title
 * @param {string} text
 * @param {...(Node | null)} more
 */
function card(sign, title, text, ...more) {
  return h(
    "div",
    { class: "card", role: "group", "aria-label": title, tabindex: "-1", "data-first": "" },
    h(
      "div",
      { class: "head" },
      sign,
      h("div", {}, h("p", { class: "title" }, title), text ? h("p", { class: "text" }, text) : null),
    ),
    ...more,
  );
}

if (globalThis.customElements && !customElements.get("upstash-connect")) {
  customElements.define("upstash-connect", UpstashConnectElement);
}

export {
  Aborted,
  AnswerLost,
  ApiError,
  Blocked,
  BridgeClosed,
  ConnectFailed,
  HelperBusy,
  HelperNotRunning,
  HelperOutdated,
  MixedContentBlocked,
  PairingDenied,
  PairingExpired,
  PairingReplaced,
  PermissionDenied,
  PopupBlocked,
  TokenRevoked,
  UpstashClient,
  UpstashConnectElement,
  UpstashHelperError,
  connectUpstash,
  isHelperRunning,
  resumeUpstash,
  serverSentEvents,
};
