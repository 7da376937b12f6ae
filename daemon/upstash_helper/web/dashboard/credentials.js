/** The credentials of a database: fetched when they are first needed, and hidden until the user shows them. */

import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { busy, button, copy, failed, iconButton } from "./ui.js";

/** @import { Database, DatabaseCredentials } from "./openapi.js" */

const HIDDEN = "••••••••••••••••••••";

/**
 * The rows: label, field, and whether it is a secret.
 *
 * @type {[label: string, field: "redis_url" | "rest_url" | "rest_token" | "read_only_rest_token", isSecret: boolean][]}
 */
const ROWS = [
  ["Redis URL", "redis_url", true],
  ["REST URL", "rest_url", false],
  ["REST token", "rest_token", true],
  ["Read-only REST token", "read_only_rest_token", true],
];

export class Credentials {
  /** @type {DatabaseCredentials | null} */
  #fetched = null;
  #isShown = false;
  /** The REST URL, which is no secret. */
  #restUrl = "";
  #path;
  #rows = h("div", { class: "secrets" });
  #errors = h("div", {});
  #toggle;

  /** @param {string} path The database's path in the API. */
  constructor(path) {
    this.#path = path;
    const flip = () => this.#flip();
    this.#toggle = button("Show", { icon: "eye", action: "show", hidden: "the secrets", onclick: flip });
    const hint = h("p", { class: "hint" }, "Anyone who has these can read and change the database.");
    const head = h("div", { class: "row spread" }, hint, this.#toggle);
    this.element = h("div", {}, head, this.#errors, this.#rows);
  }

  /** Show what is known without the secrets. @param {Database} database */
  about(database) {
    const isFirst = this.#rows.childElementCount === 0;
    const isChanged = this.#restUrl !== database.rest_url;
    this.#restUrl = database.rest_url;
    if (isFirst || isChanged) this.#draw();
  }

  /** Replace the secrets, which have changed. */
  async refresh() {
    this.#fetched = null;
    if (this.#isShown) {
      try {
        await this.#fetch();
      } catch {
        this.#isShown = false;
      }
    }
    this.#draw();
  }

  /** @returns {Promise<DatabaseCredentials>} */
  async #fetch() {
    /** @type {DatabaseCredentials} */
    const fetched = this.#fetched ?? (await call("GET", `${this.#path}/credentials`));
    this.#fetched = fetched;
    return fetched;
  }

  async #flip() {
    fill(this.#errors);
    if (!this.#isShown) {
      try {
        await busy(this.#toggle, () => this.#fetch());
      } catch (error) {
        fill(this.#errors, failed(error, null));
        return;
      }
    }
    this.#isShown = !this.#isShown;
    const label = this.#isShown ? "Hide" : "Show";
    const icon = this.#isShown ? "hidden" : "eye";
    fill(this.#toggle, ...button(label, { icon, hidden: "the secrets" }).childNodes);
    this.#draw();
  }

  #draw() {
    const shown = this.#isShown ? this.#fetched : null;
    const rows = ROWS.map(([label, field, isSecret]) => {
      const text = isSecret ? () => this.#fetch().then((it) => it[field]) : () => this.#restUrl;
      return row(label, isSecret ? shown?.[field] : this.#restUrl, text);
    });
    fill(this.#rows, ...rows, this.#env(shown));
  }

  /** @param {DatabaseCredentials | null} shown */
  #env(shown) {
    const copyBlock = () =>
      copy(
        this.#fetch().then((it) => `${envBlock(it)}\n`),
        ".env block",
      );
    const region = shown ? { tabindex: "0", role: "region", "aria-label": ".env file" } : {};
    const hidden = h("span", {}, "UPSTASH_REDIS_REST_URL=", HIDDEN, "\n", "UPSTASH_REDIS_REST_TOKEN=", HIDDEN);
    return h(
      "div",
      { class: "secret block" },
      h("span", { class: "secret-label" }, ".env"),
      h("pre", { class: "secret-value", ...region }, shown ? envBlock(shown) : hidden),
      iconButton("copy", "Copy .env block", { action: "copy-env", onclick: copyBlock }),
    );
  }
}

/**
 * @param {string} label
 * @param {string | undefined} value Undefined while it is hidden.
 * @param {() => string | Promise<string>} text What is copied.
 */
function row(label, value, text) {
  const hidden = [h("span", { "aria-hidden": "true" }, HIDDEN), h("span", { class: "unseen" }, "hidden")];
  const action = `copy-${label.toLowerCase().replaceAll(" ", "-")}`;
  return h(
    "div",
    { class: "secret" },
    h("span", { class: "secret-label" }, label),
    h("code", { class: "secret-value", dir: "ltr" }, value ?? hidden),
    iconButton("copy", `Copy ${label}`, { action, onclick: () => copy(text(), label) }),
  );
}

/** @param {DatabaseCredentials} credentials */
function envBlock({ env, ca_usage }) {
  const usage = Object.entries(ca_usage ?? {}).map(([client, code]) => `# ${client}: ${code}`);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`);
  return [...usage, ...variables].join("\n");
}

/**
 * Quote a value as the command line does: between double quotes, some readers of such files expand dollars and
 * backslashes.
 *
 * @param {string} value
 */
export function quoted(value) {
  return /["\\$`]/.test(value) && !value.includes("'") ? `'${value}'` : `"${value}"`;
}
