/** The functions that a page calls. */

import { connectAccount, needsToSignIn } from "./account.js";
import { bridgeTo, cross } from "./bridge.js";
import { UpstashClient } from "./client.js";
import { candidates, discover } from "./discovery.js";
import { blocksMixedContent, mayPrompt, networkPermission } from "./environment.js";
import { ConnectFailed } from "./errors.js";
import { pair } from "./pairing.js";
import { Session } from "./session.js";
import { SignInWindow } from "./sign_in_window.js";
import { defaultStorage } from "./storage.js";
import { throwIfAborted } from "./timing.js";

/** @import { Run } from "./pairing.js" */
/** @import { ConnectOptions, ResumeOptions, RunningOptions } from "./types.js" */

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
export async function isHelperRunning({ timeout = 3000, url, ask = true } = {}) {
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
export async function connectUpstash(options) {
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
export async function resumeUpstash({ storage = defaultStorage(), url, signal } = {}) {
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
