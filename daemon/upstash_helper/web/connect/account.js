/** Connecting the account: starting a sign-in, and following it to its end. */

import { Aborted, ApiError, ConnectFailed, PopupBlocked } from "./errors.js";
import { whileAway } from "./pairing.js";
import { pause } from "./timing.js";

/** @import { Run } from "./pairing.js" */
/** @import { Session } from "./session.js" */
/** @import { Connection } from "./types.js" */

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
export async function needsToSignIn(session, { signal }) {
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
export async function connectAccount(session, run) {
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
