/** What lets a client into a database: fetched when it is asked for, hidden until it is to be shown. */

import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { busy, button, copy, failed, iconButton } from "./ui.js";

const HIDDEN = "••••••••••••••••••••";

/** The rows: label, how it is read, whether it holds a secret. @type {[string, (it: any) => string, boolean][]} */
const ROWS = [
  ["Redis URL", (it) => it.redis_url, true],
  ["REST URL", (it) => it.rest_url, false],
  ["REST token", (it) => it.rest_token, true],
  ["Read-only REST token", (it) => it.read_only_rest_token, true],
];

export class Credentials {
  #found = null;
  #shown = false;
  #database = null;

  /** @param {string} at The database's path. */
  constructor(at) {
    this.at = at;
    this.rows = h("div", { class: "secrets" });
    this.trouble = h("div", {});
    this.toggle = button("Show", { icon: "eye", action: "show", hidden: "the secrets", onclick: () => this.#flip() });
    this.element = h("div", {}, h("div", { class: "row spread" }, h("p", { class: "hint" }, "Whoever has these can read and change what is in it."), this.toggle), this.trouble, this.rows);
  }

  /** Take what is known without asking. */
  about(database) {
    const first = this.#database === null;
    const moved = this.#database?.rest_url !== database.rest_url;
    this.#database = database;
    if (first || moved) this.#draw();
  }

  /** Forget what there was: there is something new. */
  async anew() {
    this.#found = null;
    if (this.#shown) await this.#fetch().catch(() => (this.#shown = false));
    this.#draw();
  }

  async #fetch() {
    this.#found ??= await call("GET", `${this.at}/credentials`);
    return this.#found;
  }

  async #flip() {
    fill(this.trouble);
    if (!this.#shown) {
      try {
        await busy(this.toggle, () => this.#fetch());
      } catch (error) {
        fill(this.trouble, failed(error, null));
        return;
      }
    }
    this.#shown = !this.#shown;
    const label = button(this.#shown ? "Hide" : "Show", { icon: this.#shown ? "hidden" : "eye", hidden: "the secrets" });
    fill(this.toggle, ...label.childNodes);
    this.#draw();
  }

  #draw() {
    const found = this.#shown ? this.#found : null;
    fill(
      this.rows,
      ...ROWS.map(([label, read, secret]) => this.#row(label, read, secret, secret ? found && read(found) : this.#database.rest_url)),
      this.#env(found),
    );
  }

  #row(label, read, secret, value) {
    return h(
      "div",
      { class: "secret" },
      h("span", { class: "secret-label" }, label),
      h("code", { class: "secret-value", dir: "ltr" }, value ?? h("span", { "aria-hidden": "true" }, HIDDEN), !value && h("span", { class: "unseen" }, "hidden")),
      iconButton("copy", `Copy ${label}`, { action: `copy-${label.toLowerCase().replaceAll(" ", "-")}`, onclick: () => copy(secret ? this.#fetch().then(read) : this.#database.rest_url, label) }),
    );
  }

  #env(found) {
    const text = (it) => Object.entries(it.env).map(([name, value]) => `${name}=${quoted(value)}`).join("\n");
    return h(
      "div",
      { class: "secret block" },
      h("span", { class: "secret-label" }, ".env"),
      h("pre", { class: "secret-value", tabindex: found ? "0" : null, role: found ? "region" : null, "aria-label": found ? ".env file" : null }, found ? text(found) : h("span", {}, "UPSTASH_REDIS_REST_URL=", HIDDEN, "\n", "UPSTASH_REDIS_REST_TOKEN=", HIDDEN)),
      iconButton("copy", "Copy .env block", { action: "copy-env", onclick: () => copy(this.#fetch().then((it) => `${text(it)}\n`), ".env block") }),
    );
  }
}

/** As the command line writes it: between double quotes some readers of such files expand dollars and backslashes. */
function quoted(value) {
  return /["\\$`]/.test(value) && !value.includes("'") ? `'${value}'` : `"${value}"`;
}
