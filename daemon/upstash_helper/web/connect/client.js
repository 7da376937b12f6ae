/** What a page can do once it has access. */

import { connectAccount } from "./account.js";
import { AnswerLost, ApiError, HelperNotRunning, TokenRevoked } from "./errors.js";
import { serverSentEvents } from "./events.js";
import { SignInWindow } from "./sign_in_window.js";
import { pause } from "./timing.js";
import { randomKey } from "./transport.js";

/** @import { Session } from "./session.js" */
/**
 * @import { CallOptions, Connection, Database, DatabaseChanges, DatabaseCredentials, HelperEvent, NewDatabase,
 *   ReconnectOptions, Region, Scope, TokenInfo } from "./types.js"
 */

const RECONNECT_MS = 1_000;
const PAGE_SIZE = "200";

/**
 * The sessions of clients.
 *
 * @type {WeakMap<UpstashClient, Session>}
 */
const SESSIONS = new WeakMap();

/**
 * Have `callback` called when the client's token is no longer valid: given back, or revoked.
 *
 * @param {UpstashClient} client
 * @param {() => void} callback
 */
export function onSignedOut(client, callback) {
  const session = SESSIONS.get(client);
  if (session) session.onForgotten = callback;
}

/** The user's account, within what the user granted to this page. Each call throws `UpstashHelperError`. */
export class UpstashClient {
  /** @type {Session} */
  #session;

  /**
   * @private
   * @param {Session} session
   */
  constructor(session) {
    this.#session = session;
    SESSIONS.set(this, session);
    /** @readonly */
    this.databases = Databases.of(session);
  }

  /**
   * @internal
   * @param {Session} session
   */
  static of(session) {
    return new UpstashClient(session);
  }

