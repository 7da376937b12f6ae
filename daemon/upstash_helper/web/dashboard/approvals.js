/** The apps that wait to be let in, above every section: who it is first, what it says of itself second. */

import { call } from "./api.js";
import { confirm } from "./dialogs.js";
import { fill, h, icon, keyed, uniqueId } from "./dom.js";
import { IDENTITIES, left } from "./format.js";
import { busy, button, claimed, murmur, notice } from "./ui.js";

/**
 * Milliseconds for which a request that has just appeared cannot be allowed: it may have come under the pointer of
 * somebody who was about to click on something else.
 */
const SETTLE = 900;

/** Scopes that can destroy, spend or reveal: marked, so that they do not drown among the others. */
const STRONG = new Set(["databases:delete", "databases:credentials", "upstash:read", "upstash:write"]);

export class Approvals {
  /** The requests that are shown. @type {any[]} */
  waiting = [];
  #mine = new Set();
  #seen = new Set();
  #first = true;
  #clock = 0;

  /** @param {HTMLElement} place @param {import("./store.js").Store} store */
  constructor(place, store) {
    this.store = store;
    this.heading = h("h2", { tabindex: "-1" });
    this.list = h("div", { class: "approval-list" });
    this.section = h("section", { class: "waiting", "aria-labelledby": "waiting-title", hidden: true }, this.heading, this.list);
    this.heading.id = "waiting-title";
    place.append(this.section);
    store.addEventListener("pairings", () => this.#show());
    this.#clock = setInterval(() => this.#tick(), 1000);
  }

  stop() {
    clearInterval(this.#clock);
  }

  /** Take a `pairing` event. */
  event(pairing) {
    const { data, loading } = this.store.get("pairings");
    if (data === null || loading) {
      void this.store.load("pairings"); // the list that is on its way may be older than this
      return;
    }
    const rest = data.filter((it) => it.id !== pairing.id);
    const was = rest.length !== data.length;
    this.store.set("pairings", pairing.state === "pending" ? [...rest, pairing] : rest);
    if (pairing.state === "approved") void this.store.load("apps");
    if (pairing.state === "denied") void this.store.load("blocks");
    if (pairing.state === "pending" || !was || this.#mine.has(pairing.id)) return;
    const how = { approved: "was let in elsewhere", denied: "was denied elsewhere", expired: "no longer waits" }[pairing.state];
    notice(`${pairing.identity.shown} ${how}.`, "info");
  }

  #show() {
    const pairings = this.store.get("pairings").data;
    if (pairings === null) return;
    const fresh = pairings.filter((it) => !this.#seen.has(it.id));
    for (const { id } of fresh) this.#seen.add(id);
    const inside = this.list.contains(document.activeElement);
    const none = this.waiting.length === 0;
    this.waiting = pairings;
    if (pairings.length > 0) fill(this.heading, pairings.length === 1 ? "An app asks to be let in" : `${pairings.length} apps ask to be let in`);
    keyed(this.list, pairings, (it) => it.id, (it) => this.#card(it));
    this.section.hidden = pairings.length === 0;
    // What had the focus is gone: go on where the user was, and not at the top of the page.
    if (inside && !this.list.contains(document.activeElement)) this.#focus();
    // Whoever has just opened the dashboard came to decide. Later nothing takes the focus from what the user does.
    if (this.#first && none && pairings.length > 0 && document.activeElement === document.body) this.#focus();
    else for (const it of fresh) this.#tell(it);
    this.#first = false;
  }

  /** Say that somebody asks: to a screen reader always, and where the request itself is out of sight to all. */
  #tell(it) {
    const text = `${it.identity.shown} asks to be let in. Its code is ${it.user_code}.`;
    const { top, bottom } = this.section.getBoundingClientRect();
    const seen = !document.querySelector("dialog[open]") && bottom > 0 && top < innerHeight;
    if (seen) murmur(text);
    else notice(text, "info");
  }

  #focus() {
    const deny = this.list.querySelector('[data-action="deny"]');
    (deny ?? document.getElementById("main")).focus({ preventScroll: true });
  }

  #tick() {
    for (const place of this.list.querySelectorAll("[data-expires]")) {
      place.textContent = left(place.dataset.expires);
    }
    const over = this.waiting.filter((it) => new Date(it.expires_at).getTime() + 1500 < Date.now());
    for (const it of over) this.event({ ...it, state: "expired" });
  }

  #card(it) {
    const kind = IDENTITIES[it.identity.kind];
    const name = uniqueId("who");
    const scopes = it.scopes.map(({ scope, meaning }) => choice(meaning, { value: scope, checked: true, strong: STRONG.has(scope) }));
    const all = it.all_databases_meaning && choice(`Also: ${lower(it.all_databases_meaning)}`, { strong: true, nested: true });
    const once = choice("Only once: for one hour", {});
    const chosen = () => scopes.filter((row) => row.input.checked).map((row) => row.input.value);
    const allow = button("Allow", { kind: "plain", action: "allow", hidden: it.identity.shown, disabled: true, onclick: () => this.#approve(it, allow, chosen(), all, once) });
    const deny = button("Deny", { kind: "solid", action: "deny", hidden: it.identity.shown, onclick: () => this.#deny(it, deny) });
    const block = button("Block…", { kind: "quiet", icon: "block", action: "block", hidden: it.identity.shown, onclick: () => this.#block(it) });
    let settled = false;
    const weigh = () => {
      allow.disabled = !settled || chosen().length === 0;
      if (all) all.input.disabled = !chosen().includes("databases:credentials");
    };
    setTimeout(() => { settled = true; weigh(); }, SETTLE);
    const boxes = h("div", { class: "choices", onchange: weigh }, ...scopes.map((row) => row.element), all && all.element);
    return h(
      "article",
      { class: "card approval", "aria-labelledby": name },
      h(
        "div",
        { class: "approval-who" },
        h("div", { class: "mark" }, icon(kind.icon)),
        h(
          "div",
          { class: "grow" },
          h("p", { class: "eyebrow" }, icon("shield"), kind.what, h("span", { class: "unseen" }, `. ${kind.vouched}`)),
          // Never cut: what is hidden at the end of an address may be the part that counts.
          h("h3", { id: name, class: "wrap" }, it.identity.shown),
          it.identity.kind !== "native" && it.identity.program && h("p", { class: "hint wrap" }, `sent by ${it.identity.program}`, it.identity.pid && ` (process ${it.identity.pid})`),
          h("p", { class: "claims" }, h("span", { class: "claims-of" }, "It calls itself"), claimed(`“${it.claimed_name}”`)),
          it.reason && h("p", { class: "claims" }, "It says: ", h("q", { dir: "auto" }, it.reason)),
        ),
        h("div", { class: "approval-code" }, h("span", { class: "code" }, it.user_code), h("span", { class: "hint" }, "must be the code that the app shows")),
      ),
      h("fieldset", { class: "plain" }, h("legend", {}, "It would like to"), boxes),
      h("div", { class: "choices apart" }, once.element),
      h(
        "div",
        { class: "approval-foot" },
        h("p", { class: "hint grow" }, icon("clock"), h("span", { "data-expires": it.expires_at }, left(it.expires_at)), " left"),
        h("div", { class: "row" }, deny, allow, block),
      ),
    );
  }

  async #approve(it, place, scopes, all, once) {
    const body = { scopes, all_databases: Boolean(all && all.input.checked && !all.input.disabled), once: once.input.checked };
    await this.#decide(it, place, () => call("POST", `/v1/pairings/${encodeURIComponent(it.id)}/approve`, body), "was let in");
  }

  async #deny(it, place) {
    await this.#decide(it, place, () => call("POST", `/v1/pairings/${encodeURIComponent(it.id)}/deny`), "was denied");
  }

  async #block(it) {
    this.#mine.add(it.id);
    const blocked = await confirm({
      title: "Block this app?",
      text: [h("p", {}, h("strong", { class: "wrap" }, it.identity.shown), " is denied, and cannot ask again until you lift the block under Apps.")],
      label: "Block",
      action: async () => {
        await call("POST", `/v1/pairings/${encodeURIComponent(it.id)}/block`);
      },
    });
    if (!blocked) this.#mine.delete(it.id);
    else this.#gone(it, "was blocked");
  }

  async #decide(it, place, send, how) {
    this.#mine.add(it.id);
    await busy(place, async () => {
      try {
        await send();
        this.#gone(it, how);
      } catch (error) {
        this.#mine.delete(it.id);
        notice(error.message, "bad");
        void this.store.load("pairings");
      }
    });
  }

  #gone(it, how) {
    notice(`${it.identity.shown} ${how}.`);
    this.store.set("pairings", this.waiting.filter((other) => other.id !== it.id));
    void this.store.load("apps", "blocks");
  }
}

function choice(text, options) {
  const input = h("input", { type: "checkbox", value: options.value ?? "on", checked: options.checked });
  const element = h("label", { class: `choice${options.strong ? " strong" : ""}${options.nested ? " nested" : ""}` }, input, h("span", {}, text));
  return { element, input };
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
