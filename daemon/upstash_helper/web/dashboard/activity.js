/** The activity log: who did what, when, and with which result. */

import { call } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { actionText, exact, relative, resultText, shorten } from "./format.js";
import { head } from "./shell.js";
import { badge, busy, button, empty, failed, inLines, skeletonList, untrusted } from "./ui.js";

/** @import { Child } from "./dom.js" */
/** @import { App, AuditEntry, AuditPage } from "./openapi.js" */
/** @import { View } from "./shell.js" */
/** @import { Store } from "./store.js" */

const SPANS = [
  ["", "Any time"],
  ["3600", "Last hour"],
  ["86400", "Last 24 hours"],
  ["604800", "Last 7 days"],
  ["2592000", "Last 30 days"],
];
const COLUMNS = ["When", "Who", "Action", "Target", "Result"];
const PAGE_SIZE = 50;
/** The id of a request for access, which means nothing to the user. */
const PAIRING_ID = /^[0-9a-f]{16}$/;

/** @type {View} */
export const activity = {
  id: "activity",
  title: "Activity",
  icon: "activity",

  show(root, { store, signal }) {
    const app = h("select", { class: "input", id: "audit-app", onchange: () => load() });
    const since = h(
      "select",
      { class: "input", id: "audit-since", onchange: () => load() },
      ...SPANS.map(([value, label]) => h("option", { value }, label)),
    );
    const refresh = button("Refresh", { icon: "refresh", action: "refresh", onclick: () => load() });
    const place = h("div", { "aria-live": "off" });
    root.append(
      head("Activity", "What you and your apps did through the helper.", refresh),
      h(
        "div",
        { class: "tools" },
        h("div", { class: "field inline" }, h("label", { for: "audit-app" }, "App"), app),
        h("div", { class: "field inline" }, h("label", { for: "audit-since" }, "When"), since),
      ),
      place,
    );
    store.watch(["apps"], () => offerApps(app, store.get("apps").data ?? []), signal);

    let last = 0;
    async function load() {
      last += 1;
      const turn = last;
      const isCurrent = () => turn === last && !signal.aborted;
      const query = queryFor(app.value, since.value);
      if (place.childElementCount === 0) fill(place, skeletonList(6));
      await busy(refresh, async () => {
        try {
          /** @type {AuditPage} */
          const page = await call("GET", `/v1/audit?${query}`);
          if (isCurrent()) draw(place, page, query, isCurrent, namesById(store));
        } catch (error) {
          if (turn === last) fill(place, failed(error, load));
        }
      });
    }
    void load();
  },
};

/**
 * @param {string} app
 * @param {string} seconds How far back; empty for everything.
 * @param {number} [now] Milliseconds since the epoch.
 */
export function queryFor(app, seconds, now = Date.now()) {
  const query = new URLSearchParams({ page_size: String(PAGE_SIZE) });
  if (app) query.set("app", app);
  if (seconds) query.set("since", new Date(now - Number(seconds) * 1000).toISOString());
  return query;
}

/** Return the names of the databases and apps that entries may be about. @param {Store} store */
function namesById(store) {
  const known = [...(store.get("databases").data ?? []), ...(store.get("apps").data ?? [])];
  return new Map(known.map((it) => [it.id, it.name]));
}

/**
 * @param {HTMLSelectElement} place
 * @param {App[]} apps
 */
function offerApps(place, apps) {
  const chosen = place.value;
  fill(
    place,
    h("option", { value: "" }, "All"),
    h("option", { value: "owner" }, "You"),
    ...apps.map((it) => h("option", { value: it.id }, `${shorten(identityOf(it), 48)} (“${shorten(it.name, 40)}”)`)),
  );
  place.value = [...place.options].some((it) => it.value === chosen) ? chosen : "";
}

/**
 * @param {HTMLElement} place
 * @param {AuditPage} page
 * @param {URLSearchParams} query
 * @param {() => boolean} isCurrent Whether the filters are still the same.
 * @param {Map<string, string>} names
 */
function draw(place, page, query, isCurrent, names) {
  if (page.entries.length === 0) {
    fill(place, empty("activity", "Nothing here", "There is no activity for this app and time."));
    return;
  }
  const headers = COLUMNS.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
  const body = h("tbody", { role: "rowgroup" }, ...page.entries.map((it) => row(it, names)));
  const table = h(
    "table",
    { class: "card table", role: "table" },
    h("caption", { class: "unseen" }, "Activity, newest first"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...headers)),
    body,
  );
  const foot = h("div", { class: "row center" });
  /** @param {string} token */
  const loadMore = async (token) => {
    try {
      /** @type {AuditPage} */
      const next = await call("GET", `/v1/audit?${query}&page_token=${encodeURIComponent(token)}`);
      if (!isCurrent()) return;
      body.append(...next.entries.map((it) => row(it, names)));
      offerMore(next.next_page_token);
      foot.querySelector("button")?.focus();
    } catch (error) {
      fill(
        foot,
        failed(error, () => offerMore(token)),
      );
    }
  };
  /** @param {string | null | undefined} token */
  const offerMore = (token) => {
    if (!token) {
      fill(foot);
      return;
    }
    const more = button("Load more", { action: "more", onclick: () => busy(more, () => loadMore(token)) });
    fill(foot, more);
  };
  offerMore(page.next_page_token);
  fill(place, table, foot);
}

/**
 * Return what an entry is about, by the name that the user knows.
 *
 * @param {string} target An id, which a name may follow. Something that was not created has a quoted name only.
 * @param {Map<string, string>} names
 */
export function targetText(target, names) {
  if (target.startsWith('"')) return target;
  const [id, ...rest] = target.split(" ");
  if (rest.length) return rest.join(" ");
  return names.get(id) ?? (PAIRING_ID.test(id) ? "" : id);
}

/**
 * @param {string} name
 * @param {...Child} content
 */
function cell(name, ...content) {
  return h("td", { role: "cell", class: name }, h("div", { class: "cell" }, ...content));
}

/**
 * @param {AuditEntry} it
 * @param {Map<string, string>} names
 */
function row(it, names) {
  const target = targetText(it.target, names);
  const at = it.count > 1 ? `${exact(it.at)} to ${exact(it.last_at)}` : exact(it.at);
  return h(
    "tr",
    { role: "row" },
    cell("when", h("time", { datetime: it.last_at, title: at }, relative(it.last_at))),
    cell("who", ...actor(it)),
    cell(
      "what",
      h("span", { title: it.action }, actionText(it.action)),
      it.count > 1 && h("span", { class: "times" }, ` ×${it.count}`),
    ),
    target
      ? cell("about", h("span", { class: "whole hint", title: it.target, dir: "auto" }, inLines(shorten(target, 120))))
      : cell("about none", h("span", { class: "unseen" }, "Nothing")),
    cell("result", outcome(it.result)),
  );
}

/** @param {App} it */
function identityOf({ identity }) {
  return identity.shown_without_process || identity.shown;
}

/** @param {AuditEntry} it @returns {Child[]} */
function actor(it) {
  if (it.app_id === "owner")
    return [untrusted("You"), it.app_name === "dashboard" && untrusted("in the dashboard", "hint")];
  if (!it.identity && !it.app_name) return ["Several apps"]; // one entry for all that have requested access
  return [untrusted(it.identity || it.app_name), it.identity && untrusted(it.app_name, "hint")];
}

/** @param {string} result */
function outcome(result) {
  if (result === "ok") return h("span", { class: "done" }, icon("check"), resultText(result));
  return badge(resultText(result), result === "started" ? "quiet" : "bad");
}
