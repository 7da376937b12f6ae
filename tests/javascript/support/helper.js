/** A real HTTP server in place of the daemon: it answers probes as a helper does, and other requests as a test sets. */

import { createHash, createHmac } from "node:crypto";
import { createServer } from "node:http";

/**
 * @typedef {object} Seen A request that arrived.
 * @property {string} method
 * @property {string} path With the query.
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {any} body Parsed JSON, or undefined.
 */

/**
 * @typedef {object} Answer
 * @property {number} [status] 200 by default.
 * @property {unknown} [json]
 * @property {string} [text] Sent as an event stream.
 * @property {boolean} [lost] The connection is closed without an answer.
 * @property {number} [delay] Milliseconds.
 * @property {Record<string, string>} [headers]
 */

/** @typedef {Answer | ((request: Seen) => Answer)} Reply */

export class Helper {
  /** What has arrived, without probes. @type {Seen[]} */
  requests = [];
  probes = 0;
  /** Whether the server proves to be a helper, and how long that takes in milliseconds. */
  proof = { isGiven: true, delay: 0 };
  /** The tokens that the server knows. */
  tokens = ["uha_secret", "uha_new", "uha_next", "uha_old", "poll"];
  /** Whether another program has the same port of the other loopback address. */
  refusesToProve = false;
  /** How often the server was asked to prove that it knows a token. */
  challenges = 0;
  /** Replies by method and path without the query; of several, each is used once, and the last one from then on. @type {Map<string, Reply[]>} */
  #replies = new Map();
  #server = createServer((request, response) => void this.#handle(request, response));

  /** Start a server that ends with the test. @param {{ after(done: () => void): void }} test @param {number} [port] */
  static async start(test, port = 0) {
    const helper = new Helper();
    await new Promise((resolve) => {
      helper.#server.listen(port, "127.0.0.1", () => resolve(undefined));
    });
    test.after(() => helper.stop());
    return helper;
  }

  get port() {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("The server is not running.");
    return address.port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** @returns {Promise<void>} */
  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(() => resolve(undefined));
    });
  }

  /**
   * @param {string} route Such as `GET /v1/token`.
   * @param {...Reply} replies
   */
  on(route, ...replies) {
    this.#replies.set(route, replies);
    return this;
  }

  /** Return the requests of a route. @param {string} route */
  seen(route) {
    return this.requests.filter(({ method, path }) => `${method} ${path.split("?")[0]}` === route);
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #handle(request, response) {
    const { method = "", url = "", headers } = request;
    const [path, query = ""] = url.split("?");
    if (path === "/connect.d.ts") {
      this.probes += 1;
      await sleep(this.proof.delay);
      const proof = this.proof.isGiven ? (new URLSearchParams(query).get("probe") ?? "") : "";
      response.writeHead(200, { "upstash-helper-probe": proof }).end("export {};");
      return;
    }
    if (path === "/v1/proof") {
      this.challenges += 1;
      if (this.refusesToProve) {
        await this.#send(response, { status: 503, json: problem(503, "port_conflict") });
        return;
      }
      const value = prove(this.tokens, headers.host ?? "", new URLSearchParams(query));
      await this.#send(response, { json: { proof: this.proof.isGiven ? value : "0".repeat(64) } });
      return;
    }
    let text = "";
    for await (const chunk of request) text += chunk;
    const seen = { method, path: url, headers, body: text ? JSON.parse(text) : undefined };
    this.requests.push(seen);
    const replies = this.#replies.get(`${method} ${path}`) ?? [{ status: 404, json: problem(404, "not_found") }];
    const reply = replies.length > 1 ? /** @type {Reply} */ (replies.shift()) : replies[0];
    await this.#send(response, typeof reply === "function" ? reply(seen) : reply);
  }

  /**
   * @param {import("node:http").ServerResponse} response
   * @param {Answer} answer
   */
  async #send(response, { status = 200, json, text, lost, delay = 0, headers = {} }) {
    await sleep(delay);
    if (lost) {
      response.socket?.destroy();
      return;
    }
    const type = text === undefined ? "application/json" : "text/event-stream";
    response.writeHead(status, status === 204 ? headers : { "content-type": type, ...headers });
    response.end(text ?? (json === undefined ? undefined : JSON.stringify(json)));
  }
}

/**
 * Return the proof that the helper gives for a challenge, or null if it is about none of the tokens.
 *
 * @param {string[]} tokens
 * @param {string} host
 * @param {URLSearchParams} challenge
 */
export function prove(tokens, host, challenge) {
  const digests = tokens.map((token) => createHash("sha256").update(token).digest());
  const digest = digests.find((it) => keyId(it) === challenge.get("key"));
  const message = `upstash-helper proof v1\n${host}\n${challenge.get("nonce")}`;
  return digest ? createHmac("sha256", digest).update(message).digest("hex") : null;
}

/** @param {Buffer} digest */
function keyId(digest) {
  return createHash("sha256").update("upstash-helper key id v1\n").update(digest).digest("hex").slice(0, 32);
}

/**
 * Return problem details (RFC 9457).
 *
 * @param {number} status
 * @param {string} code
 * @param {object} [more]
 */
export function problem(status, code, more = {}) {
  return { status, code, title: "Problem", detail: `Details of ${code}.`, ...more };
}

/** Return the answer with a problem. @param {number} status @param {string} code @param {object} [more] */
export function refused(status, code, more) {
  return { status, json: problem(status, code, more) };
}

/** Return an address at which nothing listens. @param {{ after(done: () => void): void }} test */
export async function nobody(test) {
  const helper = await Helper.start(test);
  const { url } = helper;
  await helper.stop();
  return url;
}

/** @param {number} ms @returns {Promise<void>} */
export function sleep(ms) {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}

/** A storage as a browser has it. @param {Record<string, string>} [kept] */
export function memory(kept = {}) {
  const items = new Map(Object.entries(kept));
  return {
    items,
    getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void items.set(key, value),
    removeItem: (/** @type {string} */ key) => void items.delete(key),
  };
}

/**
 * Set globals that a browser has and Node has not, until the test ends.
 *
 * @param {{ after(done: () => void): void }} test
 * @param {Record<string, unknown>} globals
 */
export function withGlobals(test, globals) {
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    test.after(() => {
      if (before) Object.defineProperty(globalThis, name, before);
      else Reflect.deleteProperty(globalThis, name);
    });
  }
}