  /** What the user granted, which may be less than was requested. @returns {Scope[]} */
  get scopes() {
    return [...(this.#session.stored?.scopes ?? [])];
  }

  /**
   * Return the state of the connection to the account. Scope: `connection:read`.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<Connection>}
   */
  connection(options) {
    return this.#session.call("GET", "/v1/connection", options);
  }

  /**
   * Connect an account where none is connected (any more). Call it from a click. Scopes: `connection:read` and
   * `connection:write`, which `connectUpstash` requests if it is needed. Null if the page may not read the connection.
   *
   * @param {ReconnectOptions} [options]
   * @returns {Promise<Connection | null>}
   */
  async connect({ open, signal, onProgress = () => {}, onPopupBlocked } = {}) {
    const run = { window: new SignInWindow(open), signal, onProgress, onCode: () => {}, onPopupBlocked };
    return connectAccount(this.#session, run);
  }

  /**
   * Return the regions in which a database can be created.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<Region[]>}
   */
  async regions(options) {
    /** @type {{ regions: Region[] }} */
    const { regions } = await this.#session.call("GET", "/v1/regions", options);
    return regions;
  }

  /**
   * Follow what happens until `signal` aborts; an interrupted stream resumes where it broke. Scope: `connection:read`;
   * changes of databases come with `databases:read`.
   *
   * @param {(event: HelperEvent) => void} callback
   * @param {CallOptions & { lastEventId?: string }} [options]
   * @returns {Promise<void>}
   * @throws {TokenRevoked} When the user revokes the page's access.
   */
  async events(callback, { signal, lastEventId = "" } = {}) {
    const position = { id: lastEventId };
    while (!signal?.aborted) {
      try {
        await follow(this.#session, callback, position, signal);
      } catch (error) {
        if (signal?.aborted && !(error instanceof TokenRevoked)) return;
        const isTemporary =
          error instanceof HelperNotRunning ||
          error instanceof AnswerLost ||
          error instanceof TypeError ||
          (error instanceof ApiError && error.status === 429);
        if (!isTemporary) throw error;
      }
      await pause(RECONNECT_MS, signal).catch(() => {});
    }
  }

  /**
   * Return what the page's token is: the app's id, identity, scopes and expiry.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<TokenInfo>}
   */
  token(options) {
    return this.#session.call("GET", "/v1/token", options);
  }

  /** Replace the token with a new one. The old one stops working. @returns {Promise<void>} */
  async rotate() {
    const requested = this.#session.stored?.requested ?? [];
    /** @type {{ token: string, scopes: Scope[] }} */
    const { token, scopes } = await this.#session.call("POST", "/v1/token/rotate");
    await this.#session.keep({ token, requested, scopes });
  }

  /** Give the token back. The account stays connected for other apps. @returns {Promise<void>} */
  async signOut() {
    try {
      if (this.#session.stored) await this.#session.call("DELETE", "/v1/token");
    } catch (error) {
      if (!(error instanceof TokenRevoked)) throw error;
    } finally {
      await this.#session.forget();
    }
  }
}

/** The databases of the account. Fields are named as in the API: `primary_region`, `rest_url`. */
export class Databases {
  /** @type {Session} */
  #session;

  /**
   * @private
   * @param {Session} session
   */
  constructor(session) {
    this.#session = session;
  }

  /**
   * @internal
   * @param {Session} session
   */
  static of(session) {
    return new Databases(session);
  }

  /**
   * Return all databases, by name. Scope: `databases:read`.
   *
   * @param {CallOptions & { refresh?: boolean }} [options] `refresh`: ask Upstash, and not the helper's cache.
   * @returns {Promise<Database[]>}
   */
  async list({ refresh = false, signal } = {}) {
    /** @type {Database[]} */
    const found = [];
    const query = new URLSearchParams({ page_size: PAGE_SIZE, ...(refresh && { refresh: "true" }) });
    for (;;) {
      /** @type {{ databases: Database[], next_page_token?: string | null }} */
      const page = await this.#read(`/v1/databases?${query}`, signal);
      found.push(...page.databases);
      if (!page.next_page_token) return found;
      query.set("page_token", page.next_page_token);
      query.delete("refresh");
    }
  }

  /**
   * Create a database. If the answer is lost, the request is repeated with the same idempotency key, so that there is
   * never a second one. Scope: `databases:write`.
   *
   * @param {NewDatabase} wanted
   * @param {CallOptions & { idempotencyKey?: string }} [options]
   * @returns {Promise<Database>}
   */
  async create(wanted, { idempotencyKey = randomKey(), signal } = {}) {
    const headers = { "idempotency-key": idempotencyKey };
    for (let wait = 500; ; wait *= 2) {
      try {
        return await this.#session.call("POST", "/v1/databases", { body: wanted, headers, signal });
      } catch (error) {
        const isTemporary =
          error instanceof AnswerLost ||
          error instanceof HelperNotRunning ||
          (error instanceof ApiError && error.code === "request_in_progress");
        if (!isTemporary || wait > 8_000) throw error;
      }
      await pause(wait, signal);
    }
  }

  /**
   * Scope: `databases:read`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<Database>}
   */
  get(id, { signal } = {}) {
    return this.#read(pathOf(id), signal);
  }

  /**
   * Scope: `databases:write`.
   *
   * @param {string} id
   * @param {DatabaseChanges} changes
   * @param {CallOptions & { ifMatch?: string }} [options]
   * @returns {Promise<Database>}
   */
  change(id, changes, { ifMatch, signal } = {}) {
    return this.#session.call("PATCH", pathOf(id), { body: changes, headers: ifMatchHeader(ifMatch), signal });
  }

  /**
   * Scope: `databases:delete`.
   *
   * @param {string} id
   * @param {CallOptions & { ifMatch?: string }} [options]
   * @returns {Promise<null>}
   */
  delete(id, { ifMatch, signal } = {}) {
    return this.#session.call("DELETE", pathOf(id), { headers: ifMatchHeader(ifMatch), signal });
  }

  /**
   * Return the URLs, the tokens and the password, which are secrets. Scope: `databases:credentials`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<DatabaseCredentials>}
   */
  credentials(id, { signal } = {}) {
    return this.#read(`${pathOf(id)}/credentials`, signal);
  }

  /**
   * Return the variables for a `.env` file. Scope: `databases:credentials`.
   *
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<Record<string, string>>}
   */
  async env(id, options) {
    return (await this.credentials(id, options)).env;
  }

  /**
   * Repeat a read whose answer was lost: that does no harm.
   *
   * @template T
   * @param {string} path
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<T>}
   */
  async #read(path, signal) {
    try {
      return await this.#session.call("GET", path, { signal });
    } catch (error) {
      if (error instanceof AnswerLost) return this.#session.call("GET", path, { signal });
      throw error;
    }
  }
}

/** @param {string} id */
function pathOf(id) {
  return `/v1/databases/${encodeURIComponent(id)}`;
}

/** @param {string | undefined} etag @returns {Record<string, string>} */
function ifMatchHeader(etag) {
  return etag ? { "if-match": etag } : {};
}

/**
 * Read one event stream to its end.
 *
 * @param {Session} session
 * @param {(event: HelperEvent) => void} callback
 * @param {{ id: string }} position The id of the last event; updated.
 * @param {AbortSignal | undefined} signal
 */
async function follow(session, callback, position, signal) {
  /** @type {Record<string, string>} */
  const headers = position.id ? { "last-event-id": position.id } : {};
  const response = await session.request("GET", "/v1/events", { headers, signal, timeout: Infinity });
  for await (const event of serverSentEvents(response.body)) {
    if (event.id) position.id = event.id;
    if (event.type === "bye") return;
    if (event.type === "revoked") {
      await session.forget();
      throw new TokenRevoked();
    }
    callback(/** @type {HelperEvent} */ (event));
  }
}
