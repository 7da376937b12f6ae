/** The connection card: each of the eight states in words, with what can be done about it. */

import { call } from "./api.js";
import { addressForm, connectButton, emailForm, useKey } from "./connect.js";
import { confirm, open } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { exact } from "./format.js";
import { badge, button, callout, copy, facts, notice, time } from "./ui.js";

/** How each state looks, and what it means. */
const STATES = {
  disconnected: ["plug", "quiet", "No account is connected", "Sign in to Upstash once, and every app that you let in can use it."],
  connecting: ["refresh", "warn", "Waiting for your sign-in", "Finish it in the window of Upstash. This page changes by itself."],
  connected: ["check", "ok", "Connected", ""],
  needs_email: ["mail", "warn", "One thing is missing", "Upstash did not tell the e-mail of the account. The API key works with it alone."],
  reconnect_required: ["unlink", "bad", "Upstash no longer takes the API key", "It may have been deleted in the console. Sign in again to make a new one."],
  keyring_locked: ["lock", "warn", "The keyring is locked", "Unlock it on this computer: the API key is in there."],
  keyring_unavailable: ["lock", "bad", "There is no keyring", "The API key is kept in the keyring of the system, and in nothing else unless you say so."],
  port_conflict: ["warning", "bad", "Another program has the helper's port", "A sign-in would come back to that program, so none is started."],
};

/** Of which states the helper's own words say more; of the others they name commands for a terminal. */
const TOLD = new Set(["keyring_locked", "keyring_unavailable", "port_conflict"]);

/**
 * Return what shows a connection in `card`.
 *
 * @param {HTMLElement} card
 * @param {import("./store.js").Store} store
 */
export function connectionCard(card, store) {
  let shown = "";
  return (connection, trouble) => {
    const now = JSON.stringify([connection, trouble?.textContent]);
    if (now === shown) return; // a form that is being filled in is left alone
    shown = now;
    draw(card, store, connection, trouble);
  };
}

function draw(card, store, connection, trouble) {
  const [glyph, tone, title, text] = STATES[connection.state] ?? ["info", "quiet", connection.state, ""];
  const detail = TOLD.has(connection.state) ? connection.detail : null;
  fill(
    card,
    trouble,
    h(
      "div",
      { class: "connection-head" },
      h("div", { class: `mark ${tone}${connection.state === "connecting" ? " turning" : ""}` }, icon(glyph)),
      h(
        "div",
        { class: "grow" },
        h("h2", {}, connection.account && connection.state === "connected" ? h("span", { class: "cut", title: connection.account.email }, connection.account.email) : title),
        connection.state === "connected" ? h("p", {}, badge("Connected", "ok", "check")) : h("p", {}, text),
      ),
    ),
    detail && h("p", { class: "hint wrap" }, detail),
    connection.state === "connected" && about(connection),
    connection.attempt && lastAttempt(connection),
    connection.state === "needs_email" && emailForm(store),
    actions(store, connection),
  );
}

function about(connection) {
  return facts([
    ["Signed in", connection.method === "api_key" ? "With an API key from the console" : "Through Upstash, in the browser"],
    ["Since", connection.since ? h("span", { title: exact(connection.since) }, time(connection.since)) : null],
    ["API key", connection.api_key_name ? h("span", { class: "wrap" }, connection.api_key_name) : null],
    ["Kept in", connection.credential_store?.kind ?? null],
  ]);
}

/** Say what is in the way of a sign-in, or how the last one failed. */
function lastAttempt({ attempt, state }) {
  if (state === "connecting" && attempt.waiting === "no_callback") {
    return h("div", {}, callout("warn", h("p", {}, attempt.detail.replace("and run: upstash-helper connect --paste", "and put it into the field below."))), addressForm(attempt));
  }
  if (state !== "connecting" && state !== "connected" && (attempt.state === "failed" || attempt.state === "expired") && attempt.reason !== "cancelled") {
    return callout("bad", h("p", { class: "strong" }, "The last sign-in did not work"), h("p", {}, attempt.detail ?? attempt.reason ?? ""));
  }
  return null;
}

function actions(store, connection) {
  const row = h("div", { class: "row actions" });
  const place = h("div", {});
  const sign = (label, options = {}) => connectButton(label, place, store, options);
  const key = (label) => button(label, { icon: "key", onclick: () => useKey(store), action: "api-key" });
  const drop = (label) => button(label, { kind: "quiet", onclick: () => disconnect(store, connection), action: "disconnect" });
  switch (connection.state) {
    case "disconnected":
      fill(row, sign("Connect Upstash", { kind: "primary" }), key("Use an API key"));
      break;
    case "connecting":
      fill(row, sign("Open the sign-in again", { kind: connection.attempt?.waiting ? "plain" : "primary" }), connection.attempt && cancel(connection.attempt));
      break;
    case "connected":
      fill(row, sign("Sign in again", { force: true }), key("Use another API key"), drop("Disconnect…"));
      break;
    case "needs_email":
      fill(row, sign("Sign in again", { force: true }), drop("Disconnect…"));
      break;
    case "reconnect_required":
      fill(row, sign("Reconnect", { kind: "primary", force: true }), key("Use an API key"), drop("Disconnect…"));
      break;
    default:
      fill(row, button("Check again", { icon: "refresh", onclick: () => store.load("connection", "daemon"), action: "again" }));
  }
  return h("div", {}, row, place);
}

function cancel(attempt) {
  return button("Cancel", {
    action: "cancel",
    onclick: async () => {
      try {
        await call("DELETE", `/v1/connection/attempts/${encodeURIComponent(attempt.attempt_id)}`);
      } catch (error) {
        notice(error.message, "bad");
      }
    },
  });
}

async function disconnect(store, connection) {
  /** @type {any} */
  let told;
  const done = await confirm({
    title: "Disconnect this account?",
    text: [
      h("p", {}, "The helper forgets ", h("strong", { class: "wrap" }, connection.account?.email ?? "the account"), ". Apps on this computer can then no longer use it; the databases stay as they are."),
    ],
    label: "Disconnect",
    action: async () => {
      told = await call("DELETE", "/v1/connection");
    },
  });
  if (!done) return;
  await store.load("connection");
  if (told.api_key_name) leftOver(told.api_key_name);
  else notice(told.detail);
}

/** Upstash has no call to delete a key, so the user must. */
function leftOver(name) {
  const done = button("Done", { kind: "primary", onclick: () => dialog.close(), autofocus: true });
  const dialog = open({
    title: "One thing is left for you",
    body: [
      h("p", {}, "The account is disconnected. Only you can delete the API key that was made for it, in the Upstash console under Account, Management API:"),
      h("div", { class: "command" }, h("code", { class: "wrap" }, name), button("Copy", { icon: "copy", hidden: "the name of the key", onclick: () => copy(name, "Name") })),
      h("div", { class: "dialog-foot" }, h("a", { class: "button plain", href: "https://console.upstash.com/account/api", target: "_blank", rel: "noreferrer" }, icon("external"), h("span", {}, "Open the console")), done),
    ],
  });
}
