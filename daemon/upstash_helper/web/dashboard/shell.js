/** What is around the sections: the name, the navigation, the banner, and the page for whoever has no session. */

import { fill, h, icon } from "./dom.js";
import { button, copy, noticeBoard } from "./ui.js";

const OPEN = "upstash-helper open";

function brand() {
  return h("span", { class: "brand" }, h("img", { src: "/web/pages/icon.svg", alt: "", width: 28, height: 28 }), h("span", {}, "upstash-helper"));
}

/**
 * Show that there is no session, and how to open one. Nothing is fetched.
 *
 * @param {HTMLElement} root
 * @param {string | null} reason Why, if there was one.
 * @param {string} over What is said in large then.
 */
export function welcome(root, reason, over) {
  document.title = "upstash-helper";
  const command = h("code", {}, OPEN);
  const title = h("h1", { tabindex: "-1" }, reason ? over : "upstash-helper is running");
  fill(
    root,
    h(
      "main",
      { class: "welcome" },
      h("img", { src: "/web/pages/icon.svg", alt: "", width: 56, height: 56 }),
      title,
      h("p", { class: "lead", role: reason ? "alert" : null }, reason ?? "It connects the apps on this computer to Upstash, so that none of them has to keep your API key."),
      h("h2", {}, "Open the dashboard"),
      h("p", {}, "For your safety it opens with a one-time address alone. In a terminal, run:"),
      h("div", { class: "command" }, command, button("Copy", { icon: "copy", hidden: "the command", onclick: () => copy(OPEN, "Command") })),
      h("p", { class: "hint" }, "Or choose Dashboard in the menu of the tray icon, if you use it."),
    ),
    noticeBoard(),
  );
  if (reason) title.focus();
}

/** Show nothing but that something is coming. */
export function opening(root) {
  fill(root, h("main", { class: "welcome", "aria-busy": "true" }, h("img", { src: "/web/pages/icon.svg", alt: "", width: 56, height: 56 }), h("h1", { class: "unseen" }, "Opening the dashboard"), h("div", { class: "spinner" })));
}

/**
 * Build the frame of the dashboard.
 *
 * @param {HTMLElement} root
 * @param {{id: string, title: string, icon: string}[]} views
 */
export function frame(root, views) {
  const links = views.map((view) =>
    h("a", { href: `#${view.id}`, "data-view": view.id }, icon(view.icon), h("span", {}, view.title), h("span", { class: "count", hidden: true })),
  );
  const parts = {
    banner: h("div", { class: "banner", role: "alert" }),
    approvals: h("div", { class: "approvals" }),
    section: h("div", { class: "section" }),
    links,
  };
  fill(
    root,
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the content"),
    h("header", { class: "top" }, h("div", { class: "top-stuck" }, brand(), h("nav", { "aria-label": "Sections" }, h("ul", {}, ...links.map((link) => h("li", {}, link)))))),
    h("main", { id: "main", tabindex: "-1" }, parts.banner, parts.approvals, parts.section),
    noticeBoard(),
  );
  return parts;
}

// The fragment says which section is shown, so the link must not change it.
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

/** Show, or hide, that the helper does not answer. */
export function banner(place, down, again) {
  if (!down) fill(place);
  else if (place.childElementCount === 0) {
    fill(
      place,
      h(
        "div",
        { class: "callout bad" },
        icon("plug"),
        h("div", { class: "grow" }, h("p", { class: "strong" }, "The helper is not running"), h("p", {}, "This page comes back by itself. Start it with: ", h("code", {}, "upstash-helper start"))),
        button("Try now", { icon: "refresh", onclick: again }),
      ),
    );
  }
}

/** Show which section is the current one. */
export function current(links, id) {
  for (const link of links) {
    if (link.dataset.view === id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Return the head of a section. */
export function head(title, text, ...actions) {
  return h(
    "div",
    { class: "section-head" },
    h("h1", { tabindex: "-1" }, title),
    actions.length > 0 && h("div", { class: "row" }, ...actions),
    h("p", { class: "lead" }, text),
  );
}
