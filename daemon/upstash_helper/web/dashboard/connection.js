/** The connection card: the state of the connection, and what can be done about it. */

import { call, messageOf } from "./api.js";
import { lookOf, stepsToShow, waitingText } from "./connection_text.js";
import { confirm, open } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { exact } from "./format.js";
import { addressForm, connectButton, emailForm, useKey } from "./sign_in.js";
import { button, callout, copy, facts, notice, time } from "./ui.js";

/** @import { Attempt, Connection, Disconnected, NextStep } from "./openapi.js" */
/** @import { Store } from "./store.js" */

const CONSOLE = "https://console.upstash.com/account/api";

/**
 * Return a function that shows a connection in `card`.
 *
 * @param {HTMLElement} card
 * @param {Store} store
 * @returns {(connection: Connection, error: HTMLElement | null) => void}
 */
export function connectionCard(card, store) {
  let shown = "";
  return (connection, error) => {
    const now = JSON.stringify([connection, error?.textContent]);
    if (now === shown) return; // a form that is being filled in stays
    shown = now;
    draw(card, store, connection, error);
  };
}

/**
 * @param {HTMLElement} card
 * @param {Store} store
 * @param {Connection} connection
 * @param {HTMLElement | null} error
 */
function draw(card, store, connection, error) {
  const { state, title, detail, next_steps: steps, attempt } = connection;
  const [glyph, tone] = lookOf(state);
  fill(
    card,
    error,
    h(
      "div",
      { class: "connection-head" },
      h("div", { class: `mark ${tone}${state === "connecting" ? " turning" : ""}` }, icon(glyph)),
      h(
        "div",
        { class: "grow" },
        h("h2", { class: "wrap" }, title),
        detail && h("p", { class: "wrap" }, detail),
        stepList(steps),
      ),
    ),
    state === "connected" && about(connection),
    attempt && lastAttempt(attempt, state),
    state === "needs_email" && emailForm(store),
    actions(store, connection),
  );
}

/** @param {Connection} connection */
function about({ method, since, api_key_name: keyName, credential_store: credentialStore }) {
  return facts([
    ["Signed in", method === "api_key" ? "With an API key from the console" : "Through Upstash, in the browser"],
    ["Since", since ? h("span", { title: exact(since) }, time(since)) : null],
    ["API key", keyName ? h("span", { class: "wrap" }, keyName) : null],
    ["Stored in", credentialStore?.kind ?? null],
  ]);
}

/**
 * Show what a sign-in is waiting for, or how the last one failed.
 *
 * @param {Attempt} attempt
 * @param {Connection["state"]} state
 */
function lastAttempt(attempt, state) {
  if (state === "connecting") {
    if (attempt.waiting !== "no_callback") return null;
    return h("div", {}, callout("warn", h("p", {}, waitingText(attempt))), addressForm(attempt));
  }
  const hasFailed = attempt.state === "failed" || attempt.state === "expired";
  const isDecided = attempt.reason === "cancelled" || attempt.reason === "replacement_declined";
  if (state === "connected" || !hasFailed || isDecided) return null;
  const { title, detail, next_steps: steps } = attempt;
  const tone = attempt.reason === "access_denied" ? "info" : "bad"; // the user's own decision is no error
  return callout(tone, h("p", { class: "strong" }, title), detail && h("p", {}, detail), stepList(steps));
}

/** Return what the user can do outside of the dashboard. @param {NextStep[] | undefined} steps */
function stepList(steps) {
  const shown = stepsToShow(steps);
  if (shown.length === 0) return null;
  /** @param {NextStep} step */
  const line = ({ text, command }) =>
    h("p", { class: "wrap" }, command ? [`${text}: `, h("code", {}, command)] : `${text}.`);
  return h("div", { class: "steps" }, shown.map(line));
}

/**
 * @param {Store} store
 * @param {Connection} connection
 */
function actions(store, connection) {
  const { state, attempt } = connection;
  const row = h("div", { class: "row actions" });
  const place = h("div", {});
  /** @param {string} label @param {{ force?: boolean, kind?: "primary" | "plain" }} [options] */
  const signIn = (label, options = {}) => connectButton(label, place, store, options);
  /** @param {string} label */
  const key = (label) => button(label, { icon: "key", onclick: () => useKey(store), action: "api-key" });
  const leave = () =>
    button("Disconnect…", { kind: "quiet", onclick: () => disconnect(store, connection), action: "disconnect" });
  switch (state) {
    case "disconnected":
      fill(row, signIn("Connect Upstash", { kind: "primary" }), key("Use an API key"));
      break;
    case "connecting":
      fill(
        row,
        signIn("Open the sign-in again", { kind: attempt?.waiting ? "plain" : "primary" }),
        attempt && cancelButton(attempt),
      );
      break;
    case "connected":
      fill(row, signIn("Sign in again", { force: true }), key("Use another API key"), leave());
      break;
    case "needs_email":
      fill(row, signIn("Sign in again", { force: true }), leave());
      break;
    case "reconnect_required":
      fill(row, signIn("Reconnect", { kind: "primary", force: true }), key("Use an API key"), leave());
      break;
    default: {
      const reload = () => store.load("connection", "daemon");
      fill(row, button("Check again", { icon: "refresh", onclick: reload, action: "again" }));
    }
  }
  return h("div", {}, row, place);
}

/** @param {Attempt} attempt */
function cancelButton(attempt) {
  return button("Cancel", {
    action: "cancel",
    onclick: async () => {
      try {
        await call("DELETE", `/v1/connection/attempts/${encodeURIComponent(attempt.attempt_id)}`);
      } catch (error) {
        notice(messageOf(error), "bad");
      }
    },
  });
}

/**
 * @param {Store} store
 * @param {Connection} connection
 */
async function disconnect(store, connection) {
  /** @type {Disconnected | undefined} */
  let result;
  const account = h("strong", { class: "wrap" }, connection.account?.email ?? "the account");
  await confirm({
    title: "Disconnect this account?",
    text: [
      h(
        "p",
        {},
        "The helper deletes its API key for ",
        account,
        ". Apps on this computer can then no longer use the account. Your databases are not changed.",
      ),
    ],
    label: "Disconnect",
    action: async () => {
      result = await call("DELETE", "/v1/connection");
    },
  });
  if (!result) return;
  await store.load("connection");
  if (result.api_key_name) showRemainingKey(result.api_key_name);
  else notice(result.detail);
}

/** Upstash has no call that deletes a key, so the user has to. @param {string} name */
function showRemainingKey(name) {
  const done = button("Done", { kind: "primary", onclick: () => dialog.close(), autofocus: true });
  const copyName = button("Copy", { icon: "copy", hidden: "the name of the key", onclick: () => copy(name, "Name") });
  const toConsole = { class: "button plain", href: CONSOLE, target: "_blank", rel: "noreferrer" };
  const dialog = open({
    title: "One step left",
    body: [
      h(
        "p",
        {},
        "The account is disconnected. Only you can delete the API key that was created for it, in the Upstash console under Account, Management API:",
      ),
      h("div", { class: "command" }, h("code", { class: "wrap" }, name), copyName),
      h("div", { class: "dialog-foot" }, h("a", toConsole, icon("external"), h("span", {}, "Open the console")), done),
    ],
  });
}
