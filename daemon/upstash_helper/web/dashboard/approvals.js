/** Access requests, above every section: first the verified identity of an app, then what it claims about itself. */

import { call, messageOf } from "./api.js";
import { ClickGuard } from "./click_guard.js";
import { confirm } from "./dialogs.js";
import { fill, find, h, icon, uniqueId } from "./dom.js";
import { capitalized, IDENTITIES, timeLeft } from "./format.js";
import { announce, busy, button, inLines, notice, untrusted } from "./ui.js";

/** @import { Approve, Block, Pairing } from "./openapi.js" */
/** @import { ConfirmOptions } from "./dialogs.js" */
/** @import { Store } from "./store.js" */

/** @typedef {"approve" | "deny" | "block"} Decision */

/** What is shown for a request that was decided elsewhere. */
const DECIDED_ELSEWHERE = {
  pending: "",
  approved: "was allowed elsewhere",
  denied: "was denied elsewhere",
  expired: "no longer requests access: the request was withdrawn or has expired",
};
const REPLACED = "has sent a new request with another code, which replaces this one";
const NO_LONGER_WAITING = "no longer requests access: the request was decided elsewhere or withdrawn";
/** The scopes that can be granted for all databases. */
const PER_DATABASE = new Set(["databases:credentials", "databases:commands"]);

/**
 * The place of a request in the list.
 *
 * @typedef {object} Place
 * @property {HTMLElement} element
 * @property {Pairing} pairing
 * @property {string} version
 * @property {AbortController} over Aborts when the request is no longer pending.
 */

/**
 * The requests, each in its place. Nothing moves as long as the user may be about to click: a new request comes last,
 * and the place of one that is over stays empty until the pointer and the focus have left.
 */
