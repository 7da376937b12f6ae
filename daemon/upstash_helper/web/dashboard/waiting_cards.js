/** Access requests and questions that wait for the user's decision, above every section. */

import { call, messageOf } from "./api.js";
import { ClickGuard } from "./click_guard.js";
import { fill, find, h } from "./dom.js";
import { timeLeft } from "./format.js";
import { announce, notice } from "./ui.js";

/** @import { Identity } from "./openapi.js" */
/** @import { Store } from "./store.js" */

/**
 * What every item has.
 *
 * @typedef {{ id: string, identity: Identity, state: string, expires_at: string }} Item
 */

/**
 * The place of an item in the list.
 *
 * @template T
 * @typedef {object} Place
 * @property {HTMLElement} element
 * @property {T} item
 * @property {string} version
 * @property {AbortController} over Aborts when the item no longer waits.
 */

/**
 * The items, each in its place. Nothing moves while the user may be about to click: a new item comes last, and the place
 * of one that is over stays empty until the pointer and the focus have left.
 *
 * @template {Item} T
 */
export class WaitingCards {
  /** The items that are shown. @type {T[]} */
  pending = [];
  /** Decisions made on this page, by the id of the item. @type {Map<string, { state: string, done: string }>} */
  own = new Map();
  /** What happened to items that no longer wait, by id. @type {Map<string, string>} */
  outcomes = new Map();
  /** @type {Map<string, Place<T>>} */
  #places = new Map();
  /** The empty places. @type {Set<HTMLElement>} */
  #gone = new Set();
  #isFirst = true;
  #entry;
  #heading;
  #list = h("div", { class: "approval-list" });
  #section;
  #guard = new ClickGuard(this.#list);
  #clock = setInterval(() => this.#tick(), 1000);
  #stopped = new AbortController();

