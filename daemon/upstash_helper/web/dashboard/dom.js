/** Building the page. Text becomes text nodes, always: what an app calls itself can never become markup. */

import { ICONS } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties] Attributes; `on…` functions are listeners, false and null are left out.
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  put(element, ...children);
  return element;
}

/** As `h`, for SVG. @returns {any} */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  put(element, ...children);
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (name === "value") element.value = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Append children; strings as text. */
export function put(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Replace all that is in `element`. Focus that was in there stays with the button that does the same. */
export function fill(element, ...children) {
  const focused = document.activeElement;
  const inside = focused !== element && element.contains(focused);
  element.replaceChildren();
  put(element, ...children);
  if (inside) refocus(element, focused);
  return element;
}

/** Give the focus to what took the place of `focused`, or to the heading: never back to the top of the page. */
function refocus(element, focused) {
  const { action } = focused.dataset;
  const same = action && element.querySelector(`[data-action="${action}"]`);
  const heading = element.closest("dialog")?.querySelector("h2") ?? document.querySelector("#main h1");
  (same || heading)?.focus({ preventScroll: true });
}

/**
 * Return an icon. It is decoration: what it says is said in words beside it.
 *
 * @param {string} name One of `ICONS`.
 * @param {string} [className]
 */
export function icon(name, className = "") {
  const drawn = svg("svg", { class: `icon ${className}`.trim(), viewBox: "0 0 24 24", "aria-hidden": "true" });
  for (const d of ICONS[name]) drawn.append(svg("path", { d }));
  return drawn;
}

/**
 * Show a list, and leave alone what has not changed: what is checked, typed or focused in an entry stays so.
 *
 * @template T
 * @param {any} container
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 */
export function keyed(container, items, keyOf, make) {
  /** @type {Map<string, any>} */
  const old = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const was = JSON.stringify(item);
    let element = old.get(key);
    old.delete(key);
    if (!element || element.dataset.was !== was) {
      const made = make(item);
      made.dataset.key = key;
      made.dataset.was = was;
      if (element) {
        const focused = document.activeElement;
        const inside = element.contains(focused);
        if (place === element) place = made;
        element.replaceWith(made);
        if (inside) refocus(made, focused);
      }
      element = made;
    }
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  for (const element of old.values()) {
    const inside = element.contains(document.activeElement);
    element.remove();
    if (inside) refocus(container, element);
  }
}

let made = 0;

/** Return an id that no other element has. */
export function uniqueId(word) {
  made += 1;
  return `${word}-${made}`;
}
