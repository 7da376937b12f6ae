/** The parts that every section is made of. */

import { fill, h, icon } from "./dom.js";
import { exact, relative } from "./format.js";

/**
 * Return a button.
 *
 * @param {string} label
 * @param {{kind?: "primary" | "plain" | "quiet" | "solid" | "danger" | "danger-plain", icon?: string, onclick?: (event: Event) => any,
 *   action?: string, hidden?: string, autofocus?: boolean, type?: string, disabled?: boolean}} [options]
 *   `hidden`: what a screen reader hears after the label, where several buttons have the same one.
 */
export function button(label, options = {}) {
  return h(
    "button",
    {
      type: options.type ?? "button",
      class: `button ${options.kind ?? "plain"}`,
      "data-action": options.action,
      autofocus: options.autofocus,
      disabled: options.disabled,
      onclick: options.onclick,
    },
    options.icon && icon(options.icon),
    h("span", {}, label, options.hidden && h("span", { class: "unseen" }, ` ${options.hidden}`)),
  );
}

/** Return a button that is an icon alone; its name is heard and shown on hovering. */
export function iconButton(name, label, options = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, "data-action": options.action, onclick: options.onclick },
    icon(name),
  );
}

/** Show that something goes on in a button, until `work` is done. */
export async function busy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return undefined;
  element.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** @param {string} text @param {"ok" | "warn" | "bad" | "quiet"} [tone] */
export function badge(text, tone = "quiet", glyph = "") {
  return h("span", { class: `badge ${tone}` }, glyph && icon(glyph), text);
}

/** Return a moment: how long ago, and exactly on hovering. @param {string} moment */
export function time(moment) {
  return h("time", { datetime: moment, title: exact(moment) }, relative(moment));
}

/** Return somebody else's words, cut where they are too long, all of them on hovering. */
export function claimed(text, className = "") {
  return h("span", { class: `cut ${className}`.trim(), title: text, dir: "auto" }, text);
}

/** Return the outline of what will be here. @param {number} lines */
export function skeleton(lines = 3) {
  return h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "unseen" }, "Loading"),
    ...Array.from({ length: lines }, () => h("span", { class: "bone", "aria-hidden": "true" })),
  );
}

/** Return the outline of a list that will be here. @param {number} rows */
export function skeletonList(rows) {
  const row = () => h("div", { class: "list-row" }, h("span", { class: "mark small" }), h("span", { class: "grow bones" }, h("span", { class: "bone" }), h("span", { class: "bone short" })));
  return h("div", { class: "skeleton-list list", role: "status" }, h("span", { class: "unseen" }, "Loading"), h("div", { "aria-hidden": "true" }, ...Array.from({ length: rows }, row)));
}

/**
 * Return what stands where there is nothing.
 *
 * @param {string} glyph
 * @param {string} title
 * @param {string} text
 * @param {...any} more Buttons.
 */
export function empty(glyph, title, text, ...more) {
  return h(
    "div",
    { class: "empty" },
    h("div", { class: "empty-mark" }, icon(glyph)),
    h("p", { class: "empty-title" }, title),
    h("p", {}, text),
    more.length > 0 && h("div", { class: "row center" }, ...more),
  );
}

/** Return what stands where something could not be loaded. */
export function failed(error, again) {
  return h(
    "div",
    { class: "callout bad", role: "alert" },
    icon("warning"),
    h("div", { class: "grow" }, h("p", {}, error.message)),
    again && button("Try again", { icon: "refresh", onclick: again }),
  );
}

/** @param {"info" | "warn" | "bad"} tone */
export function callout(tone, ...children) {
  return h("div", { class: `callout ${tone}` }, icon(tone === "info" ? "info" : "warning"), h("div", { class: "grow" }, ...children));
}

/** Return names and values. @param {[string, any][]} pairs */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    ...pairs.filter(([, value]) => value !== null).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Return a switch. @param {string} label @param {string} hint */
export function toggle(label, hint, options = {}) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", checked: options.checked, name: options.name, onchange: options.onchange });
  return h("label", { class: "toggle" }, h("span", { class: "grow" }, h("span", { class: "toggle-label" }, label), hint && h("span", { class: "hint" }, hint)), input);
}

/** Show a slot: its outline while it is loaded, what went wrong, or what `show` makes of its data. */
export function slotted(container, slot, again, show, outline = () => skeleton()) {
  if (slot.data !== null && slot.data !== undefined) {
    const trouble = slot.error && failed(slot.error, again);
    show(slot.data, trouble);
  } else if (slot.error) fill(container, failed(slot.error, again));
  else fill(container, outline());
}

/** Where notices go: into the dialog on top, since all behind it is out of reach; else onto the page. */
function board() {
  const dialogs = document.querySelectorAll("dialog[open]");
  return (dialogs[dialogs.length - 1] ?? document).querySelector(".notices");
}

/**
 * Say something in passing; a screen reader says it too.
 *
 * @param {string} text
 * @param {"ok" | "bad" | "info"} [tone]
 */
export function notice(text, tone = "ok") {
  const glyph = { ok: "check", bad: "warning", info: "info" }[tone];
  const shown = h("div", { class: `notice ${tone}` }, icon(glyph), h("span", { class: "grow" }, text));
  const away = () => shown.remove();
  shown.append(h("button", { type: "button", class: "icon-button small", "aria-label": "Dismiss", onclick: away }, icon("cross")));
  const place = board();
  while (place.querySelectorAll(".notice").length >= 3) place.querySelector(".notice").remove();
  place.append(shown);
  setTimeout(away, { ok: 4000, info: 8000, bad: 12_000 }[tone]);
}

/** Say something to a screen reader alone: it can be seen otherwise. */
export function murmur(text) {
  const said = h("div", { class: "unseen" }, text);
  board().append(said);
  setTimeout(() => said.remove(), 5000);
}

/** Return the place for notices; it must be there before the first one, or it is not read out. */
export function noticeBoard() {
  return h("div", { class: "notices", role: "status", "aria-live": "polite" });
}

/** Promise text to the clipboard within the click: Safari takes none that comes after something was waited for. */
function later(given) {
  const item = new ClipboardItem({ "text/plain": given.then((text) => new Blob([text], { type: "text/plain" })) });
  return navigator.clipboard.write([item]);
}

/** Put text onto the clipboard, and say so. @param {Promise<string> | string} text */
export async function copy(text, what) {
  const given = Promise.resolve(text);
  try {
    await Promise.all([given, typeof text === "string" ? navigator.clipboard.writeText(text) : later(given)]);
    notice(`${what} copied.`);
    return true;
  } catch (error) {
    notice(error?.name === "NotAllowedError" ? "The browser does not let this page copy. Show it, and copy it by hand." : error.message, "bad");
    return false;
  }
}
