/** Requesting access to the account, and waiting for the user's decision. */

import {
  AnswerLost,
  ApiError,
  HelperBusy,
  HelperNotRunning,
  PairingDenied,
  PairingExpired,
  PairingReplaced,
} from "./errors.js";
import { pause } from "./timing.js";

/** @import { Session } from "./session.js" */
/** @import { SignInWindow } from "./sign_in_window.js" */
/** @import { Progress, Scope, UserCode } from "./types.js" */

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

const CONNECT = "connection:write";

/** @typedef {{ id: string, user_code: string, poll_secret: string, interval: number, expires_at: string }} Pairing */

/**
 * Request access for the page, wait for the decision, and keep the token. If the page goes away or an error ends it,
 * the request is withdrawn.
 *
 * @param {Session} session
 * @param {AccessRequest} request
 * @param {Run} run
 */
export async function pair(session, request, run) {
  const pairing = await start(session, request, run.signal);
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
async function start(session, request, signal) {
  /** @type {object} */
  let body = { ...request, connect_if_needed: true };
  /** @returns {Promise<Pairing>} */
  const send = () => session.call("POST", "/v1/pairings", { token: null, body, signal });
  try {
    return await send();
  } catch (error) {
    if (isOlder(error)) {
      body = { ...request, scopes: [...new Set([...request.scopes, CONNECT])] };
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
export async function whileAway(poll, signal, until = Date.now() + AWAY_MS) {
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