export class Approvals {
  /** The requests that are shown. @type {Pairing[]} */
  pending = [];
  /** What is being decided on this page, by the id of the request. @type {Map<string, { state: string, done: string }>} */
  #own = new Map();
  /** What happened to requests that are no longer pending, by id. @type {Map<string, string>} */
  #outcomes = new Map();
  /** @type {Map<string, Place>} */
  #places = new Map();
  /** The empty places. @type {Set<HTMLElement>} */
  #gone = new Set();
  #isFirst = true;
  #store;
  #heading = h("h2", { id: "waiting-title", tabindex: "-1" });
  #list = h("div", { class: "approval-list" });
  #section = h(
    "section",
    { class: "waiting", "aria-labelledby": "waiting-title", hidden: true },
    this.#heading,
    this.#list,
  );
  #guard = new ClickGuard(this.#list);
  #clock = setInterval(() => this.#tick(), 1000);
  #stopped = new AbortController();

  /**
   * @param {HTMLElement} place
   * @param {Store} store
   */
  constructor(place, store) {
    this.#store = store;
    place.append(this.#section);
    store.addEventListener("pairings", () => this.#show());
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

  /** Handle a `pairing` event. @param {Pairing} pairing */
  handle(pairing) {
    const { data, loading } = this.#store.get("pairings");
    if (pairing.state !== "pending") this.#outcomes.set(pairing.id, this.#outcomeOf(pairing));
    if (data === null || loading) {
      void this.#store.load("pairings"); // the list that is being loaded may be older than this event
      return;
    }
    const rest = data.filter((it) => it.id !== pairing.id);
    this.#store.set("pairings", pairing.state === "pending" ? [...rest, pairing] : rest);
    if (pairing.state === "approved") void this.#store.load("apps");
    if (pairing.state === "denied") void this.#store.load("blocks");
  }

  /** @param {Pairing} pairing */
  #outcomeOf({ id, state, replaced_by: next }) {
    if (next) return REPLACED;
    const own = this.#own.get(id);
    return own?.state === state ? own.done : DECIDED_ELSEWHERE[state];
  }

  #show() {
    const pairings = this.#store.get("pairings").data;
    if (pairings === null) return;
    const wasEmpty = this.pending.length === 0;
    this.pending = pairings;
    const pending = new Set(pairings.map((it) => it.id));
    const over = [...this.#places.values()].filter((it) => !pending.has(it.pairing.id));
    for (const place of over) this.#empty(place);
    const fresh = pairings.filter((it) => this.#put(it));
    fill(this.#heading, headingFor(pairings.length));
    this.#removeEmptyPlaces();
    for (const { pairing } of over) this.#tell(pairing);
    // A user who has just opened the dashboard came to decide. Later, nothing takes the focus away from the user.
    const isIdle = document.activeElement === document.body;
    if (this.#isFirst && wasEmpty && pairings.length > 0 && isIdle) this.#focus();
    else for (const it of fresh) this.#announce(it);
    this.#isFirst = false;
  }

  /** Show a request, and return whether it is new. @param {Pairing} pairing */
  #put(pairing) {
    const version = JSON.stringify(pairing);
    const place = this.#places.get(pairing.id);
    if (place?.version === version) return false;
    const over = place?.over ?? new AbortController();
    const element = this.#card(pairing, over.signal);
    element.dataset.key = pairing.id;
    this.#places.set(pairing.id, { element, pairing, version, over });
    if (!place) {
      this.#list.append(element);
      return true;
    }
    const hadFocus = place.element.contains(document.activeElement);
    place.element.replaceWith(element);
    if (hadFocus) /** @type {HTMLElement | null} */ (element.querySelector('[data-action="deny"]'))?.focus();
    return false;
  }

  /** Show what has happened to a request in its place, which keeps its size. @param {Place} place */
  #empty({ element, pairing, over }) {
    const { height } = element.getBoundingClientRect();
    const text = h("p", { class: "wrap", tabindex: "-1" }, this.#outcome(pairing));
    const gone = h("div", { class: "card approval gone" }, text);
    gone.style.minHeight = `${height}px`;
    const hadFocus = element.contains(document.activeElement);
    element.replaceWith(gone);
    if (hadFocus) text.focus({ preventScroll: true });
    this.#places.delete(pairing.id);
    this.#gone.add(gone);
    if (!this.#own.has(pairing.id)) over.abort();
  }

  /** @param {Pairing} pairing */
  #outcome({ id, identity }) {
    return `${identity.shown} ${this.#outcomes.get(id) ?? NO_LONGER_WAITING}.`;
  }

  /** Report what has happened to a request: to everyone, unless it can be read in its place. @param {Pairing} pairing */
  #tell(pairing) {
    const outcome = this.#outcome(pairing);
    const isShown = [...this.#gone].some((it) => it.textContent === outcome);
    if (isShown && isInSight(this.#section)) announce(outcome);
    else notice(outcome, this.#own.has(pairing.id) ? "ok" : "info");
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

  /**
   * Announce an access request: always to screen readers, and to everyone if the request is out of sight.
   *
   * @param {Pairing} it
   */
  #announce(it) {
    const text = `${it.identity.shown} wants access to your Upstash account. Its code is ${it.user_code}.`;
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

  /**
   * @param {Pairing} it
   * @param {AbortSignal} over Aborts when the request is no longer pending.
   */
  #card(it, over) {
    const { kind, shown } = it.identity;
    const name = uniqueId("who");
    const choices = new Choices(it);
    const label = h("span");
    const allow = button(label, {
      action: "allow",
      hidden: shown,
      onclick: () => this.#allow(it, allow, choices, over),
    });
    const deny = button("Deny", {
      kind: "solid",
      action: "deny",
      hidden: shown,
      onclick: () => this.#deny(it, deny),
    });
    const block = button("Block…", {
      kind: "quiet",
      icon: "block",
      action: "block",
      hidden: shown,
      onclick: () => this.#block(it, over),
    });
    const update = () => {
      allow.disabled = choices.isEmpty;
      label.textContent = choices.strong.length > 0 ? "Allow…" : "Allow";
    };
    choices.onchange = update;
    update();
    return h(
      "article",
      { class: "card approval", "aria-labelledby": name },
      h(
        "div",
        { class: "approval-who" },
        h("div", { class: "mark" }, icon(IDENTITIES[kind].icon)),
        who(it, name),
        h(
          "div",
          { class: "approval-code" },
          h("span", { class: "code" }, it.user_code),
          h("span", { class: "hint" }, "must match the code that the app shows"),
        ),
      ),
      ...choices.elements,
      h(
        "div",
        { class: "approval-foot" },
        h(
          "p",
          { class: "hint grow" },
          icon("clock"),
          h("span", { "data-expires": it.expires_at }, timeLeft(it.expires_at)),
          " left",
        ),
        h("div", { class: "row" }, deny, allow, block),
      ),
    );
  }

  /**
   * Allow what is chosen; after a second question, if that can destroy, spend, or reveal something.
   *
   * @param {Pairing} it
   * @param {HTMLElement} place
   * @param {Choices} choices
   * @param {AbortSignal} over
   */
  async #allow(it, place, choices, over) {
    const decision = choices.decision();
    const { strong } = choices;
    const done = "now has access";
    if (strong.length === 0) {
      await busy(place, () => this.#decide(it, "approve", done, decision));
      return;
    }
    const name = h("strong", { class: "wrap" }, inLines(it.identity.shown));
    const code = h("strong", {}, it.user_code);
    await this.#confirm(it, done, over, {
      title: "Allow this access?",
      text: [
        h("p", {}, name, " will be able to:"),
        h("ul", { class: "bullets" }, ...strong.map((text) => h("li", {}, text))),
        h("p", {}, "Allow this only if you trust the app, and it shows the code ", code, "."),
      ],
      label: "Allow",
      action: () => this.#send(it, "approve", done, decision),
    });
  }

  /**
   * @param {Pairing} it
   * @param {HTMLElement} place
   */
  async #deny(it, place) {
    await busy(place, () => this.#decide(it, "deny", "was denied"));
  }

  /**
   * @param {Pairing} it
   * @param {AbortSignal} over
   */
  async #block(it, over) {
    const name = h("strong", { class: "wrap" }, inLines(it.identity.shown));
    const scopes = new BlockScopes(it);
    await this.#confirm(it, "was blocked", over, {
      title: "Block this app?",
      text: [
        h("p", {}, name, " is denied, and cannot request access again until you unblock it under Apps."),
        ...scopes.elements,
      ],
      label: "Block",
      action: () => this.#send(it, "block", "was blocked", scopes.chosen()),
    });
  }

  /**
   * Ask a second question about a request, as long as it is pending.
   *
   * @param {Pairing} it
   * @param {string} done
   * @param {AbortSignal} over
   * @param {ConfirmOptions} question
   */
  async #confirm(it, done, over, question) {
    if (await confirm({ ...question, signal: over })) this.#decided(it, done);
  }

  /**
   * @param {Pairing} it
   * @param {Decision} decision
   * @param {string} done What is shown after a success.
   * @param {Approve} [body]
   */
  async #decide(it, decision, done, body) {
    try {
      await this.#send(it, decision, done, body);
      this.#decided(it, done);
    } catch (error) {
      notice(messageOf(error), "bad");
      void this.#store.load("pairings");
    }
  }

  /**
   * @param {Pairing} it
   * @param {Decision} decision
   * @param {string} done
   * @param {Approve | Block} [body]
   */
  async #send(it, decision, done, body) {
    this.#own.set(it.id, { state: decision === "approve" ? "approved" : "denied", done });
    try {
      await call("POST", pathOf(it, decision), body);
    } catch (error) {
      this.#own.delete(it.id);
      throw error;
    }
  }

  /**
   * @param {Pairing} it
   * @param {string} done
   */
  #decided(it, done) {
    this.#outcomes.set(it.id, done);
    this.#store.set(
      "pairings",
      this.pending.filter((other) => other.id !== it.id),
    );
    void this.#store.load("apps", "blocks");
  }
}

