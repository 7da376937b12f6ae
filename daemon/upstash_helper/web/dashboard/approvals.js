/** Access requests, above every section: first the verified identity of an app, then what it claims about itself. */

import { call, messageOf } from "./api.js";
import { confirm } from "./dialogs.js";
import { fill, find, h, icon, keyed, uniqueId } from "./dom.js";
import { IDENTITIES, timeLeft } from "./format.js";
import { announce, busy, button, notice, untrusted } from "./ui.js";

/** @import { Approve, Pairing } from "./openapi.js" */
/** @import { Store } from "./store.js" */

/**
 * For how long a new request cannot be allowed: it may have appeared under the pointer of a user who was about to click
 * something else.
 */
const SETTLE_MS = 900;

/** Scopes that can destroy, spend or reveal something. They are emphasized. */
const STRONG = new Set(["databases:delete", "databases:credentials", "upstash:read", "upstash:write"]);

/** The notice for a request that was decided elsewhere. */
const DECIDED_ELSEWHERE = {
  pending: "",
  approved: "was allowed somewhere else",
  denied: "was denied somewhere else",
  expired: "did not get an answer in time",
};

export class Approvals {
  /** The requests that are shown. @type {Pairing[]} */
  pending = [];
  /** The ids of requests that were decided on this page. @type {Set<string>} */
  #own = new Set();
  /** The ids of requests that were shown before. @type {Set<string>} */
  #seen = new Set();
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
  #clock = setInterval(() => this.#tick(), 1000);

