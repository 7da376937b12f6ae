/**
 * What the dashboard adds to the texts that the helper sends with the connection and its sign-ins: icons and colors, and
 * forms and buttons in place of commands for a terminal.
 */

/** @import { IconName } from "./dom.js" */
/** @import { Attempt, Connection, NextStep } from "./openapi.js" */

/** @typedef {"ok" | "warn" | "bad" | "quiet"} Tone */

/** @type {Record<Connection["state"], [icon: IconName, tone: Tone]>} */
const LOOKS = {
  disconnected: ["plug", "quiet"],
  connecting: ["refresh", "warn"],
  connected: ["check", "ok"],
  needs_email: ["mail", "warn"],
  reconnect_required: ["unlink", "bad"],
  keyring_locked: ["lock", "warn"],
  keyring_unavailable: ["lock", "bad"],
  port_conflict: ["warning", "bad"],
};

/** @param {string} state @returns {[icon: IconName, tone: Tone]} */
export function lookOf(state) {
  return LOOKS[/** @type {Connection["state"]} */ (state)] ?? ["info", "quiet"];
}

/** Commands that the dashboard has a button or a form for. */
const COVERED = /^upstash-helper (?:connect|open)\b/;

/**
 * Return the next steps for which there is no button or form here.
 *
 * @param {NextStep[] | undefined} steps
 */
export function stepsToShow(steps = []) {
  return steps.filter(({ command }) => !COVERED.test(command ?? ""));
}

/**
 * Return what to do about a browser that did not return from the sign-in. The helper's text ends with a command for a
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