/** Return whether an element can be seen, and no dialog is in front of it. @param {HTMLElement} element */
function isInSight(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return !document.querySelector("dialog[open]") && bottom > 0 && top < innerHeight;
}

/** @param {number} count */
function headingFor(count) {
  if (count === 0) return "No app is waiting for access";
  const apps = count === 1 ? "An app wants" : `${count} apps want`;
  return `${apps} access to your Upstash account`;
}

/**
 * @param {Pairing} it
 * @param {Decision} decision
 */
function pathOf(it, decision) {
  return `/v1/pairings/${encodeURIComponent(it.id)}/${decision}`;
}

/**
 * Return the identity of an app: first what is verified, then what the app claims about itself.
 *
 * @param {Pairing} it
 * @param {string} id The id of the heading.
 */
function who(it, id) {
  const { kind, shown, program, sent_by: sentBy, others = [], warnings = [] } = it.identity;
  const { label, verified } = IDENTITIES[kind];
  return h(
    "div",
    { class: "grow" },
    h("p", { class: "eyebrow" }, icon("verified"), label, h("span", { class: "unseen" }, `. ${verified}`)),
    // Never cut: what is hidden at the end of an address may be the part that matters.
    h("h3", { id, class: "wrap" }, inLines(shown)),
    kind !== "native" &&
      h("p", { class: "hint wrap" }, "sent by ", inLines(program ? (sentBy ?? program) : "an unknown program")),
    kind === "native" && sentBy && h("p", { class: "hint wrap" }, "through ", inLines(sentBy), ", which it started"),
    ...others.map((other) => h("p", { class: "hint wrap" }, `connection shared with ${other}`)),
    ...warnings.map(({ text }) =>
      h("p", { class: "callout warn" }, icon("warning"), h("span", { class: "grow" }, text)),
    ),
    it.via_bridge && h("p", { class: "hint" }, "The request came through the helper's bridge window."),
    h("p", { class: "claims" }, h("span", { class: "claims-of" }, "Calls itself"), untrusted(`“${it.claimed_name}”`)),
    it.reason && h("p", { class: "claims" }, "Reason given: ", h("q", { dir: "auto" }, it.reason)),
  );
}

