/** The page's token, and the requests that carry it. */

import { isHelper, PROBE_MS, unreachable } from "./discovery.js";
import { AnswerLost, errorOf, HelperNotRunning, PairingExpired, TokenRevoked, UpstashHelperError } from "./errors.js";
import { provesToKnow } from "./proof.js";
import { ADDRESS_KEY, read } from "./storage.js";
import { anyOf, throwIfAborted } from "./timing.js";
import { directly } from "./transport.js";

/** @import { Bridge } from "./bridge.js" */
/** @import { Scope, TokenInfo, TokenStorage } from "./types.js" */

const CALL_MS = 60_000;
/** For how long after an answer of the helper no other program is assumed to have taken its address. */
const TRUSTED_MS = 10_000;

/**
 * What is stored for a helper's address. `requested` are the scopes that were requested: those that the user denied then
 * are not requested again. It stays in browsers for long, so a change of its fields must read what is stored already.
 *
 * @typedef {{ token: string, requested: string[], scopes: Scope[] }} StoredToken
 */

/**
 * @typedef {object} RequestOptions
 * @property {string | null} [token] Instead of the page's own; null for none.
 * @property {unknown} [body] Sent as JSON.
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] Milliseconds; may be Infinity.
 */

export class Session {
  /** @type {string} */
  #target;
  /** When the helper last answered at this address. */
  #heardAt = Date.now();
  /** @type {StoredToken | null} */
  stored = null;
  /** Called when the token turns out to be no longer valid. */
  onForgotten = () => {};

  /** @param {{ url: string, storage: TokenStorage, isDiscovered?: boolean, bridge?: Bridge | null }} options */
  constructor({ url, storage, isDiscovered = false, bridge }) {
    this.url = url;
    this.storage = storage;
    /** Whether the helper's address had to be discovered. */
    this.isDiscovered = isDiscovered;
    this.send = bridge ? bridge.send : directly(url);
    this.isBridged = Boolean(bridge);
    /** The address that requests are sent to. */
    this.#target = bridge ? bridge.origin : url;
  }

