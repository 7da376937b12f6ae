/**
 * Keeps a click from deciding something that the user has not had the time to read.
 *
 * What is under the pointer can change at the last moment: a request is withdrawn and the next one takes its place, a
 * notice disappears, the window comes to the front. So a click counts only if everything has stayed as it is for a
 * while, and if the click as a whole, from the pressing of the button or key on, came after that.
 */

import { notice } from "./ui.js";

/** For how long nothing may have changed before a click counts, in milliseconds. */
export const SETTLE_MS = 900;
/** A change is drawn in the next frame, and was drawn when the one after that begins. */
const FRAMES = 2;

const CONTROLS = "button, input, select, textarea, a[href], summary";
const HINT_ID = "click-guard-hint";
const HINT = "Available in a moment: the page has just changed.";
const MISSED = "That click was ignored because the page had just changed. Check the page, then click again.";
/** How long the press of a mouse button or a finger is remembered after its release: until the click has come. */
const RELEASED_MS = 1000;

/**
 * How the user began to press something.
 *
 * @typedef {{ control: Element | null, time: number, isKey: boolean }} Press
 */

/** A press that began somewhere else, at an unknown time. @type {Press} */
const ELSEWHERE = { control: null, time: Number.NEGATIVE_INFINITY, isKey: true };

/**
 * Guards the controls in an element: the element itself, or everything in it. A control with `data-unguarded` is left
 * alone, such as one that only cancels.
 *
 * While clicks do not count, controls look disabled and say why to screen readers, but keep the focus.
 */
