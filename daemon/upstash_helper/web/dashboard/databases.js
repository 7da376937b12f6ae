/** The list of databases, with a search. Creating a database and its details are dialogs. */

import { createDatabase } from "./create_database.js";
import { showDetails } from "./database_details.js";
import { fill, h, icon, keyed } from "./dom.js";
import { PLANS, plural } from "./format.js";
import { head } from "./shell.js";
import { badge, button, empty, showSlot, skeletonList, time } from "./ui.js";

/** @import { Connection, Database } from "./openapi.js" */
/** @import { View } from "./shell.js" */
/** @import { Store } from "./store.js" */

/** @typedef {Database & { regionName: string }} Row */

/** @type {View} */
export const databases = {
  id: "databases",
  title: "Databases",
  icon: "database",

  show(root, { store, signal }) {
    const create = button("New database", {
      kind: "primary",
      icon: "plus",
      action: "create",
      onclick: () => createDatabase(store),
    });
    const search = h("input", {
      type: "search",
      class: "input",
      placeholder: "Search by name or region",
      "aria-label": "Search databases",
      oninput: () => draw(),
    });
    const count = h("p", { class: "unseen", role: "status" });
    const tools = h("div", { class: "tools" }, h("div", { class: "search" }, icon("search"), search), count);
    const rows = h("ul", { class: "list" });
    const place = h("div", {});
    root.append(head("Databases", "Redis databases of the connected account.", create), tools, place);

    const draw = () => {
      const connection = store.get("connection").data;
      const isConnected = connection?.state === "connected";
      create.hidden = !isConnected;
      if (connection && !isConnected) {
        tools.hidden = true;
        fill(place, notConnected(connection));
        return;
      }
      showSlot(
        place,
        store.get("databases"),
        () => store.load("databases"),
        (all, error) => {
          tools.hidden = all.length === 0;
          const wanted = search.value.trim().toLowerCase();
          const found = matching(named(all, store), wanted);
          fill(count, wanted ? `${plural(found.length, "database")} found` : "");
          if (all.length === 0) fill(place, error, noDatabases(store));
          else if (found.length === 0) {
            fill(place, error, empty("search", "Nothing found", "No database has this in its name or region."));
          } else {
            if (rows.parentElement !== place || error || place.childElementCount > 1) fill(place, error, rows);
            keyed(
              rows,
              found,
              (it) => it.id,
              (it) => row(it, store),
            );
          }
        },
        () => skeletonList(3),
      );
    };
    if (store.get("regions").data === null) void store.load("regions");
    store.watch(["databases", "connection", "regions"], draw, signal);
  },
};

/**
 * @param {Database[]} all
 * @param {Store} store
 * @returns {Row[]}
 */
function named(all, store) {
  const regions = new Map((store.get("regions").data ?? []).map((it) => [it.id, it.name]));
  return all.map((it) => ({ ...it, regionName: regions.get(it.primary_region) ?? it.primary_region }));
}

/**
 * @param {Row[]} rows
 * @param {string} wanted In lower case.
 */
function matching(rows, wanted) {
  return rows.filter((it) =>
    [it.name, it.primary_region, it.regionName].some((text) => text.toLowerCase().includes(wanted)),
  );
}

/** @param {Connection} connection */
function notConnected({ state, title = "", detail }) {
  const label = state === "disconnected" ? "Connect Upstash" : "Go to the connection";
  const link = h("a", { class: "button primary", href: "#overview" }, h("span", {}, label));
  return empty("plug", title, detail ?? "Connect your Upstash account to see its databases.", link);
}

/** @param {Store} store */
function noDatabases(store) {
  const create = button("New database", { kind: "primary", icon: "plus", onclick: () => createDatabase(store) });
  return empty("database", "No databases yet", "Create the first one. It is ready within seconds.", create);
}

/**
 * @param {Row} it
 * @param {Store} store
 */
function row(it, store) {
  const reads = it.read_regions.length ? ` + ${plural(it.read_regions.length, "read region")}` : "";
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "list-row", "data-action": "open", onclick: () => showDetails(store, it.id) },
      h("span", { class: "mark small" }, icon("database")),
      h(
        "span",
        { class: "grow" },
        h("span", { class: "cut list-title", title: it.name }, it.name),
        h("span", { class: "hint cut" }, it.regionName + reads),
      ),
      it.state !== "active" && badge(it.state, "warn"),
      h("span", { class: "list-more hint" }, PLANS[it.plan] ?? it.plan),
      h("span", { class: "list-more hint" }, "created ", time(it.created_at)),
      icon("chevron", "far"),
    ),
  );
}