  /**
   * @param {HTMLElement} place
   * @param {Store} store
   */
  constructor(place, store) {
    this.#store = store;
    place.append(this.#section);
    store.addEventListener("pairings", () => this.#show());
  }

  stop() {
    clearInterval(this.#clock);
  }

  /** Handle a `pairing` event. @param {Pairing} pairing */
  handle(pairing) {
    const { data, loading } = this.#store.get("pairings");
    if (data === null || loading) {
      void this.#store.load("pairings"); // the list that is being loaded may be older than this event
      return;
    }
    const rest = data.filter((it) => it.id !== pairing.id);
    const wasShown = rest.length !== data.length;
    this.#store.set("pairings", pairing.state === "pending" ? [...rest, pairing] : rest);
    if (pairing.state === "approved") void this.#store.load("apps");
    if (pairing.state === "denied") void this.#store.load("blocks");
    if (pairing.state === "pending" || !wasShown || this.#own.has(pairing.id)) return;
    notice(`${pairing.identity.shown} ${DECIDED_ELSEWHERE[pairing.state]}.`, "info");
  }

  #show() {
    const pairings = this.#store.get("pairings").data;
    if (pairings === null) return;
    const fresh = pairings.filter((it) => !this.#seen.has(it.id));
    for (const { id } of fresh) this.#seen.add(id);
    const hadFocus = this.#list.contains(document.activeElement);
    const wasEmpty = this.pending.length === 0;
    this.pending = pairings;
    if (pairings.length > 0) fill(this.#heading, headingFor(pairings.length));
    keyed(
      this.#list,
      pairings,
      (it) => it.id,
      (it) => this.#card(it),
    );
    this.#section.hidden = pairings.length === 0;
    // What had the focus is gone: continue where the user was, and not at the top of the page.
    if (hadFocus && !this.#list.contains(document.activeElement)) this.#focus();
    // A user who has just opened the dashboard came to decide. Later, nothing takes the focus away from the user.
    const isIdle = document.activeElement === document.body;
    if (this.#isFirst && wasEmpty && pairings.length > 0 && isIdle) this.#focus();
    else for (const it of fresh) this.#announce(it);
    this.#isFirst = false;
  }

  /**
   * Announce an access request: always to screen readers, and to everyone if the request is out of sight.
   *
   * @param {Pairing} it
   */
  #announce(it) {
    const text = `${it.identity.shown} wants access to your Upstash account. Its code is ${it.user_code}.`;
    const { top, bottom } = this.#section.getBoundingClientRect();
    const isVisible = !document.querySelector("dialog[open]") && bottom > 0 && top < innerHeight;
    if (isVisible) announce(text);
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

  /** @param {Pairing} it */
  #card(it) {
    const { kind, shown } = it.identity;
    const name = uniqueId("who");
    const choices = new Choices(it);
    const allow = button("Allow", {
      action: "allow",
      hidden: shown,
      disabled: true,
      onclick: () => this.#approve(it, allow, choices.decision()),
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
      onclick: () => this.#block(it),
    });
    let isSettled = false;
    const update = () => {
      allow.disabled = !isSettled || choices.isEmpty;
    };
    choices.onchange = update;
    setTimeout(() => {
      isSettled = true;
      update();
    }, SETTLE_MS);
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
   * @param {Pairing} it
   * @param {HTMLElement} place
   * @param {Approve} decision
   */
  async #approve(it, place, decision) {
    await this.#decide(it, place, "approve", "now has access", decision);
  }

  /**
   * @param {Pairing} it
   * @param {HTMLElement} place
   */
  async #deny(it, place) {
    await this.#decide(it, place, "deny", "was denied");
  }

  /** @param {Pairing} it */
  async #block(it) {
    this.#own.add(it.id);
    const name = h("strong", { class: "wrap" }, it.identity.shown);
    const isBlocked = await confirm({
      title: "Block this app?",
      text: [h("p", {}, name, " is denied, and cannot request access again until you unblock it under Apps.")],
      label: "Block",
      action: () => call("POST", pathOf(it, "block")),
    });
    if (!isBlocked) this.#own.delete(it.id);
    else this.#decided(it, "was blocked");
  }

  /**
   * @param {Pairing} it
   * @param {HTMLElement} place
   * @param {"approve" | "deny"} decision
   * @param {string} done The notice for a success.
   * @param {Approve} [body]
   */
  async #decide(it, place, decision, done, body) {
    this.#own.add(it.id);
    await busy(place, async () => {
      try {
        await call("POST", pathOf(it, decision), body);
        this.#decided(it, done);
      } catch (error) {
        this.#own.delete(it.id);
        notice(messageOf(error), "bad");
        void this.#store.load("pairings");
      }
    });
  }

  /**
   * @param {Pairing} it
   * @param {string} done
   */
  #decided(it, done) {
    notice(`${it.identity.shown} ${done}.`);
    this.#store.set(
      "pairings",
      this.pending.filter((other) => other.id !== it.id),
    );
    void this.#store.load("apps", "blocks");
  }
}

/** @param {number} count */
function headingFor(count) {
  const apps = count === 1 ? "An app wants" : `${count} apps want`;
  return `${apps} access to your Upstash account`;
}

/**
 * @param {Pairing} it
 * @param {string} decision
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
  const { kind, shown, program, pid } = it.identity;
  const { label, verified } = IDENTITIES[kind];
  return h(
    "div",
    { class: "grow" },
    h("p", { class: "eyebrow" }, icon("verified"), label, h("span", { class: "unseen" }, `. ${verified}`)),
    // Never cut: what is hidden at the end of an address may be the part that matters.
    h("h3", { id, class: "wrap" }, shown),
    kind !== "native" &&
      program &&
      h("p", { class: "hint wrap" }, `sent by ${program}`, pid ? ` (process ${pid})` : ""),
    it.via_bridge && h("p", { class: "hint" }, "The request came through the helper's bridge window."),
    h("p", { class: "claims" }, h("span", { class: "claims-of" }, "Calls itself"), untrusted(`“${it.claimed_name}”`)),
    it.reason && h("p", { class: "claims" }, "Reason given: ", h("q", { dir: "auto" }, it.reason)),
  );
}

/** What the user can grant to an app: its scopes, all databases, and for how long. */
class Choices {
  onchange = () => {};
  #scopes;
  #allDatabases;
  #once = choice("Allow for one hour only", {});

  /** @param {Pairing} pairing */
  constructor({ scopes, all_databases_meaning: meaning }) {
    this.#scopes = scopes.map(({ scope, meaning: text }) => ({
      scope,
      ...choice(text, { value: scope, isChecked: true, isStrong: STRONG.has(scope) }),
    }));
    this.#allDatabases = meaning ? choice(`Also: ${uncapitalized(meaning)}`, { isStrong: true, isNested: true }) : null;
    const boxes = h(
      "div",
      { class: "choices", onchange: () => this.#update() },
      ...this.#scopes.map((it) => it.element),
      this.#allDatabases?.element,
    );
    this.elements = [
      h("fieldset", { class: "plain" }, h("legend", {}, "Wants to"), boxes),
      h("div", { class: "choices apart" }, this.#once.element),
    ];
    this.#update();
  }

  #update() {
    if (this.#allDatabases) this.#allDatabases.input.disabled = !this.#chosen.includes("databases:credentials");
    this.onchange();
  }

  get #chosen() {
    return this.#scopes.filter((it) => it.input.checked).map((it) => it.scope);
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