  get #key() {
    return `upstash-helper:${this.url}`;
  }

  /** Read the stored token. */
  async load() {
    try {
      const stored = JSON.parse((await read(this.storage, this.#key)) ?? "null");
      // Pages have tokens of earlier versions, which named the requested scopes `wished`.
      this.stored =
        typeof stored?.token === "string" ? { ...stored, requested: stored.requested ?? stored.wished } : null;
    } catch {
      this.stored = null;
    }
  }

  /** @param {StoredToken} stored */
  async keep(stored) {
    this.stored = stored;
    try {
      await this.storage.setItem(this.#key, JSON.stringify(stored));
    } catch {
      // Full or blocked: then it lasts as long as the page.
    }
    await this.#rememberAddress();
  }

  /** Remember that the user did not grant `scope`, so that it is not requested again. @param {Scope} scope */
  async keepRefusal(scope) {
    if (this.stored) await this.keep({ ...this.stored, requested: [...new Set([...this.stored.requested, scope])] });
  }

  /** Have this address tried first from now on. */
  async #rememberAddress() {
    try {
      if (this.isDiscovered && (await read(this.storage, ADDRESS_KEY)) !== this.url) {
        await this.storage.setItem(ADDRESS_KEY, this.url);
      }
    } catch {
      // As above.
    }
  }

  /** Delete the token. */
  async forget() {
    this.stored = null;
    try {
      await this.storage.removeItem(this.#key);
      if ((await read(this.storage, ADDRESS_KEY)) === this.url) await this.storage.removeItem(ADDRESS_KEY);
    } catch {
      // Blocked: then nothing was stored.
    }
    this.onForgotten();
  }

  /** @param {Scope} scope */
  has(scope) {
    return this.stored?.scopes.includes(scope) ?? false;
  }

  /** Return whether all of `scopes` were requested before. @param {readonly string[]} scopes */
  hasRequested(scopes) {
    const { stored } = this;
    return stored !== null && scopes.every((scope) => stored.requested.includes(scope));
  }

  /**
   * Send a request and return the JSON of its answer; null for 204.
   *
   * @template T
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   * @returns {Promise<T>}
   * @throws {UpstashHelperError}
   */
  async call(method, path, options = {}) {
    const response = await this.request(method, path, options);
    if (response.status === 204) return /** @type {T} */ (null);
    return response.json().catch(() => {
      throwIfAborted(options.signal);
      throw new AnswerLost(); // the connection broke within the answer
    });
  }

  /**
   * As `call`, for the response itself.
   *
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, options = {}) {
    throwIfAborted(options.signal);
    if (options.token !== undefined) return this.#exchange(method, path, options.token, options);
    if (!this.stored) throw new TokenRevoked();
    const { token } = this.stored;
    try {
      return await this.#exchange(method, path, token, options);
    } catch (error) {
      // A call beside this one may have replaced the token. The helper did nothing with the old one.
      if (!(error instanceof TokenRevoked) || !this.stored || this.stored.token === token) throw error;
      return this.#exchange(method, path, this.stored.token, options);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #exchange(method, path, token, options) {
    await this.#verify(token, options);
    const response = await this.#answer(method, path, token, options);
    this.#heardAt = Date.now();
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.code === "unexpected_answer") this.#heardAt = 0;
    if (error instanceof TokenRevoked && token === this.stored?.token) await this.forget();
    throw error;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #answer(method, path, token, options) {
    try {
      return await this.#send(method, path, token, options);
    } catch (error) {
      throwIfAborted(options.signal);
      if (error instanceof UpstashHelperError) throw error;
      throw await this.#explain(token, options, error);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  #send(method, path, token, { body, headers, signal, timeout = CALL_MS }) {
    /** @type {Record<string, string>} */
    const sent = { ...headers };
    if (token !== null) sent.authorization = `Bearer ${token}`;
    if (body !== undefined) sent["content-type"] = "application/json";
    const limit = Number.isFinite(timeout) ? AbortSignal.timeout(timeout) : undefined;
    return this.send(path, {
      method,
      headers: sent,
      signal: anyOf(signal, limit),
      body: body === undefined ? null : JSON.stringify(body),
    });
  }

  /**
   * Find out why there was no answer. An origin whose access was revoked can read no answer but this one.
   *
   * @param {string | null} token
   * @param {RequestOptions} options
   * @param {unknown} cause
   * @returns {Promise<UpstashHelperError>}
   */
  async #explain(token, options, cause) {
    // An event, or another call, may have reported in the meantime that access was revoked.
    if (options.token === undefined && !this.stored) return new TokenRevoked();
    const isOwn = token !== null && token === this.stored?.token;
    this.#heardAt = 0;
    try {
      await this.#verify(isOwn ? token : null, { ...options, signal: undefined });
      return this.isBridged && !isOwn ? await unreachable([this.url], cause) : new AnswerLost();
    } catch (error) {
      return error instanceof UpstashHelperError ? error : unreachable([this.url], cause);
    }
  }

  /** Whether the helper answered a moment ago. The window of a bridge is the helper's own. */
  get isVerified() {
    return this.isBridged || Date.now() - this.#heardAt < TRUSTED_MS;
  }

  /**
   * Make sure that the helper is at its address: it may have stopped in the meantime, and another program may have taken
   * its port and imitate it. A token is sent only right after the server has proved that it knows it.
   *
   * @param {string | null} token
   * @param {RequestOptions} options
   */
  async #verify(token, { token: given, signal }) {
    if (token === null && this.isVerified) return;
    const limit = anyOf(signal, AbortSignal.timeout(PROBE_MS));
    let isThere = false;
    try {
      isThere =
        token === null ? await isHelper(this.url, limit) : await provesToKnow(this.send, this.#target, token, limit);
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof TokenRevoked) throw given === undefined ? await this.#revoked(token) : new PairingExpired();
      if (error instanceof UpstashHelperError) throw error;
    }
    throwIfAborted(signal);
    if (!isThere) throw await unreachable([this.url]);
    this.#heardAt = Date.now();
  }

  /** Delete `token`, which the helper does not know any more, and return the error. @param {string | null} token */
  async #revoked(token) {
    if (token === this.stored?.token) await this.forget();
    return new TokenRevoked();
  }

  /**
   * Return whether the helper accepts the stored token. One that it does not accept is deleted.
   *
   * @param {{ signal?: AbortSignal }} [options]
   */
  async resume({ signal } = {}) {
    if (!this.stored) return false;
    try {
      /** @type {TokenInfo} */
      const { scopes } = await this.call("GET", "/v1/token", { signal, timeout: PROBE_MS });
      this.stored = { ...this.stored, scopes };
    } catch (error) {
      if (error instanceof TokenRevoked) return false;
      throw error instanceof AnswerLost ? new HelperNotRunning([this.url], error) : error;
    }
    await this.#rememberAddress();
    return true;
  }
}
