/** Dialogs: the browser's own, which keep the focus inside and give it back. */

import { ClickGuard } from "./click_guard.js";
import { fill, focused, h, topDialog, uniqueId } from "./dom.js";
import { busy, button, failed, iconButton, noticeBoard } from "./ui.js";

/** @import { Child } from "./dom.js" */

/**
 * @typedef {object} DialogOptions
 * @property {string} title
 * @property {"small" | "wide" | "drawer"} [shape]
 * @property {Child[]} body
 * @property {() => void} [closed]
 */

/** Open a dialog. @param {DialogOptions} options */
export function open(options) {
  const id = uniqueId("dialog");
  const className = options.shape === "drawer" ? "cut" : "wrap";
  const title = h("h2", { id, tabindex: "-1", class: className, dir: "auto" }, options.title);
  /** @returns {void} */
  const close = () => element.close();
  const body = h("div", { class: "dialog-body" }, ...options.body);
  const element = h(
    "dialog",
    { class: options.shape ?? "small", "aria-labelledby": id },
    h("div", { class: "dialog-head" }, title, iconButton("cross", "Close", { onclick: close, action: "close" })),
    body,
    noticeBoard(),
  );
  // A click outside closes it, if it also began there: one that only ends there was a selection of text. The second
  // click of a double click was meant for what opened the dialog.
  let beganOutside = false;
  element.addEventListener("pointerdown", (event) => {
    beganOutside = event.target === element;
  });
  element.addEventListener("click", (event) => {
    if (beganOutside && event.target === element && event.detail === 1) close();
  });
  const returnFocus = focusReturner();
  element.addEventListener("close", () => {
    element.remove();
    options.closed?.();
    returnFocus();
  });
  document.body.append(element);
  element.showModal();
  return { element, body, close, title };
}

/**
 * Return a function that gives the focus back to where it is now. The browser does that, too, unless the button that
 * opened the dialog was redrawn in the meantime: then it goes to the one that does the same for the same thing.
 */
function focusReturner() {
  const opener = focused();
  const action = opener?.dataset.action;
  const key = /** @type {HTMLElement | null | undefined} */ (opener?.closest("[data-key]"))?.dataset.key;
  return () => {
    if (document.activeElement !== document.body) return;
    const scope = topDialog() ?? document.getElementById("main") ?? document.body;
    const place = key === undefined ? scope : scope.querySelector(`[data-key="${CSS.escape(key)}"]`);
    const same = action && place?.querySelector(`[data-action="${action}"]`);
    const target = same || scope.querySelector("h1") || scope.querySelector("h2");
    /** @type {HTMLElement | null} */ (target)?.focus({ preventScroll: true });
  };
}

/**
 * @typedef {object} ConfirmOptions
 * @property {string} title
 * @property {Child[]} text
 * @property {string} label
 * @property {() => Promise<unknown>} action
 * @property {string} [typed] What must be typed first.
 * @property {AbortSignal} [signal] Closes the dialog when there is nothing to decide anymore.
 */

/**
 * Ask before something that cannot be undone, and do it while the dialog is open, so that a failure is shown there. A
 * click counts only after a delay, and never where the dialog was opened: an app can cause that something else than the
 * user meant is under the pointer.
 *
 * @param {ConfirmOptions} options
 * @returns {Promise<boolean>} Whether it was done.
 */
export function confirm(options) {
  return new Promise((resolve) => {
    let isDone = false;
    const errors = h("div", { class: "trouble" });
    const yes = button(options.label, { kind: "danger", type: "submit", action: "confirm" });
    const no = button("Cancel", {
      autofocus: options.typed === undefined,
      onclick: () => dialog.close(),
      action: "cancel",
    });
    /** @param {Event} event */
    const onsubmit = (event) => {
      event.preventDefault();
      if (yes.disabled) return;
      void busy(yes, async () => {
        try {
          await options.action();
          isDone = true;
          dialog.close();
        } catch (error) {
          fill(errors, failed(error, null));
        }
      });
    };
    const opener = focused()?.getBoundingClientRect();
    const foot = h("div", { class: "dialog-foot" }, no, yes);
    const form = h(
      "form",
      { onsubmit },
      ...options.text,
      options.typed === undefined ? null : typedField(options.typed, yes),
      errors,
      foot,
    );
    const guard = new ClickGuard(yes);
    const closed = () => {
      guard.stop();
      resolve(isDone);
    };
    const dialog = open({ title: options.title, body: [form], closed });
    // A second click at the same place must not confirm the first.
    if (opener && overlap(opener, yes.getBoundingClientRect())) foot.classList.add("swapped");
    options.signal?.addEventListener("abort", () => dialog.close());
  });
}

/**
 * @param {DOMRect} one
 * @param {DOMRect} other
 */
function overlap(one, other) {
  const isBeside = one.right < other.left || other.right < one.left;
  return !isBeside && one.bottom >= other.top && other.bottom >= one.top;
}

/**
 * @param {string} expected
 * @param {HTMLButtonElement} yes
 */
function typedField(expected, yes) {
  const id = uniqueId("typed");
  const input = h("input", {
    id,
    class: "input",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    autofocus: true,
    oninput: () => {
      yes.disabled = input.value !== expected;
    },
  });
  yes.disabled = true;
  const label = h("label", { for: id }, "Type ", h("code", { class: "wrap typed" }, expected), " to continue");
  return h("div", { class: "field" }, label, input);
}