/** What the user can block: the app, or its whole site. Other origins of a domain usually belong to the same people. */
class BlockScopes {
  /** @type {HTMLElement[]} */
  elements = [];
  /** @type {HTMLInputElement | null} */
  #site = null;

  /** @param {Pairing} pairing */
  constructor({ identity, site }) {
    if (!site) return;
    const name = uniqueId("block");
    const isDomain = site.kind === "domain";
    const only = radio(`Only ${identity.shown}`, { name, isChecked: !isDomain });
    const all = radio(capitalized(site.shown), { name, isChecked: isDomain, hint: site.detail });
    this.#site = all.input;
    this.elements = [
      h(
        "fieldset",
        { class: "plain" },
        h("legend", {}, "Block"),
        h("div", { class: "choices" }, only.element, all.element),
      ),
    ];
  }

  /** @returns {Block} */
  chosen() {
    return { scope: this.#site?.checked ? "site" : "identity" };
  }
}

/**
 * Return a radio button with its label.
 *
 * @param {string} text
 * @param {{ name: string, isChecked: boolean, hint?: string }} options
 */
function radio(text, { name, isChecked, hint }) {
  const input = h("input", { type: "radio", name, value: text, checked: isChecked });
  const label = h("span", { class: "wrap" }, text, hint && h("span", { class: "hint" }, hint));
  return { element: h("label", { class: "choice" }, input, label), input };
}

/** What the user can grant to an app: its scopes, all databases, and for how long. */
class Choices {
  onchange = () => {};
  #scopes;
  #allDatabases;
  #allDatabasesMeaning;
  #once = choice("Allow for one hour only", {});

  /** @param {Pairing} pairing */
  constructor({ scopes, all_databases_meaning: meaning }) {
    this.#scopes = scopes.map(({ scope, meaning: text, strong: isStrong }) => ({
      scope,
      text,
      isStrong,
      ...choice(text, { value: scope, isChecked: true, isStrong }),
    }));
    this.#allDatabasesMeaning = meaning;
    this.#allDatabases = meaning ? choice(`Also: ${uncapitalized(meaning)}`, { isStrong: true, isNested: true }) : null;
    const last = this.#scopes.findLast((it) => PER_DATABASE.has(it.scope));
    const boxes = h(
      "div",
      { class: "choices", onchange: () => this.#update() },
      ...this.#scopes.flatMap((it) => [it.element, it === last ? this.#allDatabases?.element : null]),
    );
    this.elements = [
      h("fieldset", { class: "plain" }, h("legend", {}, "Wants to"), boxes),
      h("div", { class: "choices apart" }, this.#once.element),
    ];
    this.#update();
  }

  #update() {
    if (this.#allDatabases) this.#allDatabases.input.disabled = !this.#chosen.some((scope) => PER_DATABASE.has(scope));
    this.onchange();
  }

  get #chosen() {
    return this.#scopes.filter((it) => it.input.checked).map((it) => it.scope);
  }

  /** What is chosen that can destroy, spend, or reveal something. @returns {string[]} */
  get strong() {
    const texts = this.#scopes.filter((it) => it.input.checked && it.isStrong).map((it) => it.text);
    return this.decision().all_databases ? [...texts, this.#allDatabasesMeaning ?? ""] : texts;
  }

  get isEmpty() {
    return this.#chosen.length === 0;
  }

  /** @returns {Approve} */
  decision() {
    const all = this.#allDatabases?.input;
    return {
      scopes: this.#chosen,
      all_databases: Boolean(all?.checked && !all.disabled),
      once: this.#once.input.checked,
    };
  }
}

/**
 * Return a checkbox with its label.
 *
 * @param {string} text
 * @param {{ value?: string, isChecked?: boolean, isStrong?: boolean, isNested?: boolean }} options
 */
function choice(text, { value = "on", isChecked = false, isStrong = false, isNested = false }) {
  const input = h("input", { type: "checkbox", value, checked: isChecked });
  const className = `choice${isStrong ? " strong" : ""}${isNested ? " nested" : ""}`;
  return { element: h("label", { class: className }, input, h("span", {}, text)), input };
}

/** @param {string} text */
function uncapitalized(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
