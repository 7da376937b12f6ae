/** The parts that every section is made of. */

import { messageOf } from "./api.js";
import { fill, find, h, icon, topDialog } from "./dom.js";
import { exact, relative } from "./format.js";

/** @import { Child, IconName } from "./dom.js" */
/** @import { Tone } from "./connection_text.js" */
/** @import { Slot } from "./store.js" */

/**
 * @typedef {object} ButtonOptions
 * @property {"primary" | "plain" | "quiet" | "solid" | "danger" | "danger-plain"} [kind]
 * @property {IconName} [icon]
 * @property {(event: Event) => unknown} [onclick]
 * @property {string} [action] Names the button, so that it can be found again after a redraw.
 * @property {string} [hidden] What a screen reader reads after the label, where several buttons have the same label.
 * @property {boolean} [autofocus]
 * @property {"button" | "submit"} [type]
 * @property {boolean} [disabled]
 */

/**
 * Return a button.
 *
 * @param {Child} label
 * @param {ButtonOptions} [options]
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

/**
 * Return a button that shows only an icon. Its label is read aloud, and shown on hover.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {Pick<ButtonOptions, "action" | "onclick">} [options]
 */
export function iconButton(name, label, { action, onclick } = {}) {
  const attributes = { type: "button", class: "icon-button", "aria-label": label, title: label };
  return h("button", { ...attributes, "data-action": action, onclick }, icon(name));
}

/**
 * Show a button as busy until `work` is done. While it is busy, nothing is started.
 *
 * @param {HTMLElement} element
 * @param {() => Promise<unknown>} work
 */
export async function busy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/**
 * @param {string} text
 * @param {Tone} [tone]
 * @param {IconName} [glyph]
 */
export function badge(text, tone = "quiet", glyph = undefined) {
  return h("span", { class: `badge ${tone}` }, glyph && icon(glyph), text);
}

/** Return a moment: how long ago, and the exact time on hover. @param {string} moment */
export function time(moment) {
  return h("time", { datetime: moment, title: exact(moment) }, relative(moment));
}

/**
 * Return an identity or a target. Where it takes several lines, they end after a slash of a path, or before a dot of a
 * domain, and within a name only if it is longer than a line.
 *
 * @param {string} text
 * @returns {Child[]}
 */
export function inLines(text) {
  const end = /^https?:/.test(text) ? /(?=\.)/ : /(?<=[^/]\/)(?=[^/])/;
  return text.split(end).flatMap((part, number) => (number ? [h("wbr"), part] : [part]));
}

/**
 * Return text that an app wrote, or its identity. It is never cut: what matters about a domain is its end.
 *
 * @param {string} text
 * @param {string} [className]
 */
export function untrusted(text, className = "") {
  return h("span", { class: `whole ${className}`.trim(), title: text, dir: "auto" }, inLines(text));
}

/** Return the outline of what is being loaded. @param {number} lines */
export function skeleton(lines = 3) {
  return h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "unseen" }, "Loading"),
    ...Array.from({ length: lines }, () => h("span", { class: "bone", "aria-hidden": "true" })),
  );
}

/** Return the outline of a list that is being loaded. @param {number} rows */
export function skeletonList(rows) {
  const row = () =>
    h(
      "div",
      { class: "list-row" },
      h("span", { class: "mark small" }),
      h("span", { class: "grow bones" }, h("span", { class: "bone" }), h("span", { class: "bone short" })),
    );
  return h(
    "div",
    { class: "skeleton-list list", role: "status" },
    h("span", { class: "unseen" }, "Loading"),
    h("div", { "aria-hidden": "true" }, ...Array.from({ length: rows }, row)),
  );
}

/**
 * Return what is shown in place of an empty list.
 *
 * @param {IconName} glyph
 * @param {string} title
 * @param {string} text
 * @param {...Child} more Buttons.
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

/**
 * Return what is shown in place of something that could not be loaded.
 *
 * @param {unknown} error
 * @param {(() => unknown) | null} retry
 */
