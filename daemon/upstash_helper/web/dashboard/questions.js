/** Questions from apps that have access, before they destroy or write something. Shown above every section. */

import { h, icon, uniqueId } from "./dom.js";
import { IDENTITIES, timeLeft } from "./format.js";
import { busy, button, inLines, untrusted } from "./ui.js";
import { WaitingCards } from "./waiting_cards.js";

/** @import { Confirmation } from "./openapi.js" */
/** @import { Store } from "./store.js" */

/** What is shown for a question that was answered elsewhere, or is over. */
const ENDED = {
  pending: "no longer waits for your answer",
  allowed: "was allowed elsewhere",
  denied: "was denied elsewhere",
  expired: "no longer waits for your answer",
};

/**
 * The questions.
 *
 * @extends {WaitingCards<Confirmation>}
 */
export class Questions extends WaitingCards {
  /**
   * @param {HTMLElement} place
   * @param {Store} store
   */
  constructor(place, store) {
    super(place, store, "confirmations");
  }

  /** @override @param {number} count */
  headingFor(count) {
    if (count === 0) return "No questions are waiting";
    return count === 1 ? "An app needs your confirmation" : `${count} questions need your confirmation`;
  }

  /** @override @param {Confirmation} it */
  announcement(it) {
    return `${shownName(it)} needs your confirmation. ${it.title}`;
  }

  /** The question: the app keeps its access, whatever the answer is. @override @param {Confirmation} it */
  subject({ title }) {
    return `“${title}”`;
  }

  /** @override @param {Confirmation} it */
  ended({ id, state }) {
    const own = this.own.get(id);
    return own?.state === state ? own.done : ENDED[state];
  }

  /** @override @param {Confirmation} it */
  changed({ state, action }) {
    if (state === "allowed" && action === "env.write") void this.store.load("apps");
  }

  /** @override @param {Confirmation} it */
  card(it) {
    const name = uniqueId("question");
    const shown = shownName(it);
    const deny = button("Deny", {
      kind: "solid",
      action: "deny",
      hidden: it.title,
      onclick: () => busy(deny, () => this.#decide(it, "deny", { state: "denied", done: "was denied" })),
    });
    const allow = button(it.lasting ? "Allow from now on" : "Allow", {
      action: "allow",
      hidden: it.title,
      onclick: () => busy(allow, () => this.#decide(it, "allow", { state: "allowed", done: "was allowed" })),
    });
    const { label, verified } = IDENTITIES[it.identity.kind];
    return h(
      "article",
      { class: "card approval", "aria-labelledby": name },
      h(
        "div",
        { class: "approval-who" },
        h("div", { class: "mark warn" }, icon("warning")),
        h(
          "div",
          { class: "grow" },
          h("p", { class: "eyebrow" }, icon("verified"), label, h("span", { class: "unseen" }, `. ${verified}`)),
          h("p", { class: "wrap" }, h("strong", {}, inLines(shown))),
          ...(it.identity.warnings ?? []).map(({ text }) =>
            h("p", { class: "callout warn" }, icon("warning"), h("span", { class: "grow" }, text)),
          ),
          h(
            "p",
            { class: "claims" },
            h("span", { class: "claims-of" }, "Calls itself "),
            untrusted(`“${it.claimed_name}”`),
          ),
        ),
      ),
      // Both have names that an app may have chosen.
      h(
        "div",
        { class: "question" },
        h("h3", { id: name, class: "wrap", dir: "auto" }, inLines(it.title)),
        h("p", { class: "wrap", dir: "auto" }, inLines(it.detail)),
      ),
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
        h("div", { class: "row" }, deny, allow),
      ),
    );
  }

  /**
   * @param {Confirmation} it
   * @param {"allow" | "deny"} decision
   * @param {{ state: string, done: string }} own
   */
  async #decide(it, decision, own) {
    await this.decide(it, `/v1/confirmations/${encodeURIComponent(it.id)}/${decision}`, own);
  }
}

/** @param {Confirmation} it */
function shownName({ identity }) {
  return identity.shown_without_process || identity.shown;
}
