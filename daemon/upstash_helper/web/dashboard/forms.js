/** Forms: labeled fields, with the helper's problems shown at the fields that they are about. */

import { ApiError } from "./api.js";
import { fill, find, h, icon, uniqueId } from "./dom.js";
import { busy, failed } from "./ui.js";

/** @import { Child, Properties } from "./dom.js" */

/**
 * Return a field with its label, its hint and the place for an error.
 *
 * @param {string} name As in the request's body, since a problem's pointer names it so.
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {string} [hint]
 */
export function field(name, label, control, hint = "") {
  const id = uniqueId(name);
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  control.id = id;
  control.name = name;
  control.setAttribute("aria-describedby", hint ? `${hintId} ${errorId}` : errorId);
  return h(
    "div",
    { class: "field", "data-field": name },
    h("label", { for: id }, label),
    control,
    hint && h("p", { class: "hint", id: hintId }, hint),
    h("p", { class: "field-error", id: errorId, role: "alert" }),
  );
}

/** @param {Properties} [properties] */
export function input(properties = {}) {
  return h("input", { class: "input", spellcheck: "false", autocapitalize: "off", ...properties });
}

/**
 * @param {Child[]} options
 * @param {Properties} [properties]
 */
export function select(options, properties = {}) {
  return h("select", { class: "input", ...properties }, ...options);
}

/**
 * Return a form that calls `send` when it is submitted, shows in its button that it is busy, and shows errors where they
 * belong.
 *
 * @param {{ fields: Child[], foot: Child[], submit: HTMLButtonElement, send: () => Promise<void> }} options
 */
export function form(options) {
  const errors = h("div", { class: "trouble" });
  const element = h(
    "form",
    {
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        fill(errors);
        clear(element);
        if (!isComplete(element)) return;
        void busy(options.submit, async () => {
          try {
            await options.send();
          } catch (error) {
            showError(element, errors, error);
          }
        });
      },
    },
    ...options.fields,
    errors,
    h("div", { class: "dialog-foot" }, ...options.foot),
  );
  return element;
}

/** Show what the browser finds wrong with the fields in our own places. @param {HTMLFormElement} element */
function isComplete(element) {
  const controls = [...element.elements].filter(
    (control) => control instanceof HTMLInputElement || control instanceof HTMLSelectElement,
  );
  const invalid = controls.filter((control) => control.willValidate && !control.checkValidity());
  for (const control of invalid) mark(element, control.name, complaint(control));
  invalid[0]?.focus();
  return invalid.length === 0;
}

/**
 * A field that says which characters it takes says more than the browser's "requested format".
 *
 * @param {HTMLInputElement | HTMLSelectElement} control
 */
function complaint(control) {
  if (control.validity.patternMismatch && control.title) return `Allowed: ${control.title.toLowerCase()}`;
  return control.validationMessage;
}

/**
 * @param {HTMLFormElement} element
 * @param {HTMLElement} errors
 * @param {unknown} error
 */
function showError(element, errors, error) {
  const problems = error instanceof ApiError ? error.errors : [];
  const placed = problems.filter(({ pointer, detail }) => mark(element, pointer.split("/")[1] ?? "", detail));
  if (placed.length === 0) fill(errors, failed(error, null));
  /** @type {HTMLElement | null} */ (element.querySelector("[aria-invalid]"))?.focus();
}

/**
 * Show an error at a field, and return whether the form has that field.
 *
 * @param {HTMLFormElement} element
 * @param {string} name
 * @param {string} text
 */
function mark(element, name, text) {
  const place = name && element.querySelector(`[data-field="${CSS.escape(name)}"]`);
  if (!place) return false;
  fill(find(".field-error", place), icon("warning"), text);
  place.querySelector(".input")?.setAttribute("aria-invalid", "true");
  return true;
}

/** @param {HTMLFormElement} element */
function clear(element) {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".field-error"))) fill(place);
  for (const control of element.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}
