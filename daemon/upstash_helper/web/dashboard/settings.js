/** How the helper itself is. */

import { call, forget } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { exact } from "./format.js";
import { head } from "./shell.js";
import { badge, busy, button, callout, copy, facts, skeleton, slotted } from "./ui.js";

const LISTENERS = { listening: ["Listening", "ok"], absent: ["Not on this computer", "quiet"], taken: ["Taken by another program", "bad"], on_demand: ["Only at sign-in", "quiet"] };
const KEYRINGS = { ok: ["Ready", "ok"], locked: ["Locked", "warn"], unavailable: ["Unavailable", "bad"], unknown: ["Not used yet", "quiet"] };
const TRAYS = { attached: ["Attached", "ok"], unavailable: ["Not attached", "quiet"] };
const LEDGERS = { ok: ["Ready", "ok"], unused: ["Not used yet", "quiet"], memory: ["In memory only", "warn"], unavailable: ["Unavailable", "bad"] };

export const settings = {
  id: "settings",
  title: "Settings",
  icon: "settings",

  /** @param {HTMLElement} root */
  show(root, { store, signal }) {
    const again = button("Refresh", { icon: "refresh", action: "refresh", onclick: () => busy(again, () => store.load("daemon")) });
    const end = button("End session", { icon: "door", action: "end", onclick: () => busy(end, ended) });
    const place = h("div", { class: "cards health" });
    root.append(
      head("Settings and health", "How the helper is, and where it keeps things.", again),
      place,
      h("section", { class: "card split", "aria-labelledby": "session-title" }, h("div", { class: "grow" }, h("h2", { id: "session-title" }, "This session"), h("p", {}, "It ends with this tab, with the helper, or after twelve hours in which nothing happened.")), end),
    );
    store.watch(["daemon"], () => slotted(place, store.get("daemon"), () => store.load("daemon"), (daemon, trouble) => draw(place, daemon, trouble), () => skeleton(6)), signal);
    void store.load("daemon");
  },
};

async function ended() {
  try {
    await call("DELETE", "/v1/dashboard/sessions");
  } catch {
    // Without the helper there is no session either.
  }
  forget();
  window.dispatchEvent(new Event("dashboard-ended"));
}

function draw(place, daemon, trouble) {
  const keyring = daemon.connection.credential_store;
  fill(
    place,
    trouble,
    ...daemon.hints.map((hint) => callout("warn", h("p", {}, hint.detail))),
    card("Helper", "plug", [
      ["Version", daemon.version],
      ["Profile", daemon.profile],
      ["Running since", exact(daemon.started_at)],
      ["Process", String(daemon.pid)],
      ["Log file", daemon.log_file && h("span", { class: "with-copy" }, h("code", { class: "wrap" }, daemon.log_file), button("Copy", { kind: "quiet", hidden: "the log file's path", onclick: () => copy(daemon.log_file, "Path") }))],
    ]),
    card("Ports", "globe", daemon.listeners.map((it) => [it.address, shown(LISTENERS, it.state, it.holder && `It is ${it.holder}.`)])),
    keyring && card("Keyring", "key", [["Kind", keyring.kind], ["State", shown(KEYRINGS, keyring.state, keyring.detail)]]),
    daemon.tray && card("Tray icon", "tray", [["State", shown(TRAYS, daemon.tray.state, daemon.tray.detail)], ...tray(daemon.tray)]),
    daemon.ledger && card("Apps and activity", "database", [["State", shown(LEDGERS, daemon.ledger.state, daemon.ledger.detail)]]),
  );
}

function tray(it) {
  if (it.state !== "attached") return [];
  return [["Shown by", it.backend], ["Attached since", exact(it.since)], ["Notifications", it.notifies ? "Shown by the tray" : "Shown by the helper"]];
}

function card(title, glyph, pairs) {
  return h("section", { class: "card" }, h("h2", { class: "with-icon" }, icon(glyph), title), facts(pairs));
}

function shown(words, state, detail) {
  const [text, tone] = words[state] ?? [state, "quiet"];
  return h("span", { class: "stacked" }, badge(text, tone), detail && h("span", { class: "hint wrap" }, detail));
}
