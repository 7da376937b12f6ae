/** Access requests, above every section: first the verified identity of an app, then what it claims about itself. */

import { confirm } from "./dialogs.js";
import { h, icon, uniqueId } from "./dom.js";
import { capitalized, IDENTITIES, timeLeft } from "./format.js";
import { busy, button, inLines, untrusted } from "./ui.js";
import { WaitingCards } from "./waiting_cards.js";

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
 * The requests.
 *
 * @extends {WaitingCards<Pairing>}
 */
export class Approvals extends WaitingCards {
  /**
   * @param {HTMLElement} place
   * @param {Store} store
   */
  constructor(place, store) {
    super(place, store, "pairings");
  }

  /** @override @param {number} count */
  headingFor(count) {
    if (count === 0) return "No app is waiting for access";
    const apps = count === 1 ? "An app wants" : `${count} apps want`;
    return `${apps} access to your Upstash account`;
  }

  /** @override @param {Pairing} it */
  announcement(it) {
    return `${it.identity.shown} wants access to your Upstash account. Its code is ${it.user_code}.`;
  }

  /** @override @param {Pairing} it */
  ended({ id, state, replaced_by: next }) {
    if (next) return REPLACED;
    const own = this.own.get(id);
    return own?.state === state ? own.done : DECIDED_ELSEWHERE[state] || NO_LONGER_WAITING;
  }

  /** @override @param {Pairing} pairing */
  changed({ state }) {
    if (state === "approved") void this.store.load("apps");
    if (state === "denied") void this.store.load("blocks");
  }

  /**
   * @override
   * @param {Pairing} it
   * @param {AbortSignal} over Aborts when the request is no longer pending.
   */
  card(it, over) {
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
      await busy(place, () => this.decide(it, pathOf(it, "approve"), { state: "approved", done }, decision));
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
      action: () => this.send(it, pathOf(it, "approve"), { state: "approved", done }, decision),
    });
  }

  /**
   * @param {Pairing} it
   * @param {HTMLElement} place
   */
  async #deny(it, place) {
    await busy(place, () => this.decide(it, pathOf(it, "deny"), { state: "denied", done: "was denied" }));
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
      action: () => this.send(it, pathOf(it, "block"), { state: "denied", done: "was blocked" }, scopes.chosen()),
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
    if (await confirm({ ...question, signal: over })) this.decided(it, done);
  }

  /**
   * @override
   * @param {Pairing} it
   * @param {string} done
   */
  decided(it, done) {
    super.decided(it, done);
    void this.store.load("apps", "blocks");
  }
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
    it.same_program && h("p", { class: "hint" }, it.same_program),
    h("p", { class: "claims" }, h("span", { class: "claims-of" }, "Calls itself "), untrusted(`“${it.claimed_name}”`)),
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
