/** The state of the helper itself. */

import { call, forgetSession } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { exact } from "./format.js";
import { head } from "./shell.js";
import { badge, busy, button, callout, copy, facts, showSlot, skeleton } from "./ui.js";

/** @import { Child, IconName } from "./dom.js" */
/** @import { DaemonStatus, TrayStatus } from "./openapi.js" */
/** @import { View } from "./shell.js" */
/** @import { Tone } from "./connection_text.js" */

/** @typedef {Record<string, [text: string, tone: Tone]>} StateTexts */

/** @type {StateTexts} */
const LISTENERS = {
  listening: ["Listening", "ok"],
  absent: ["Not on this computer", "quiet"],
  taken: ["In use by another program", "bad"],
  on_demand: ["Only during a sign-in", "quiet"],
};
/** @type {StateTexts} */
const KEYRINGS = {
  ok: ["Ready", "ok"],
  locked: ["Locked", "warn"],
  unavailable: ["Unavailable", "bad"],
  unknown: ["Not used yet", "quiet"],
};
/** @type {StateTexts} */
const UPSTREAMS = { upstash: ["Upstash", "quiet"], sandbox: ["Sandbox", "warn"], custom: ["Another server", "warn"] };
/** @type {StateTexts} */
const TRAYS = { attached: ["Attached", "ok"], unavailable: ["Not attached", "quiet"] };
/** @type {StateTexts} */
const LEDGERS = {
  ok: ["Ready", "ok"],
  unused: ["Not used yet", "quiet"],
  memory: ["In memory only", "warn"],
  unavailable: ["Unavailable", "bad"],
};

/** @type {View} */
export const settings = {
  id: "settings",
  title: "Settings",
  icon: "settings",

  show(root, { store, signal }) {
    const load = () => store.load("daemon");
    const refresh = button("Refresh", { icon: "refresh", action: "refresh", onclick: () => busy(refresh, load) });
    const end = button("End session", { icon: "door", action: "end", onclick: () => busy(end, endSession) });
    const place = h("div", { class: "cards health" });
    root.append(
      head("Settings and health", "The state of the helper and of the parts that it depends on.", refresh),
      place,
      h(
        "section",
        { class: "card split", "aria-labelledby": "session-title" },
        h(
          "div",
          { class: "grow" },
          h("h2", { id: "session-title" }, "This session"),
          h("p", {}, "It ends when you close this tab, when the helper stops, or after twelve hours without activity."),
        ),
        end,
      ),
    );
    store.watch(
      ["daemon"],
      () =>
        showSlot(
          place,
          store.get("daemon"),
          load,
          (daemon, error) => draw(place, daemon, error),
          () => skeleton(6),
        ),
      signal,
    );
    void load();
  },
};

async function endSession() {
  try {
    await call("DELETE", "/v1/dashboard/sessions");
  } catch {
    // Without the helper there is no session either.
  }
  forgetSession();
  window.dispatchEvent(new Event("dashboard-ended"));
}

/**
 * @param {HTMLElement} place
 * @param {DaemonStatus} daemon
 * @param {HTMLElement | null} error
 */
function draw(place, daemon, error) {
  const { tray, ledger, connection } = daemon;
  const keyring = connection.credential_store;
  fill(
    place,
    error,
    ...(daemon.hints ?? []).map((hint) => callout("warn", h("p", {}, hint.detail))),
    card("Helper", "plug", [
      ["Version", daemon.version],
      ["Profile", daemon.profile],
      ["Upstream", state(UPSTREAMS, daemon.upstream ?? "upstash", daemon.api_url ?? "")],
      ["Running since", exact(daemon.started_at)],
      ["Process", String(daemon.pid)],
      ["Log file", daemon.log_file ? withCopy(daemon.log_file) : null],
    ]),
    card(
      "Ports",
      "globe",
      daemon.listeners.map((it) => [
        it.address,
        state(LISTENERS, it.state, it.holder ? `The program is ${it.holder}.` : ""),
      ]),
    ),
    keyring &&
      card("Keyring", "key", [
        ["Kind", keyring.kind],
        ["State", state(KEYRINGS, keyring.state, keyring.detail)],
      ]),
    tray && card("Tray icon", "tray", [["State", state(TRAYS, tray.state, tray.detail)], ...trayFacts(tray)]),
    ledger && card("Apps and activity", "database", [["State", state(LEDGERS, ledger.state, ledger.detail)]]),
  );
}

/** @param {string} path */
function withCopy(path) {
  const copyPath = button("Copy", { kind: "quiet", hidden: "the log file's path", onclick: () => copy(path, "Path") });
  return h("span", { class: "with-copy" }, h("code", { class: "wrap" }, path), copyPath);
}

/** @param {TrayStatus} tray @returns {[string, Child][]} */
function trayFacts(tray) {
  if (tray.state !== "attached") return [];
  return [
    ["Shown by", tray.backend],
    ["Attached since", tray.since ? exact(tray.since) : null],
    ["Notifications", tray.notifies ? "Shown by the tray" : "Shown by the helper"],
  ];
}

/**
 * @param {string} title
 * @param {IconName} glyph
 * @param {[string, Child][]} pairs
 */
function card(title, glyph, pairs) {
  return h("section", { class: "card" }, h("h2", { class: "with-icon" }, icon(glyph), title), facts(pairs));
}

/**
 * @param {StateTexts} texts
 * @param {string} code
 * @param {string} [detail]
 */
function state(texts, code, detail) {
  const [text, tone] = texts[code] ?? [code, "quiet"];
  return h("span", { class: "stacked" }, badge(text, tone), detail && h("span", { class: "hint wrap" }, detail));
}
