/** The first section: the connection, and what hangs on it. */

import { connectionCard } from "./connection.js";
import { fill, h, icon } from "./dom.js";
import { plural } from "./format.js";
import { head } from "./shell.js";
import { skeleton, slotted } from "./ui.js";

export const overview = {
  id: "overview",
  title: "Overview",
  icon: "home",

  /** @param {HTMLElement} root */
  show(root, { store, signal }) {
    const connection = h("div", { class: "card connection" });
    const databases = tile("databases", "database", "Databases");
    const apps = tile("apps", "apps", "Apps");
    root.append(
      head("Overview", "One connection to Upstash for all apps on this computer."),
      h("section", { "aria-label": "Connection" }, connection),
      h("section", { class: "tiles", "aria-label": "At a glance" }, databases.element, apps.element),
    );
    const shown = connectionCard(connection, store);
    store.watch(["connection"], () => slotted(connection, store.get("connection"), () => store.load("connection"), shown, () => skeleton(4)), signal);
    store.watch(["connection", "databases"], () => {
      const { data, error } = store.get("databases");
      const connected = store.get("connection").data?.state === "connected";
      databases.say(data ? plural(data.length, "database") : error ? "Not reachable" : connected ? "…" : "No account", named(data));
    }, signal);
    store.watch(["apps"], () => {
      const { data, error } = store.get("apps");
      apps.say(data ? plural(data.length, "app") : error ? "Not readable" : "…", data?.length === 0 ? "None is let in yet" : named(data));
    }, signal);
  },
};

function tile(view, glyph, label) {
  const figure = h("span", { class: "tile-figure" });
  const text = h("span", { class: "hint cut" });
  const element = h("a", { class: "card tile", href: `#${view}` }, h("span", { class: "mark small" }, icon(glyph)), h("span", { class: "grow" }, figure, text), icon("chevron", "far"));
  return {
    element,
    say(what, more) {
      fill(figure, what);
      fill(text, more || label);
      text.title = more || "";
    },
  };
}

function named(data) {
  return data?.length ? data.slice(0, 4).map((it) => it.name).join(", ") : "";
}