export class ClickGuard {
  #region;
  #liveSince = Number.POSITIVE_INFINITY;
  #timer = setTimeout(() => {});
  #frame = 0;
  /** The number of frames until the last change can be seen. Only then does the time begin. */
  #framesUntilSeen = FRAMES;
  /** The position of everything that is guarded, and what else can move it or cover it. */
  #layout = "";
  /** The last position of the pointer; null if it is outside of the page. @type {{ x: number, y: number } | null} */
  #pointer = null;
  /** What was there. @type {Element | null} */
  #under = null;
  /** @type {Press | null} */
  #press = null;
  #missedAt = Number.NEGATIVE_INFINITY;
  #stopped = new AbortController();
  #observer = new MutationObserver((records) => {
    if (!records.every((it) => isClock(it.target))) this.restart();
  });

  /** @param {HTMLElement} region */
  constructor(region) {
    this.#region = region;
    const options = { capture: true, signal: this.#stopped.signal };
    const restart = () => this.restart();
    for (const name of ["focus", "blur", "pageshow", "resize", "afterprint"]) {
      // Without `capture`, so that the focus of an element in the page is not meant.
      window.addEventListener(name, restart, { signal: options.signal });
    }
    document.addEventListener("visibilitychange", restart, options);
    document.addEventListener("resume", restart, options); // of a page that was frozen
    document.addEventListener("close", restart, options); // of a dialog, which uncovers what is behind it
    window.addEventListener("pointerover", (event) => this.#entered(event), options);
    window.addEventListener("pointermove", (event) => this.#moved(event), options);
    window.addEventListener("pointerout", (event) => this.#left(event), options);
    window.addEventListener("pointerdown", (event) => this.#pressed(event), options);
    window.addEventListener("mousedown", (event) => this.#pressedWithoutPointer(event), options);
    window.addEventListener("pointerup", () => this.#released(RELEASED_MS), options);
    window.addEventListener("pointercancel", () => this.#released(0), options);
    window.addEventListener("keydown", (event) => this.#keyPressed(event), options);
    window.addEventListener("keyup", () => this.#released(0), options);
    region.addEventListener("click", (event) => this.#clicked(event), options);
    this.#observer.observe(region, { childList: true, characterData: true, subtree: true });
    this.restart();
  }

  /** Stop guarding. */
  stop() {
    this.#stopped.abort();
    this.#observer.disconnect();
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#mark(true);
  }

  /** Something has changed: clicks do not count for a while. */
  restart() {
    this.#liveSince = Number.POSITIVE_INFINITY;
    this.#framesUntilSeen = FRAMES;
    clearTimeout(this.#timer);
    this.#mark(false);
    if (this.#frame === 0 && this.#controls().length > 0) this.#watch();
  }

  /** A frame begins. Under load, frames can come much later than the change that they show. */
  #countFrame() {
    if (this.#framesUntilSeen === 0) return;
    this.#framesUntilSeen -= 1;
    if (this.#framesUntilSeen > 0) return;
    this.#liveSince = performance.now() + SETTLE_MS;
    this.#timer = setTimeout(() => this.#settle(), SETTLE_MS);
  }

  #settle() {
    const wait = this.#liveSince - performance.now();
    if (wait > 0) this.#timer = setTimeout(() => this.#settle(), wait);
    else this.#mark(true);
  }

  /** @param {boolean} isLive */
  #mark(isLive) {
    for (const control of this.#controls()) {
      if (isLive) {
        control.removeAttribute("aria-disabled");
        control.removeAttribute("aria-describedby");
      } else {
        control.setAttribute("aria-disabled", "true");
        control.setAttribute("aria-describedby", hint());
      }
    }
  }

  /** @returns {Element[]} */
  #controls() {
    const inside = [...this.#region.querySelectorAll(CONTROLS)];
    const all = this.#region.matches(CONTROLS) ? [this.#region, ...inside] : inside;
    return all.filter((it) => !it.closest("[data-unguarded]"));
  }

  /** Look at every frame, as long as there is something to guard: nothing else reports all that can move an element. */
  #watch() {
    this.#frame = requestAnimationFrame(() => {
      this.#countFrame();
      this.#look();
      if (this.#controls().length > 0) this.#watch();
      else this.#frame = 0;
    });
  }

  /** Restart if something has moved since the last look. */
  #look() {
    if (this.#frame === 0) return; // nothing is guarded now
    const layout = this.#layoutNow();
    const under = this.#pointer && document.elementFromPoint(this.#pointer.x, this.#pointer.y);
    // The pointer has not moved, but something else is under it now: what covered it is gone.
    const isUncovered = under !== this.#under && this.#region.contains(under);
    this.#under = under;
    if (layout === this.#layout && !isUncovered) return;
    this.#layout = layout;
    this.restart();
  }

  #layoutNow() {
    const rectangles = this.#controls().map((it) => {
      const { left, top, width, height } = it.getBoundingClientRect();
      return [left, top, width, height].map(Math.round).join(" ");
    });
    const view = visualViewport;
    const zoom = view ? [view.offsetLeft, view.offsetTop, view.scale] : [];
    const dialogs = document.querySelectorAll("dialog[open]").length;
    const frame = [screenX, screenY, innerWidth, innerHeight, devicePixelRatio, ...zoom, dialogs];
    return [...rectangles, ...frame].join();
  }

  /**
   * A mouse that comes from nowhere, or from an element that no longer exists: a window that covered this one may have
   * closed. (A finger always comes from nowhere.)
   *
   * @param {PointerEvent} event
   */
  #entered(event) {
    if (event.pointerType === "mouse" && event.relatedTarget === null) this.restart();
    this.#moved(event);
  }

  /** @param {PointerEvent} event */
  #moved(event) {
    this.#look(); // first, for the position until now
    this.#pointer = { x: event.clientX, y: event.clientY };
    this.#under = event.target instanceof Element ? event.target : null;
  }

  /** @param {PointerEvent} event */
  #left(event) {
    if (event.relatedTarget !== null) return;
    this.#pointer = null;
    this.#under = null;
  }

  /** @param {PointerEvent} event */
  #pressed(event) {
    this.#moved(event);
    this.#press = { control: controlOf(event.target), time: event.timeStamp, isKey: false };
  }

  /** Some assistive technology sends mouse events only. @param {MouseEvent} event */
  #pressedWithoutPointer(event) {
    if (this.#press && !this.#press.isKey) return;
    this.#press = { control: controlOf(event.target), time: event.timeStamp, isKey: false };
  }

  /** @param {KeyboardEvent} event */
  #keyPressed(event) {
    this.#look();
    // A key that repeats was pressed before, perhaps in another window.
    if (!event.repeat) this.#press = { control: controlOf(event.target), time: event.timeStamp, isKey: true };
    else if (!this.#press?.isKey) this.#press = ELSEWHERE;
  }

  /** @param {number} wait */
  #released(wait) {
    const press = this.#press;
    setTimeout(() => {
      if (this.#press === press) this.#press = null;
    }, wait);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const control = controlOf(event.target);
    if (!control || control.closest("[data-unguarded]")) return;
    this.#look();
    if (this.#beganAt(event, control) >= this.#liveSince && !document.hidden) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.timeStamp - this.#missedAt > SETTLE_MS) notice(MISSED, "info");
    this.#missedAt = event.timeStamp;
  }

  /**
   * Return when the user began to press what was clicked; long ago, if that was something else.
   *
   * @param {MouseEvent} event
   * @param {Element} control
   */
  #beganAt(event, control) {
    const isPointer = event.detail > 0;
    const press = this.#press;
    // Neither a pointer nor a key: assistive technology, or a label that clicks its checkbox.
    if (!isPointer && !press?.isKey) return event.timeStamp;
    const isSame = press?.control === control || (press?.isKey && submits(press.control, control));
    return isSame ? press.time : ELSEWHERE.time;
  }
}

/**
 * Return whether a key in a field of a form, such as Enter, clicks the form's button.
 *
 * @param {Element | null} field A field, or its label.
 * @param {Element} control
 */
function submits(field, control) {
  const isField = field instanceof HTMLInputElement || field instanceof HTMLLabelElement;
  return isField && control instanceof HTMLButtonElement && control.type === "submit" && control.form === field.form;
}

/** Return whether this is the time that is left, which changes all the time. @param {Node} node */
function isClock(node) {
  const element = node instanceof Element ? node : node.parentElement;
  return element?.matches("[data-expires]") ?? false;
}

/** Return the control that a click on `target` is for. A label acts for what it contains. @param {EventTarget | null} target */
function controlOf(target) {
  if (!(target instanceof Element)) return null;
  return target.closest("label") ?? target.closest(CONTROLS);
}

/** Return the id of the text that explains why a button cannot be used yet. */
function hint() {
  if (!document.getElementById(HINT_ID)) {
    const element = document.createElement("p");
    element.id = HINT_ID;
    element.hidden = true;
    element.textContent = HINT;
    document.body.append(element);
  }
  return HINT_ID;
}
