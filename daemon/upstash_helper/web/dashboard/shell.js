/** What surrounds the sections: the name, the navigation and the banner; and the page that is shown without a session. */

import { fill, find, h, icon } from "./dom.js";
import { button, copy, noticeBoard } from "./ui.js";

/** @import { IconName } from "./dom.js" */
/** @import { Store } from "./store.js" */

/**
 * A section of the dashboard.
 *
 * @typedef {object} View
 * @property {string} id
 * @property {string} title
 * @property {IconName} icon
 * @property {(root: HTMLElement, context: { store: Store, signal: AbortSignal }) => void} show `signal` aborts when
 *   another section is shown.
 */

const OPEN = "upstash-helper open";
const SANDBOX = ": everything on this page is in a local Upstash on this computer";
const LOGO = "/web/pages/icon.svg";

/** @param {number} size */
function logo(size) {
  return h("img", { src: LOGO, alt: "", width: size, height: size });
}

/**
 * Show that there is no session, and how to open one. Nothing is fetched.
 *
 * @param {HTMLElement} root
 * @param {string | null} reason Why, if there is a reason.
 * @param {string} over The heading, if there is a reason.
 */
export function welcome(root, reason, over) {
  document.title = "upstash-helper";
  const title = h("h1", { tabindex: "-1" }, reason ? over : "upstash-helper is running");
  const about = "It connects the apps on this computer to Upstash, so that none of them has to keep your API key.";
  const copyCommand = button("Copy", { icon: "copy", hidden: "the command", onclick: () => copy(OPEN, "Command") });
  fill(
    root,
    h(
      "main",
      { class: "welcome" },
      logo(56),
      title,
      h("p", { class: "lead", role: reason ? "alert" : null }, reason ?? about),
      h("h2", {}, "Open the dashboard"),
      h("p", {}, "For your security, the dashboard opens only with a one-time address. In a terminal, run:"),
      h("div", { class: "command" }, h("code", {}, OPEN), copyCommand),
      h("p", { class: "hint" }, "Or choose Dashboard in the menu of the tray icon, if you use it."),
    ),
    noticeBoard(),
  );
  if (reason) title.focus();
}

/** Show that the dashboard is being opened. @param {HTMLElement} root */
export function opening(root) {
  fill(
    root,
    h(
      "main",
      { class: "welcome", "aria-busy": "true" },
      logo(56),
      h("h1", { class: "unseen" }, "Opening the dashboard"),
      h("div", { class: "spinner" }),
    ),
  );
}

/**
 * Build the frame of the dashboard.
 *
 * @param {HTMLElement} root
 * @param {View[]} views
 */
export function frame(root, views) {
  const links = views.map((view) =>
    h(
      "a",
      { href: `#${view.id}`, "data-view": view.id },
      icon(view.icon),
      h("span", {}, view.title),
      h("span", { class: "count", hidden: true }),
    ),
  );
  const parts = {
    banner: h("div", { class: "banner", role: "alert" }),
    mode: h("div", { class: "banner" }),
    approvals: h("div", { class: "approvals" }),
    section: h("div", { class: "section" }),
    sandbox: h("span", { class: "sandbox", hidden: true }, "Sandbox", h("span", { class: "unseen" }, SANDBOX)),
    links,
  };
  const navigation = h("nav", { "aria-label": "Sections" }, h("ul", {}, ...links.map((link) => h("li", {}, link))));
  const brand = h("span", { class: "brand" }, logo(28), h("span", { class: "name" }, "upstash-helper"), parts.sandbox);
  fill(
    root,
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the content"),
    h("header", { class: "top" }, h("div", { class: "top-stuck" }, brand, navigation)),
    h("main", { id: "main", tabindex: "-1" }, parts.banner, parts.mode, parts.approvals, parts.section),
    noticeBoard(),
  );
  return parts;
}

/** The fragment of the address names the section that is shown, so the link must not change it. @param {Event} event */
function skip(event) {
  event.preventDefault();
  find("#main").focus();
}

/**
 * Show whether access requests are approved automatically.
 *
 * @param {HTMLElement} place
 * @param {boolean} isAutomatic
 */
export function modeBanner(place, isAutomatic) {
  if (!isAutomatic) fill(place);
  else if (place.childElementCount === 0) {
    fill(
      place,
      h(
        "div",
        { class: "callout warn" },
        icon("warning"),
        h(
          "div",
          { class: "grow" },
          h("p", { class: "strong" }, "Access requests are approved automatically (sandbox)"),
          h("p", {}, "Every app gets the access that it requests. This works only while a sandbox is connected."),
        ),
      ),
    );
  }
}

/**
 * Show that the helper does not respond, or no longer show it.
 *
 * @param {HTMLElement} place
 * @param {boolean} isDown
 * @param {() => void} retry
 */
export function banner(place, isDown, retry) {
  if (!isDown) fill(place);
  else if (place.childElementCount === 0) {
    fill(
      place,
      h(
        "div",
        { class: "callout bad" },
        icon("plug"),
        h(
          "div",
          { class: "grow" },
          h("p", { class: "strong" }, "The helper is not running"),
          h("p", {}, "This page reconnects when it is. Start it with: ", h("code", {}, "upstash-helper start")),
        ),
        button("Try now", { icon: "refresh", onclick: retry }),
      ),
    );
  }
}

/**
 * Mark the link of the section that is shown.
 *
 * @param {HTMLElement[]} links
 * @param {string} id
 */
export function markCurrent(links, id) {
  for (const link of links) {
    if (link.dataset.view === id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/**
 * Return the heading of a section.
 *
 * @param {string} title
 * @param {string} text
 * @param {...HTMLElement} actions
 */
export function head(title, text, ...actions) {
  return h(
    "div",
    { class: "section-head" },
    h("h1", { tabindex: "-1" }, title),
    actions.length > 0 && h("div", { class: "row" }, ...actions),
    h("p", { class: "lead" }, text),
  );
}
