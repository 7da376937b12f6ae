/** The first section: the connection, and how many databases and apps there are. */

import { connectionCard } from "./connection.js";
import { fill, h, icon } from "./dom.js";
import { plural } from "./format.js";
import { head } from "./shell.js";
import { showSlot, skeleton } from "./ui.js";

/** @import { IconName } from "./dom.js" */
/** @import { View } from "./shell.js" */

/** @type {View} */
export const overview = {
  id: "overview",
  title: "Overview",
  icon: "home",

  show(root, { store, signal }) {
    const connection = h("div", { class: "card connection" });
    const databases = tile("databases", "database", "Databases");
    const apps = tile("apps", "apps", "Apps");
    root.append(
      head("Overview", "One connection to Upstash for all apps on this computer."),
      h("section", { "aria-label": "Connection" }, connection),
      h("section", { class: "tiles", "aria-label": "At a glance" }, databases.element, apps.element),
    );
    const show = connectionCard(connection, store);
    const load = () => store.load("connection");
    store.watch(
      ["connection"],
      () => showSlot(connection, store.get("connection"), load, show, () => skeleton(4)),
      signal,
    );
    store.watch(
      ["connection", "databases"],
      () => {
        const { data, error } = store.get("databases");
        const isConnected = store.get("connection").data?.state === "connected";
        if (data) databases.show(plural(data.length, "database"), firstNames(data));
        else databases.show(error ? "Not available" : isConnected ? "…" : "No account");
      },
      signal,
    );
    store.watch(
      ["apps"],
      () => {
        const { data, error } = store.get("apps");
        if (data) apps.show(plural(data.length, "app"), firstNames(data) || "No apps connected yet");
        else apps.show(error ? "Not available" : "…");
      },
      signal,
    );
  },
};

/**
 * @param {string} view
 * @param {IconName} glyph
 * @param {string} label
 */
function tile(view, glyph, label) {
  const figure = h("span", { class: "tile-figure" });
  const text = h("span", { class: "hint cut" });
  const element = h(
    "a",
    { class: "card tile", href: `#${view}` },
    h("span", { class: "mark small" }, icon(glyph)),
    h("span", { class: "grow" }, figure, text),
    icon("chevron", "far"),
  );
  return {
    element,
    /** @param {string} what @param {string} [more] */
    show(what, more = "") {
      fill(figure, what);
      fill(text, more || label);
      text.title = more;
    },
  };
}

/** @param {{ name: string }[]} data */
function firstNames(data) {
  return data
    .slice(0, 4)
    .map((it) => it.name)
    .join(", ");
}
