/** What the dashboard says about the connection: its states, and sign-ins that failed or wait. */

/** @import { IconName } from "./dom.js" */
/** @import { Attempt, Connection } from "./openapi.js" */

/** @typedef {"ok" | "warn" | "bad" | "quiet"} Tone */

/**
 * Of each state the icon, the tone, the title and the text.
 *
 * @type {Record<Connection["state"], [icon: IconName, tone: Tone, title: string, text: string]>}
 */
const STATES = {
  disconnected: [
    "plug",
    "quiet",
    "No account is connected",
    "Sign in to Upstash once, and every app with access can use your account.",
  ],
  connecting: [
    "refresh",
    "warn",
    "Waiting for your sign-in",
    "Finish it in the Upstash window. This page updates when you are done.",
  ],
  connected: ["check", "ok", "Connected", ""],
  needs_email: [
    "mail",
    "warn",
    "One thing is missing",
    "Upstash did not provide the account's email address, which the API key needs to work.",
  ],
  reconnect_required: [
    "unlink",
    "bad",
    "Upstash no longer accepts the API key",
    "It may have been deleted in the console. Sign in again to create a new one.",
  ],
  keyring_locked: ["lock", "warn", "The keyring is locked", "Unlock it on this computer: the API key is in it."],
  keyring_unavailable: [
    "lock",
    "bad",
    "There is no keyring",
    "The API key is kept only in the system's keyring, unless you configure something else.",
  ],
  port_conflict: [
    "warning",
    "bad",
    "Another program is using the helper's port",
    "A sign-in would end at that program, so none is started.",
  ],
};

/** The states whose `detail` says more. That of the others names commands for a terminal. */
const DETAILED = new Set(["keyring_locked", "keyring_unavailable", "port_conflict"]);

/** @param {Connection} connection */
export function stateText({ state, detail }) {
  const [icon, tone, title, text] = STATES[state] ?? ["info", "quiet", state, ""];
  return { icon, tone, title, text, detail: DETAILED.has(state) ? detail : undefined };
}

export const SIGN_IN_FAILED = "The last sign-in failed";

/** Return why a sign-in failed. @param {Attempt} attempt */
export function failureText(attempt) {
  return attempt.detail ?? attempt.reason ?? "";
}

/**
 * Return what to do about a browser that did not come back from the sign-in. The helper's text names a command for a
 * terminal; here there is a form.
 *
 * @param {Attempt} attempt
 */
export function waitingText(attempt) {
  return (attempt.detail ?? "").replace(
    "and run: upstash-helper connect --paste",
    "and paste it into the field below.",
  );
}
