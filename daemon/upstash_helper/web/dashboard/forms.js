/** Forms: labelled fields, and the helper's problems shown at the field that they are about. */

import { Problem } from "./api.js";
import { fill, h, icon, uniqueId } from "./dom.js";
import { busy, failed } from "./ui.js";

/**
 * Return a field with its label, hint and place for an error.
 *
 * @param {string} name As in the request's body; a problem's pointer finds it by that.
 * @param {string} label
 * @param {any} control
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

/** @param {Record<string, any>} [properties] */
export function input(properties = {}) {
  return h("input", { class: "input", spellcheck: "false", autocapitalize: "off", ...properties });
}

/** @param {any[]} options @param {Record<string, any>} [properties] */
export function select(options, properties = {}) {
  return h("select", { class: "input", ...properties }, ...options);
}

/**
 * Return a form that sends itself by `send`, shows what goes on in its button, and what went wrong where it did.
 *
 * @param {{fields: any[], foot: any[], submit: any, send: (form: any) => Promise<void>}} options
 */
export function form(options) {
  const trouble = h("div", { class: "trouble" });
  const element = h(
    "form",
    {
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        fill(trouble);
        clear(element);
        if (!complete(element)) return;
        void busy(options.submit, async () => {
          try {
            await options.send(element);
          } catch (error) {
            tell(element, trouble, error);
          }
        });
      },
    },
    ...options.fields,
    trouble,
    h("div", { class: "dialog-foot" }, ...options.foot),
  );
  return element;
}

/** Let the browser say which fields are not filled in, in our places. */
function complete(element) {
  const wrong = [...element.elements].filter((control) => control.willValidate && !control.checkValidity());
  for (const control of wrong) mark(element, control.name, complaint(control));
  wrong[0]?.focus();
  return wrong.length === 0;
}

/** Where a field says which characters it takes, that says more than the browser's "requested format". */
function complaint(control) {
  return (control.validity.patternMismatch && control.title && `It takes ${control.title.toLowerCase()}`) || control.validationMessage;
}

function tell(element, trouble, error) {
  const told = error instanceof Problem ? error.errors : [];
  const placed = told.filter(({ pointer, detail }) => mark(element, pointer.split("/")[1] ?? "", detail));
  if (placed.length === 0) fill(trouble, failed(error, null));
  element.querySelector("[aria-invalid]")?.focus();
}

function mark(element, name, text) {
  const place = name && element.querySelector(`[data-field="${CSS.escape(name)}"]`);
  if (!place) return false;
  fill(place.querySelector(".field-error"), icon("warning"), text);
  place.querySelector(".input")?.setAttribute("aria-invalid", "true");
  return true;
}

function clear(element) {
  for (const place of element.querySelectorAll(".field-error")) fill(place);
  for (const control of element.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}