  /**
   * @param {HTMLElement} place
   * @param {Store} store
   * @param {"pairings" | "confirmations"} entry The entry of the store.
   */
  constructor(place, store, entry) {
    this.store = store;
    this.#entry = entry;
    const id = `${entry}-title`;
    this.#heading = h("h2", { id, tabindex: "-1" });
    this.#section = h("section", { class: "waiting", "aria-labelledby": id, hidden: true }, this.#heading, this.#list);
    place.append(this.#section);
    store.addEventListener(entry, () => this.#show());
    const { signal } = this.#stopped;
    const tidy = () => this.#removeEmptyPlaces();
    document.addEventListener("pointerover", tidy, { signal });
    document.addEventListener("pointerout", tidy, { signal });
    this.#list.addEventListener("focusout", () => setTimeout(tidy), { signal });
  }

  stop() {
    clearInterval(this.#clock);
    this.#guard.stop();
    this.#stopped.abort();
  }

  // --- for each kind of item ----------------------------------------------------------------------------------------

  /** Return the heading. @param {number} _count @returns {string} */
  headingFor(_count) {
    return "";
  }

  /** Return what is announced about a new item. @param {T} _it @returns {string} */
  announcement(_it) {
    return "";
  }

  /** Return what the outcome of an item is about. @param {T} it */
  subject(it) {
    return it.identity.shown;
  }

  /** Return what follows the subject of an item that was decided elsewhere or is over. @param {T} _it @returns {string} */
  ended(_it) {
    return "";
  }

  /** Load what a decision changes. @param {T} _it */
  changed(_it) {}

  /**
   * @param {T} _it
   * @param {AbortSignal} _over Aborts when the item no longer waits.
   * @returns {HTMLElement}
   */
  card(_it, _over) {
    return h("article");
  }

  // --- events and decisions -----------------------------------------------------------------------------------------

  /** Handle an event about an item. @param {T} item */
  handle(item) {
    const { data, loading } = this.#slot();
    if (item.state !== "pending") this.outcomes.set(item.id, this.ended(item));
    if (data === null || loading) {
      void this.store.load(this.#entry); // the list that is being loaded may be older than this event
      return;
    }
    const rest = data.filter((it) => it.id !== item.id);
    this.#set(item.state === "pending" ? [...rest, item] : rest);
    this.changed(item);
  }

  /** @returns {{ data: T[] | null, loading: boolean }} */
  #slot() {
    return /** @type {{ data: T[] | null, loading: boolean }} */ (/** @type {unknown} */ (this.store.get(this.#entry)));
  }

  /** @param {T[]} items */
  #set(items) {
    this.store.set(this.#entry, /** @type {never} */ (/** @type {unknown} */ (items)));
  }

  /**
   * Send a decision, and report an error.
   *
   * @param {T} it
   * @param {string} path
   * @param {{ state: string, done: string }} own What is shown after a success.
   * @param {object} [body]
   */
  async decide(it, path, own, body) {
    try {
      await this.send(it, path, own, body);
      this.decided(it, own.done);
    } catch (error) {
      notice(messageOf(error), "bad");
      void this.store.load(this.#entry);
    }
  }

  /**
   * @param {T} it
   * @param {string} path
   * @param {{ state: string, done: string }} own
   * @param {object} [body]
   */
  async send(it, path, own, body) {
    this.own.set(it.id, own);
    try {
      await call("POST", path, body);
    } catch (error) {
      this.own.delete(it.id);
      throw error;
    }
  }

  /**
   * @param {T} it
   * @param {string} done
   */
  decided(it, done) {
    this.outcomes.set(it.id, done);
    this.#set(this.pending.filter((other) => other.id !== it.id));
  }

  // --- the list -----------------------------------------------------------------------------------------------------

  #show() {
    const { data: items } = this.#slot();
    if (items === null) return;
    const wasEmpty = this.pending.length === 0;
    this.pending = items;
    const pending = new Set(items.map((it) => it.id));
    const over = [...this.#places.values()].filter((it) => !pending.has(it.item.id));
    for (const place of over) this.#empty(place);
    const fresh = items.filter((it) => this.#put(it));
    fill(this.#heading, this.headingFor(items.length));
    this.#removeEmptyPlaces();
    for (const { item } of over) this.#tell(item);
    // A user who has just opened the dashboard came to decide. Later, nothing takes the focus away.
    const isIdle = document.activeElement === document.body;
    if (this.#isFirst && wasEmpty && items.length > 0 && isIdle) this.#focus();
    else for (const it of fresh) this.#announce(it);
    this.#isFirst = false;
  }

  /** Show an item, and return whether it is new. @param {T} item */
  #put(item) {
    const version = JSON.stringify(item);
    const place = this.#places.get(item.id);
    if (place?.version === version) return false;
    const over = place?.over ?? new AbortController();
    const element = this.card(item, over.signal);
    element.dataset.key = item.id;
    this.#places.set(item.id, { element, item, version, over });
    if (!place) {
      this.#list.append(element);
      return true;
    }
    const hadFocus = place.element.contains(document.activeElement);
    place.element.replaceWith(element);
    if (hadFocus) /** @type {HTMLElement | null} */ (element.querySelector('[data-action="deny"]'))?.focus();
    return false;
  }

  /** Show what has happened to an item in its place, which keeps its size. @param {Place<T>} place */
  #empty({ element, item, over }) {
    const { height } = element.getBoundingClientRect();
    const text = h("p", { class: "wrap", tabindex: "-1" }, this.#outcome(item));
    const gone = h("div", { class: "card approval gone" }, text);
    gone.style.minHeight = `${height}px`;
    const hadFocus = element.contains(document.activeElement);
    element.replaceWith(gone);
    if (hadFocus) text.focus({ preventScroll: true });
    this.#places.delete(item.id);
    this.#gone.add(gone);
    if (!this.own.has(item.id)) over.abort();
  }

  /** @param {T} item */
  #outcome(item) {
    return `${this.subject(item)} ${this.outcomes.get(item.id) ?? this.ended(item)}.`;
  }

  /** Report what has happened to an item: to everyone, unless it can be read in its place. @param {T} item */
  #tell(item) {
    const outcome = this.#outcome(item);
    const isShown = [...this.#gone].some((it) => it.textContent === outcome);
    if (isShown && isInSight(this.#section)) announce(outcome);
    else notice(outcome, this.own.has(item.id) ? "ok" : "info");
  }

  /** Close the gaps, unless the user may be about to click or to press a key here. */
  #removeEmptyPlaces() {
    const isUsed = this.#list.matches(":hover") || this.#list.querySelector(".gone :focus-visible") !== null;
    if (isUsed) return;
    const hadFocus = [...this.#gone].some((it) => it.contains(document.activeElement));
    for (const gone of this.#gone) gone.remove();
    this.#gone.clear();
    this.#section.hidden = this.#list.childElementCount === 0;
    if (hadFocus) (this.#section.hidden ? find("#main") : this.#heading).focus({ preventScroll: true });
  }

  /** Announce an item: always to screen readers, and to everyone if it is out of sight. @param {T} it */
  #announce(it) {
    const text = this.announcement(it);
    if (isInSight(this.#section)) announce(text);
    else notice(text, "info");
  }

  #focus() {
    const deny = /** @type {HTMLElement | null} */ (this.#list.querySelector('[data-action="deny"]'));
    (deny ?? find("#main")).focus({ preventScroll: true });
  }

  #tick() {
    /** @type {NodeListOf<HTMLElement>} */
    const clocks = this.#list.querySelectorAll("[data-expires]");
    for (const place of clocks) place.textContent = timeLeft(place.dataset.expires ?? "");
    const expired = this.pending.filter((it) => new Date(it.expires_at).getTime() + 1500 < Date.now());
    for (const it of expired) this.handle({ ...it, state: "expired" });
  }
}

/** Return whether an element can be seen, and no dialog is in front of it. @param {HTMLElement} element */
function isInSight(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return !document.querySelector("dialog[open]") && bottom > 0 && top < innerHeight;
}
