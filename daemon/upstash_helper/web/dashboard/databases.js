/** The databases: a list with a search; making one and looking into one are dialogs. */

import { create } from "./create.js";
import { details } from "./details.js";
import { fill, h, icon, keyed } from "./dom.js";
import { PLANS, plural } from "./format.js";
import { head } from "./shell.js";
import { badge, button, empty, skeletonList, slotted, time } from "./ui.js";

export const databases = {
  id: "databases",
  title: "Databases",
  icon: "database",

  /** @param {HTMLElement} root */
  show(root, { store, signal }) {
    const make = button("New database", { kind: "primary", icon: "plus", action: "create", onclick: () => create(store) });
    const search = h("input", { type: "search", class: "input", placeholder: "Search by name or region", "aria-label": "Search databases", oninput: () => draw() });
    const found = h("p", { class: "unseen", role: "status" });
    const tools = h("div", { class: "tools" }, h("div", { class: "search" }, icon("search"), search), found);
    const rows = h("ul", { class: "list" });
    const place = h("div", {});
    root.append(head("Databases", "Redis databases of the connected account.", make), tools, place);

    const names = () => new Map((store.get("regions").data ?? []).map((it) => [it.id, it.name]));
    const draw = () => {
      const connection = store.get("connection");
      const connected = connection.data?.state === "connected";
      make.hidden = !connected;
      if (connection.data && !connected) {
        tools.hidden = true;
        fill(place, empty("plug", "No account is connected", "Connect your Upstash account to see its databases.", h("a", { class: "button primary", href: "#overview" }, h("span", {}, "Connect Upstash"))));
        return;
      }
      slotted(place, store.get("databases"), () => store.load("databases"), (all, trouble) => {
        tools.hidden = all.length === 0;
        const wanted = search.value.trim().toLowerCase();
        const regions = names();
        const shown = all.filter((it) => [it.name, it.primary_region, regions.get(it.primary_region) ?? ""].some((text) => text.toLowerCase().includes(wanted)));
        fill(found, wanted ? `${plural(shown.length, "database")} found` : "");
        if (all.length === 0) fill(place, trouble, empty("database", "No databases yet", "Make the first one; it is ready within seconds.", button("New database", { kind: "primary", icon: "plus", onclick: () => create(store) })));
        else if (shown.length === 0) fill(place, trouble, empty("search", "Nothing found", "No database has that in its name or region."));
        else {
          if (rows.parentElement !== place || trouble || place.childElementCount > 1) fill(place, trouble, rows);
          keyed(rows, shown.map((it) => ({ ...it, where: regions.get(it.primary_region) ?? it.primary_region })), (it) => it.id, (it) => row(it, store));
        }
      }, () => skeletonList(3));
    };
    if (store.get("regions").data === null) void store.load("regions");
    store.watch(["databases", "connection", "regions"], draw, signal);
  },
};

function row(it, store) {
  const reads = it.read_regions.length ? `${it.where} + ${plural(it.read_regions.length, "read region")}` : it.where;
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "list-row", "data-action": "open", onclick: () => details(store, it.id) },
      h("span", { class: "mark small" }, icon("database")),
      h("span", { class: "grow" }, h("span", { class: "cut list-title", title: it.name }, it.name), h("span", { class: "hint cut" }, reads)),
      it.state !== "active" && badge(it.state, "warn"),
      h("span", { class: "list-more hint" }, PLANS[it.plan] ?? it.plan),
      h("span", { class: "list-more hint" }, "created ", time(it.created_at)),
      icon("chevron", "far"),
    ),
  );
}
