/** The data that the dashboard shows. Each entry has its data or an error, and an event when it changes. */

import { call } from "./api.js";

/**
 * @import { App, AppList, Blocked, BlockList, Confirmation, ConfirmationList, Connection, DaemonStatus, Database, DatabaseList, Pairing, PairingList,
 *   Region, RegionList } from "./openapi.js"
 */

/**
 * What can be loaded.
 *
 * @typedef {object} Entries
 * @property {Connection} connection
 * @property {DaemonStatus} daemon
 * @property {Database[]} databases
 * @property {Region[]} regions
 * @property {App[]} apps
 * @property {Blocked[]} blocks
 * @property {Pairing[]} pairings
 * @property {Confirmation[]} confirmations
 */

/** @typedef {keyof Entries} Name */

/**
 * @template T
 * @typedef {{ data: T | null, error: unknown, loading: boolean }} Slot
 */

/** @type {{ [N in Name]: () => Promise<Entries[N]> }} */
const LOADERS = {
  connection: () => call("GET", "/v1/connection"),
  daemon: () => call("GET", "/v1/daemon"),
  databases: allDatabases,
  regions: async () => /** @type {RegionList} */ (await call("GET", "/v1/regions")).regions,
  apps: async () => /** @type {AppList} */ (await call("GET", "/v1/apps")).apps,
  blocks: async () => /** @type {BlockList} */ (await call("GET", "/v1/blocks")).blocks,
  confirmations: async () => /** @type {ConfirmationList} */ (await call("GET", "/v1/confirmations")).confirmations,
  pairings: async () => /** @type {PairingList} */ (await call("GET", "/v1/pairings")).pairings,
};

/** Dispatches an event with the name of an entry whenever that changes. */
export class Store extends EventTarget {
  /** @type {{ [N in Name]: Slot<Entries[N]> }} */
  #slots = {
    connection: { data: null, error: null, loading: false },
    daemon: { data: null, error: null, loading: false },
    databases: { data: null, error: null, loading: false },
    regions: { data: null, error: null, loading: false },
    apps: { data: null, error: null, loading: false },
    blocks: { data: null, error: null, loading: false },
    pairings: { data: null, error: null, loading: false },
    confirmations: { data: null, error: null, loading: false },
  };
  /** How often each entry was loaded or set: an answer to an earlier request is dropped. @type {Map<Name, number>} */
  #versions = new Map();

  /**
   * @template {Name} N
   * @param {N} name
   * @returns {Slot<Entries[N]>}
   */
  get(name) {
    return this.#slots[name];
  }

  /**
   * Set an entry. Answers that are on their way are older, and dropped.
   *
   * @template {Name} N
   * @param {N} name
   * @param {Entries[N] | null} data
   */
  set(name, data) {
    this.#nextVersion(name);
    this.#put(name, { data, error: null, loading: false });
  }

  /** Load entries again. What is shown stays until there is something newer. @param {...Name} names */
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

  /**
   * @template {Name} N
   * @param {N} name
   */
  async #load(name) {
    const version = this.#nextVersion(name);
    this.#put(name, { ...this.get(name), loading: true });
    /** @type {Slot<Entries[N]>} */
    let loaded;
    try {
      loaded = { data: await LOADERS[name](), error: null, loading: false };
    } catch (error) {
      loaded = { data: this.get(name).data, error, loading: false };
    }
    if (this.#versions.get(name) === version) this.#put(name, loaded);
  }

  /** @param {Name} name */
  #nextVersion(name) {
    const version = (this.#versions.get(name) ?? 0) + 1;
    this.#versions.set(name, version);
    return version;
  }

  /**
   * @template {Name} N
   * @param {N} name
   * @param {Slot<Entries[N]>} slot
   */
  #put(name, slot) {
    Object.assign(this.#slots, { [name]: slot });
    this.dispatchEvent(new Event(name));
  }
}

/** @returns {Promise<Database[]>} */
async function allDatabases() {
  const found = [];
  /** @type {string | null} */
  let token = null;
  do {
    const query = `page_size=200${token ? `&page_token=${encodeURIComponent(token)}` : ""}`;
    /** @type {DatabaseList} */
    const page = await call("GET", `/v1/databases?${query}`);
    found.push(...page.databases);
    token = page.next_page_token ?? null;
  } while (token);
  return found;
}
