/** The question whether the account of an app's sign-in replaces the connected one, above every section. */

import { call, messageOf } from "./api.js";
import { ClickGuard } from "./click_guard.js";
import { confirm } from "./dialogs.js";
import { fill, h, icon, uniqueId } from "./dom.js";
import { timeLeft } from "./format.js";
import { announce, busy, button, notice, untrusted } from "./ui.js";

/** @import { Attempt, Replacement } from "./openapi.js" */
/** @import { Store } from "./store.js" */

/** Shows the question as long as the sign-in waits for the answer. Nothing takes the focus away from the user. */
export class ReplacementQuestion {
  #store;
  #section = h("section", { class: "waiting", hidden: true });
  /** The sign-in that is shown. */
  #shown = "";
  /** Aborts when there is nothing to decide anymore. */
  #over = new AbortController();
  #guard = new ClickGuard(this.#section);
  #clock = setInterval(() => this.#tick(), 1000);

  /**
   * @param {HTMLElement} place
   * @param {Store} store
   */
  constructor(place, store) {
    this.#store = store;
    place.append(this.#section);
    store.addEventListener("connection", () => this.#show());
  }

  stop() {
    clearInterval(this.#clock);
    this.#guard.stop();
    this.#over.abort();
  }

  #show() {
    const attempt = this.#store.get("connection").data?.attempt;
    const question = attempt?.state === "confirmation_required" ? attempt.replacement : undefined;
    const shown = attempt && question ? attempt.attempt_id : "";
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#over.abort();
    this.#over = new AbortController();
    this.#section.hidden = !shown;
    fill(this.#section, attempt && question ? this.#card(attempt, question) : null);
    if (question) announce(question.title);
  }

  #tick() {
    /** @type {HTMLElement | null} */
    const clock = this.#section.querySelector("[data-expires]");
    if (clock) clock.textContent = timeLeft(clock.dataset.expires ?? "");
  }

  /**
   * @param {Attempt} attempt
   * @param {Replacement} question
   */
  #card(attempt, question) {
    const id = uniqueId("question");
    const keep = button("Keep the account", {
      kind: "solid",
      action: "keep-account",
      onclick: () => busy(keep, () => this.#keep(attempt)),
    });
    const replace = button("Replace…", {
      kind: "quiet",
      action: "replace-account",
      onclick: () => this.#replace(attempt, question),
    });
    return h(
      "article",
      { class: "card approval", "aria-labelledby": id },
      h(
        "div",
        { class: "approval-who" },
        h("div", { class: "mark warn" }, icon("warning")),
        h(
          "div",
          { class: "grow" },
          h("h2", { id, class: "wrap" }, question.title),
          h("p", { class: "wrap" }, "Requested by ", h("strong", { class: "wrap" }, question.requested_by)),
          h(
            "p",
            { class: "claims" },
            h("span", { class: "claims-of" }, "Calls itself "),
            untrusted(`“${question.claimed_name}”`),
          ),
          h("p", { class: "wrap" }, question.detail),
        ),
      ),
      h(
        "div",
        { class: "approval-foot" },
        h(
          "p",
          { class: "hint grow" },
          icon("clock"),
          h("span", { "data-expires": attempt.expires_at }, timeLeft(attempt.expires_at)),
          " left",
        ),
        h("div", { class: "row" }, keep, replace),
      ),
    );
  }

  /** @param {Attempt} attempt */
  async #keep(attempt) {
    try {
      await call("DELETE", pathOf(attempt));
    } catch (error) {
      notice(messageOf(error), "bad");
      void this.#store.load("connection");
    }
  }

  /**
   * @param {Attempt} attempt
   * @param {Replacement} question
   */
  async #replace(attempt, question) {
    await confirm({
      title: question.title,
      text: [h("p", { class: "wrap" }, question.detail)],
      label: "Replace",
      signal: this.#over.signal,
      action: () => call("POST", `${pathOf(attempt)}/confirm`),
    });
  }
}

/** @param {Attempt} attempt */
function pathOf(attempt) {
  return `/v1/connection/attempts/${encodeURIComponent(attempt.attempt_id)}`;
}
