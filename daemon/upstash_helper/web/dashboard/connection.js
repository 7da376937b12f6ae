/** The connection card: the state of the connection, and what can be done about it. */

import { call, messageOf } from "./api.js";
import { lookOf, stepsToShow, waitingText } from "./connection_text.js";
import { confirm, open } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { exact } from "./format.js";
import { addressForm, CONSOLE, connectButton, emailForm, useKey } from "./sign_in.js";
import { button, callout, copy, facts, notice, time } from "./ui.js";

/** @import { Attempt, Connection, Disconnected, NextStep } from "./openapi.js" */
/** @import { Store } from "./store.js" */

const ACCESS = { full: "Full", read_only: "Read-only: apps cannot create or change databases" };
const METHODS = {
  grant: "Through Upstash's open sign-in",
  oauth: "Through Upstash's partner sign-in",
  api_key: "With an API key from the Upstash console",
};

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
    state === "connected" && connection.access === "read_only" && fullAccess(connection),
    (state === "connected" || state === "reconnect_required") && about(connection),
    attempt && lastAttempt(attempt, state),
    state === "needs_email" && emailForm(store),
    actions(store, connection),
  );
}

/** @param {Connection} connection */
function about({ account, access, method, since, api_key_name: keyName, grant_name: grantName, ...connection }) {
  const isListed = grantName && connection.state === "connected";
  return facts([
    ["Account", account ? h("span", { class: "wrap" }, accountText(account, method)) : null],
    ["Access", access ? ACCESS[access] : null],
    ["Connected", method ? METHODS[method] : null],
    ["Since", since ? h("span", { title: exact(since) }, time(since)) : null],
    ["API key", keyName ? h("span", { class: "wrap" }, keyName) : null],
    ["In the console", isListed ? h("span", { class: "wrap" }, `${grantName} (Account, OAuth Clients)`) : null],
    ["Stored in", connection.credential_store?.kind ?? null],
  ]);
}

/**
 * @param {NonNullable<Connection["account"]>} account
 * @param {Connection["method"]} method
 */
function accountText({ email, team_id: team, team_role: role }, method) {
  if (team) return `${email}, team ${team} (${role ?? "role unknown"})`;
  return method === "grant" ? `${email}, personal account` : email; // a key does not say whether it is a team's
}

/** Say how to get full access. @param {Connection} connection */
function fullAccess({ sign_in: flow }) {
  return flow && h("p", {}, "To let apps change databases, sign in again and choose full access on Upstash's page.");
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
  const { state, attempt, can_sign_in: canSignIn = true } = connection;
  const row = h("div", { class: "row actions" });
  const place = h("div", {});
  /** @param {string} label @param {{ force?: boolean, kind?: "primary" | "plain" }} [options] */
  const signIn = (label, options = {}) => connectButton(label, place, store, options);
  /** @param {string} label @param {"primary" | "plain"} [kind] */
  const key = (label, kind) => button(label, { kind, icon: "key", onclick: () => useKey(store), action: "api-key" });
  const leave = () =>
    button("Disconnect…", { kind: "quiet", onclick: () => disconnect(store, connection), action: "disconnect" });
  switch (state) {
    case "disconnected":
      // The way that works comes first. A button that could only fail is not shown.
      if (canSignIn) fill(row, signIn("Connect Upstash", { kind: "primary" }), key("Use an API key"));
      else fill(row, key("Use an API key", "primary"));
      break;
    case "connecting":
      fill(
        row,
        signIn("Open the sign-in again", { kind: attempt?.waiting ? "plain" : "primary" }),
        attempt && cancelButton(attempt),
      );
      break;
    case "connected":
      fill(row, canSignIn && signIn("Sign in again", { force: true }), key("Use another API key"), leave());
      break;
    case "needs_email":
      fill(row, signIn("Sign in again", { force: true }), leave());
      break;
    case "reconnect_required":
      if (canSignIn) fill(row, signIn("Reconnect", { kind: "primary", force: true }), key("Use an API key"), leave());
      else fill(row, key("Use an API key", "primary"), leave());
      break;
    default: {
      const reload = () => store.load("connection", "daemon");
      const again = button("Check again", { icon: "refresh", onclick: reload, action: "again" });
      fill(row, state === "port_conflict" && key("Use an API key", "primary"), again);
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
        connection.method === "grant" ? "The helper ends its sign-in for " : "The helper deletes its API key for ",
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
  else if (result.grant_name) showWhereListed(result.detail);
  else notice(result.detail);
}

/** A notice would be gone before the user has read where to look. @param {string} detail */
function showWhereListed(detail) {
  const done = button("Done", { kind: "primary", onclick: () => dialog.close(), autofocus: true });
  const dialog = open({
    title: "Account disconnected",
    body: [h("p", { class: "wrap" }, detail), h("div", { class: "dialog-foot" }, done)],
  });
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
