/** What the page knows of the helper: each thing with its data, or why there is none, and who wants to know of changes. */

import { call } from "./api.js";

/**
 * @typedef {{data: any, error: Error | null, loading: boolean}} Slot
 * @typedef {"connection" | "daemon" | "databases" | "regions" | "apps" | "blocks" | "pairings"} Name
 */

/** @type {Record<Name, () => Promise<any>>} */
const LOADERS = {
  connection: () => call("GET", "/v1/connection"),
  daemon: () => call("GET", "/v1/daemon"),
  databases: allDatabases,
  regions: async () => (await call("GET", "/v1/regions")).regions,
  apps: async () => (await call("GET", "/v1/apps")).apps,
  blocks: async () => (await call("GET", "/v1/blocks")).blocks,
  pairings: async () => (await call("GET", "/v1/pairings")).pairings,
};

export class Store extends EventTarget {
  /** @type {Record<string, Slot>} */
  #slots = Object.fromEntries(Object.keys(LOADERS).map((name) => [name, { data: null, error: null, loading: false }]));
  #turns = new Map();

  /** @param {Name} name @returns {Slot} */
  get(name) {
    return this.#slots[name];
  }

  /** Put data in place. @param {Name} name */
  set(name, data) {
    this.#turns.set(name, (this.#turns.get(name) ?? 0) + 1); // an answer that is on its way is older
    this.#put(name, { data, error: null, loading: false });
  }

  /** Load some things anew. What is shown stays until there is something newer. @param {...Name} names */
  async load(...names) {
    await Promise.all(names.map((name) => this.#load(name)));
  }

  /**
   * Call `changed` now, and whenever one of `names` changes.
   *
   * @param {Name[]} names
   * @param {() => void} changed
   * @param {AbortSignal} signal
   */
  watch(names, changed, signal) {
    for (const name of names) this.addEventListener(name, changed, { signal });
    changed();
  }

  async #load(name) {
    const turn = (this.#turns.get(name) ?? 0) + 1;
    this.#turns.set(name, turn);
    this.#put(name, { ...this.#slots[name], loading: true });
    let found;
    try {
      found = { data: await LOADERS[name](), error: null, loading: false };
    } catch (error) {
      found = { data: this.#slots[name].data, error, loading: false };
    }
    if (this.#turns.get(name) === turn) this.#put(name, found);
  }

  #put(name, slot) {
    this.#slots[name] = slot;
    this.dispatchEvent(new Event(name));
  }
}

async function allDatabases() {
  const found = [];
  let token = null;
  do {
    const page = await call("GET", `/v1/databases?page_size=200${token ? `&page_token=${encodeURIComponent(token)}` : ""}`);
    found.push(...page.databases);
    token = page.next_page_token;
  } while (token);
  return found;
}
