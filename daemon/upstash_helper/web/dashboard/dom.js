/** Building the page. Text always becomes text nodes: what an app calls itself can never become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Attributes; `on…` functions are event listeners. False, null and undefined are left out.
 *
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: Event) => unknown)>} Properties
 */

/**
 * Make an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  return append(element, ...children);
}

/**
 * As `h`, for SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  return append(element, ...children);
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {Properties[string]} value
 */
function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (name === "value" && "value" in element) element.value = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * Append children; strings as text.
 *
 * @template {Element} T
 * @param {T} element
 * @param {...(Child | Child[])} children
 * @returns {T}
 */
function append(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Return the element that `selector` finds, which must be there.
 *
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`The page has no ${selector}.`);
  return found;
}

/** The element that has the focus, unless nothing has. @returns {HTMLElement | null} */
export function focused() {
  return document.activeElement instanceof HTMLElement ? document.activeElement : null;
}

/** The dialog on top, if one is open. @returns {HTMLElement | undefined} */
export function topDialog() {
  return [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("dialog[open]"))].at(-1);
}

/**
 * Replace the content of `element`. Focus that was in it moves to the button that does the same.
 *
 * @template {HTMLElement} T
 * @param {T} element
 * @param {...(Child | Child[])} children
 * @returns {T}
 */
export function fill(element, ...children) {
  const before = focused();
  const hadFocus = before !== element && element.contains(before);
  element.replaceChildren();
  append(element, ...children);
  if (hadFocus && before) refocus(element, before);
  return element;
}

/**
 * Move the focus to what replaced the element that had it, or to the heading: never back to the top of the page.
 *
 * @param {HTMLElement} element
 * @param {HTMLElement} before
 */
function refocus(element, before) {
  const { action } = before.dataset;
  const same = action && element.querySelector(`[data-action="${action}"]`);
  const heading = element.closest("dialog")?.querySelector("h2") ?? document.querySelector("#main h1");
  /** @type {HTMLElement | null} */ (same || heading)?.focus({ preventScroll: true });
}

/**
 * The symbols of icons.svg, which is part of the page.
 *
 * @typedef {"activity" | "apps" | "block" | "check" | "chevron" | "clock" | "copy" | "cross" | "database" | "door"
 *   | "edit" | "extension" | "external" | "eye" | "globe" | "hidden" | "home" | "info" | "key" | "link" | "lock"
 *   | "mail" | "offline" | "pause" | "person" | "plug" | "plus" | "question" | "refresh" | "search" | "settings"
 *   | "shield" | "sign-in" | "terminal" | "trash" | "tray" | "unlink" | "verified" | "warning"} IconName
 */

/**
 * Return an icon. It is decoration: the text beside it says the same.
 *
 * @param {IconName} name
 * @param {string} [className]
 */
export function icon(name, className = "") {
  const use = svg("use", { href: `#icon-${name}` });
  return svg("svg", { class: `icon ${className}`.trim(), viewBox: "0 0 24 24", "aria-hidden": "true" }, use);
}

/**
 * Show a list, and leave entries alone that have not changed, so that what is checked, typed or focused stays.
 *
 * @template T
 * @param {HTMLElement} container
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 */
export function keyed(container, items, keyOf, make) {
  const children = /** @type {HTMLElement[]} */ ([...container.children]);
  const old = new Map(children.map((child) => [child.dataset.key, child]));
  /** @type {Element | null} */
  let place = container.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const version = JSON.stringify(item);
    const existing = old.get(key);
    old.delete(key);
    let element = existing;
    if (!element || element.dataset.version !== version) {
      element = make(item);
      element.dataset.key = key;
      element.dataset.version = version;
      if (existing) {
        if (place === existing) place = element;
        replace(existing, element);
      }
    }
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  for (const element of old.values()) {
    const before = focused();
    const hadFocus = element.contains(before);
    element.remove();
    if (hadFocus && before) refocus(container, before);
  }
}

/**
 * @param {HTMLElement} old
 * @param {HTMLElement} made
 */
function replace(old, made) {
  const before = focused();
  const hadFocus = old.contains(before);
  old.replaceWith(made);
  if (hadFocus && before) refocus(made, before);
}

let ids = 0;

/** Return an id that no other element has. @param {string} prefix */
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
