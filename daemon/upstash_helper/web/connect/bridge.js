/** The alternative for pages that cannot reach http://localhost: a window of the helper relays their requests. */

import { PROBE_MS, startingWith } from "./discovery.js";
import { blocksMixedContent, popupFeatures } from "./environment.js";
import { BridgeClosed, BridgeNotOpened, HelperNotRunning, MixedContentBlocked, PopupBlocked } from "./errors.js";
import { ADDRESS_KEY, readNow } from "./storage.js";
import { pause } from "./timing.js";

/** @import { TokenStorage } from "./types.js" */
/** @import { Send } from "./transport.js" */

const SIZE = { width: 420, height: 460 };
/** How often the window is checked, until it has taken a channel. */
const CHECK_MS = 150;
/** The site of the helper's own pages. Other programs have used `localhost`, and may have left something there. */
const SITE = "upstash-helper.localhost";

/**
 * What the window sends: that it is ready or closed, or a part of the response to request `id`.
 *
 * @typedef {{ id?: number, ready?: boolean, closed?: boolean, failed?: boolean, end?: boolean, chunk?: Uint8Array,
 *   head?: { status: number, headers: [string, string][] } }} BridgeMessage
 */

/**
 * Return where the bridge of the helper at `url` starts. It continues to the origin of the helper's own pages, which has
 * a random part that is new each time the helper starts.
 *
 * @param {string} url
 */
function bridgeOf(url) {
  const { port } = new URL(url);
  return `http://${SITE}${port && `:${port}`}/bridge`;
}

/**
 * Return whether `origin` is that of the pages of the helper at `url`.
 *
 * @param {string} origin
 * @param {string} url
 */
function isPagesOrigin(origin, url) {
  const found = /^http:\/\/[0-9a-f]{16}\.([^:]+)(?::([0-9]+))?$/.exec(origin);
  return found !== null && found[1] === SITE && (found[2] ?? "") === new URL(url).port;
}

/**
 * A window on the helper's own origin that relays requests. It learns from the browser which page opened it, and the
 * helper treats the requests as that page's own, so nothing gets access here that would not have it otherwise.
 */
export class Bridge {
  /** @type {MessagePort | null} */
  #port = null;
  /** @type {Map<number, (message: BridgeMessage) => void>} */
  #relayed = new Map();
  #last = 0;
  #isClosed = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;
  /** Resolves once the window has taken a channel. @type {Promise<MessagePort>} */
  #channel;
  /** @type {(event: MessageEvent) => void} */
  #listener = () => {};