export function failed(error, retry) {
  return h(
    "div",
    { class: "callout bad", role: "alert" },
    icon("warning"),
    h("div", { class: "grow" }, h("p", {}, messageOf(error))),
    retry && button("Try again", { icon: "refresh", onclick: retry }),
  );
}

/**
 * @param {"info" | "warn" | "bad"} tone
 * @param {...Child} children
 */
export function callout(tone, ...children) {
  const glyph = icon(tone === "info" ? "info" : "warning");
  return h("div", { class: `callout ${tone}` }, glyph, h("div", { class: "grow" }, ...children));
}

/** Return a list of names and values. Values that are null are left out. @param {[string, Child][]} pairs */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h(
    "dl",
    { class: "facts" },
    ...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/**
 * Return a switch, and the checkbox in it.
 *
 * @param {string} label
 * @param {string} hint
 * @param {{ checked?: boolean, name?: string, onchange?: () => unknown }} [options]
 */
export function toggle(label, hint, options = {}) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", ...options });
  const text = h(
    "span",
    { class: "grow" },
    h("span", { class: "toggle-label" }, label),
    hint && h("span", { class: "hint" }, hint),
  );
  return { element: h("label", { class: "toggle" }, text, input), input };
}

/**
 * Show an entry of the store: its outline while it is loaded, why it could not be, or what `show` makes of its data.
 *
 * @template T
 * @param {HTMLElement} container
 * @param {Slot<T>} slot
 * @param {() => unknown} retry
 * @param {(data: T, error: HTMLElement | null) => void} show `error` is what to show where data is out of date.
 * @param {() => HTMLElement} [outline]
 */
export function showSlot(container, slot, retry, show, outline = () => skeleton()) {
  const error = slot.error ? failed(slot.error, retry) : null;
  if (slot.data !== null) show(slot.data, error);
  else fill(container, error ?? outline());
}

/** Where notices go: the dialog on top, since everything behind it is out of reach; otherwise the page. */
function noticePlace() {
  return find(".notices", topDialog() ?? document);
}

/**
 * Show a message for a few seconds; a screen reader reads it, too.
 *
 * @param {string} text
 * @param {"ok" | "bad" | "info"} [tone]
 */
export function notice(text, tone = "ok") {
  const glyph = icon(tone === "ok" ? "check" : tone === "bad" ? "warning" : "info");
  const shown = h("div", { class: `notice ${tone}` }, glyph, h("span", { class: "grow" }, text));
  const dismiss = () => shown.remove();
  const attributes = { type: "button", class: "icon-button small", "aria-label": "Dismiss", onclick: dismiss };
  shown.append(h("button", attributes, icon("cross")));
  const place = noticePlace();
  for (const old of [...place.querySelectorAll(".notice")].slice(0, -2)) old.remove();
  place.append(shown);
  setTimeout(dismiss, { ok: 4000, info: 8000, bad: 12_000 }[tone]);
}

/** Announce to screen readers what is visible to others. @param {string} text */
export function announce(text) {
  const announcement = h("div", { class: "unseen" }, text);
  noticePlace().append(announcement);
  setTimeout(() => announcement.remove(), 5000);
}

/** Return the place for notices. It must be there before the first one, or that is not read aloud. */
export function noticeBoard() {
  return h("div", { class: "notices", role: "status", "aria-live": "polite" });
}

/**
 * Promise text to the clipboard within the click: Safari accepts none that comes after something was awaited.
 *
 * @param {Promise<string>} text
 */
function writeLater(text) {
  const blob = text.then((it) => new Blob([it], { type: "text/plain" }));
  return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
}

/**
 * Copy text to the clipboard, and say so.
 *
 * @param {Promise<string> | string} text
 * @param {string} what
 */
export async function copy(text, what) {
  try {
    if (typeof text === "string") await navigator.clipboard.writeText(text);
    else await Promise.all([text, writeLater(text)]);
    notice(`${what} copied.`);
  } catch (error) {
    const isBlocked = error instanceof Error && error.name === "NotAllowedError";
    notice(
      isBlocked
        ? "The browser does not allow this page to copy. Show the text, and copy it yourself."
        : messageOf(error),
      "bad",
    );
  }
}
