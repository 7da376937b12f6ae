/** Who did what, when, with which result. */

import { call } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { action, exact, relative, result } from "./format.js";
import { head } from "./shell.js";
import { badge, busy, button, claimed as cut, empty, failed, skeletonList } from "./ui.js";

const SPANS = [["", "Any time"], ["3600", "Last hour"], ["86400", "Last 24 hours"], ["604800", "Last 7 days"], ["2592000", "Last 30 days"]];
const PAGE = 50;
/** The id of a request to be let in, by which the user knows nothing. */
const REQUEST = /^[0-9a-f]{16}$/;

export const audit = {
  id: "activity",
  title: "Activity",
  icon: "activity",

  /** @param {HTMLElement} root */
  show(root, { store, signal }) {
    const app = h("select", { class: "input", id: "audit-app", onchange: () => load() });
    const since = h("select", { class: "input", id: "audit-since", onchange: () => load() }, ...SPANS.map(([value, label]) => h("option", { value }, label)));
    const again = button("Refresh", { icon: "refresh", action: "refresh", onclick: () => load() });
    const place = h("div", { "aria-live": "off" });
    root.append(
      head("Activity", "What the apps and you did through the helper.", again),
      h("div", { class: "tools" }, h("div", { class: "field inline" }, h("label", { for: "audit-app" }, "App"), app), h("div", { class: "field inline" }, h("label", { for: "audit-since" }, "When"), since)),
      place,
    );
    store.watch(["apps"], () => options(app, store.get("apps").data ?? []), signal);

    let turn = 0;
    async function load() {
      turn += 1;
      const mine = turn;
      const query = new URLSearchParams({ page_size: String(PAGE) });
      if (app.value) query.set("app", app.value);
      if (since.value) query.set("since", new Date(Date.now() - Number(since.value) * 1000).toISOString());
      if (place.childElementCount === 0) fill(place, skeletonList(6));
      await busy(again, async () => {
        try {
          const page = await call("GET", `/v1/audit?${query}`);
          if (mine === turn && !signal.aborted) draw(place, page, query, () => mine === turn, known(store));
        } catch (error) {
          if (mine === turn) fill(place, failed(error, load));
        }
      });
    }
    void load();
  },
};

/** Return the names of what entries may be about, by id. */
function known(store) {
  return new Map([...(store.get("databases").data ?? []), ...(store.get("apps").data ?? [])].map((it) => [it.id, it.name]));
}

function options(place, apps) {
  const chosen = place.value;
  fill(place, h("option", { value: "" }, "All"), h("option", { value: "owner" }, "You"), ...apps.map((it) => h("option", { value: it.id }, `${it.name.slice(0, 40)} (${it.identity.shown.slice(0, 60)})`)));
  place.value = [...place.options].some((it) => it.value === chosen) ? chosen : "";
}

function draw(place, page, query, current, names) {
  if (page.entries.length === 0) {
    fill(place, empty("activity", "Nothing here", "Nothing was done in that time, or not by that app."));
    return;
  }
  const body = h("tbody", { role: "rowgroup" }, ...page.entries.map((it) => row(it, names)));
  const table = h(
    "table",
    { class: "card table", role: "table" },
    h("caption", { class: "unseen" }, "What was done, the newest first"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...["When", "Who", "What", "About", "Result"].map((name) => h("th", { scope: "col", role: "columnheader" }, name)))),
    body,
  );
  const foot = h("div", { class: "row center" });
  const more = (token) => {
    if (!token) return fill(foot);
    const next = button("Load more", {
      action: "more",
      onclick: () => busy(next, async () => {
        try {
          const found = await call("GET", `/v1/audit?${query}&page_token=${encodeURIComponent(token)}`);
          if (!current()) return;
          const rows = found.entries.map((it) => row(it, names));
          body.append(...rows);
          more(found.next_page_token);
          foot.querySelector("button")?.focus();
        } catch (error) {
          fill(foot, failed(error, () => more(token)));
        }
      }),
    });
    return fill(foot, next);
  };
  more(page.next_page_token);
  fill(place, table, foot);
}

/** Return what an entry is about, in the name that the user knows it by. */
function about(target, names) {
  const [id, ...rest] = target.split(" ");
  if (rest.length) return rest.join(" ");
  return names.get(id) ?? (REQUEST.test(id) ? "" : id);
}

function row(it, names) {
  const times = it.count > 1 && h("span", { class: "times" }, ` ×${it.count}`);
  const cell = (name, ...content) => h("td", { role: "cell", class: name }, h("div", { class: "cell" }, ...content));
  const target = about(it.target, names);
  const owner = it.app_id === "owner";
  const done = it.result === "ok" ? h("span", { class: "done" }, icon("check"), result(it.result)) : badge(result(it.result), it.result === "started" ? "quiet" : "bad");
  return h(
    "tr",
    { role: "row" },
    cell("when", h("time", { datetime: it.last_at, title: it.count > 1 ? `${exact(it.at)} to ${exact(it.last_at)}` : exact(it.at) }, relative(it.last_at))),
    cell("who", cut(owner ? "You" : it.identity || it.app_name, ""), owner ? it.app_name === "dashboard" && cut("in the dashboard", "hint") : it.identity && cut(it.app_name, "hint")),
    cell("what", h("span", { title: it.action }, action(it.action)), times),
    cell(target ? "about" : "about none", target ? h("span", { class: "cut hint", title: it.target, dir: "auto" }, target) : h("span", { class: "unseen" }, "Nothing")),
    cell("result", done),
  );
}