  /**
   * Call it from a click and before anything is awaited; otherwise the browser blocks the window.
   *
   * @param {string} url
   * @param {string} [next] The address that the next click tries.
   */
  constructor(url, next) {
    this.url = url;
    this.next = next;
    /** The origin of the page in the window, to which requests are sent; empty until it is open. */
    this.origin = "";
    const address = bridgeOf(url);
    const opened = globalThis.open(address, "upstash-helper-bridge", popupFeatures(SIZE));
    if (!opened) throw blocksMixedContent() ? new MixedContentBlocked() : new PopupBlocked(address);
    this.window = opened;
    /** The ports on which the window may answer: one for each time its page was loaded. */
    this.#channel = new Promise((resolve) => {
      this.#listener = (event) => {
        const isLoaded = event.source === opened && event.data?.upstashHelper === "bridge-loaded";
        if (!isLoaded || !isPagesOrigin(event.origin, url)) return;
        void this.#offer(event.origin).then((port) => {
          this.origin = event.origin;
          resolve(port);
        });
      };
    });
    globalThis.addEventListener?.("message", this.#listener);
  }

  /**
   * Wait until the window is ready.
   *
   * @param {AbortSignal} [signal]
   * @throws {HelperNotRunning}
   */
  async open(signal) {
    const until = Date.now() + PROBE_MS;
    /** @type {MessagePort | null} */
    let port = null;
    try {
      while (!port) {
        if (Date.now() > until) {
          this.window.close();
          throw new BridgeNotOpened(this.url, bridgeOf(this.url), this.next);
        }
        port = await Promise.race([this.#channel, pause(CHECK_MS, signal).then(() => null)]);
      }
    } finally {
      globalThis.removeEventListener?.("message", this.#listener);
    }
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data.closed) this.close();
      else this.#relayed.get(data.id)?.(data);
    };
    this.#watch = setInterval(() => {
      if (this.window.closed) this.close();
    }, 500);
  }

  /**
   * Offer the window a channel. Only the exact origin of the helper's own pages is ever given one.
   *
   * @param {string} origin
   * @returns {Promise<MessagePort>}
   */
  #offer(origin) {
    const { port1, port2 } = new MessageChannel();
    this.window.postMessage({ upstashHelper: "bridge" }, origin, [port2]);
    return new Promise((resolve) => {
      port1.onmessage = ({ data }) => {
        if (data.ready) resolve(port1);
      };
    });
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#watch);
    this.#port?.close();
    for (const take of [...this.#relayed.values()]) take({ failed: true });
    this.#relayed.clear();
  }

  /** @type {Send} */
  send = async (path, init) => {
    if (this.#isClosed || !this.#port) throw new BridgeClosed();
    this.#last += 1;
    const id = this.#last;
    const port = this.#port;
    const request = new RelayedRequest(
      () => port.postMessage({ id, abort: true }),
      () => this.#relayed.delete(id),
    );
    this.#relayed.set(id, (message) => request.take(message, this.#isClosed));
    init.signal?.addEventListener("abort", () => request.abort(init.signal?.reason));
    const headers = [...new Headers(init.headers)];
    port.postMessage({ id, method: init.method ?? "GET", path, headers, body: init.body ?? null });
    return request.response;
  };
}

/** How many bridges have found no helper. A click opens one window, so each click tries the next address. */
let failedBridges = 0;

/**
 * @param {string[]} urls
 * @param {TokenStorage} storage
 * @returns {Bridge}
 */
export function bridgeTo(urls, storage) {
  const ordered = startingWith(readNow(storage, ADDRESS_KEY), urls);
  /** @param {number} turn */
  const at = (turn) => ordered[turn % ordered.length];
  return new Bridge(at(failedBridges), ordered.length > 1 ? at(failedBridges + 1) : undefined);
}

/**
 * Wait until a bridge is ready.
 *
 * @param {Bridge} bridge
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<string>} The helper's address.
 */
export async function cross(bridge, signal) {
  try {
    await bridge.open(signal);
  } catch (error) {
    if (error instanceof HelperNotRunning) failedBridges += 1;
    throw error;
  }
  failedBridges = 0;
  return bridge.url;
}

/** A request that is being relayed. Its response comes in parts. */
export class RelayedRequest {
  #stop;
  #over;
  /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
  #body;
  #stream;
  /** @type {(response: Response) => void} */
  #resolve = () => {};
  /** @type {(reason: unknown) => void} */
  #reject = () => {};

  /**
   * @param {() => void} stop Stops the request in the window.
   * @param {() => void} over Called at the end.
   */
  constructor(stop, over) {
    this.#stop = stop;
    this.#over = over;
    this.#stream = new ReadableStream({
      start: (controller) => {
        this.#body = controller;
      },
      cancel: stop,
    });
    /** @type {Promise<Response>} */
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /**
   * @param {BridgeMessage} message
   * @param {boolean} isClosed Whether the bridge is closed.
   */
  take({ head, chunk, end, failed }, isClosed) {
    if (failed) this.#end(isClosed ? new BridgeClosed() : new TypeError("The bridge got no answer."));
    else if (head) {
      const body = [204, 304].includes(head.status) ? null : this.#stream;
      this.#resolve(new Response(body, { status: head.status, headers: head.headers }));
    } else if (chunk) this.#body?.enqueue(chunk);
    else if (end) this.#end();
  }

  /** @param {unknown} reason */
  abort(reason) {
    this.#stop();
    this.#end(reason);
  }

  /** @param {unknown} [error] */
  #end(error) {
    this.#over();
    this.#reject(error);
    try {
      if (error) this.#body?.error(error);
      else this.#body?.close();
    } catch {
      // It has ended before.
    }
  }
}
