/** Dialogs: the browser's own, which keep the focus in and give it back. */

import { fill, h, uniqueId } from "./dom.js";
import { busy, button, failed, iconButton, noticeBoard } from "./ui.js";

/**
 * Open a dialog.
 *
 * @param {{title: string, shape?: "small" | "wide" | "drawer", body: any[], closed?: () => void, heading?: any}} options
 * @returns {{element: any, close: () => void, title: any}}
 */
export function open(options) {
  const id = uniqueId("dialog");
  const title = h("h2", { id, tabindex: "-1", class: options.shape === "drawer" ? "cut" : "wrap", dir: "auto" }, options.title);
  const close = () => element.close();
  const element = h(
    "dialog",
    { class: options.shape ?? "small", "aria-labelledby": id },
    h("div", { class: "dialog-head" }, title, options.heading, iconButton("cross", "Close", { onclick: close, action: "close" })),
    h("div", { class: "dialog-body" }, ...options.body),
    noticeBoard(),
  );
  // A click beside it closes it, if it began there: one that only ends there was the marking of a text.
  let beside = false;
  element.addEventListener("pointerdown", (event) => (beside = event.target === element));
  element.addEventListener("click", (event) => beside && event.target === element && close());
  const goBack = wayBack();
  element.addEventListener("close", () => {
    element.remove();
    options.closed?.();
    goBack();
  });
  document.body.append(element);
  element.showModal();
  return { element, close, title };
}

/**
 * Return what gives the focus back to where it is now. The browser does that, too, unless the button that opened the
 * dialog was drawn anew meanwhile: then it is the one that does the same for the same thing.
 */
function wayBack() {
  const opener = /** @type {HTMLElement} */ (document.activeElement);
  const { action } = opener.dataset;
  const key = /** @type {HTMLElement | null} */ (opener.closest("[data-key]"))?.dataset.key;
  return () => {
    if (document.activeElement !== document.body) return;
    const dialogs = document.querySelectorAll("dialog[open]");
    const scope = dialogs[dialogs.length - 1] ?? document.getElementById("main") ?? document.body;
    const place = key === undefined ? scope : scope.querySelector(`[data-key="${CSS.escape(key)}"]`);
    const same = action && place?.querySelector(`[data-action="${action}"]`);
    /** @type {HTMLElement | null} */ (same || scope.querySelector("h1") || scope.querySelector("h2"))?.focus({ preventScroll: true });
  };
}

/**
 * Ask before something that cannot be taken back, and do it in the dialog, so that a failure is told there.
 *
 * @param {{title: string, text: any[], label: string, action: () => Promise<void>, danger?: boolean, typed?: string}} options
 *   `typed`: what must be typed first.
 * @returns {Promise<boolean>} Whether it was done.
 */
export function confirm(options) {
  return new Promise((resolve) => {
    let done = false;
    const trouble = h("div", { class: "trouble" });
    const yes = button(options.label, { kind: options.danger === false ? "primary" : "danger", type: "submit", action: "confirm" });
    const no = button("Cancel", { autofocus: options.typed === undefined, onclick: () => dialog.close(), action: "cancel" });
    const field = options.typed === undefined ? null : typedField(options.typed, yes);
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          if (yes.disabled) return;
          void busy(yes, async () => {
            try {
              await options.action();
              done = true;
              dialog.close();
            } catch (error) {
              fill(trouble, failed(error, null));
            }
          });
        },
      },
      ...options.text.map((it) => (typeof it === "string" ? h("p", {}, it) : it)),
      field,
      trouble,
      h("div", { class: "dialog-foot" }, no, yes),
    );
    const dialog = open({ title: options.title, body: [form], closed: () => resolve(done) });
  });
}

function typedField(wanted, yes) {
  const id = uniqueId("typed");
  const input = h("input", {
    id,
    class: "input",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    autofocus: true,
    oninput: () => (yes.disabled = input.value !== wanted),
  });
  yes.disabled = true;
  return h("div", { class: "field" }, h("label", { for: id }, "Type ", h("code", { class: "wrap typed" }, wanted), " to go on"), input);
}
