/**
 * connect.js: lets a web page, or a browser extension, use the Upstash account of its user through upstash-helper, the
 * program on the user's computer that keeps the account's API key. No build step and no dependencies: take it from the
 * helper (`http://localhost:3000/connect.js`), or copy this file into your project. Its types are in `connect.d.ts`.
 *
 *     <script type="module" src="connect.js"></script>
 *     <upstash-connect name="Orders" scopes="databases:read databases:write"></upstash-connect>
 *
 *     import { connectUpstash } from './connect.js';
 *     const upstash = await connectUpstash({ name: 'Orders', scopes: ['databases:read'], onCode: show });
 *     for (const database of await upstash.databases.list()) …
 *
 * The page's token. The user lets the page in, and it gets a token that is good for its exact origin and the scopes
 * that were granted, until the user takes it back. By default it is kept in the origin's localStorage, where every
 * script of that origin can read it, as it could use the page itself. Pass `storage` to keep it elsewhere:
 * sessionStorage for a token that goes with the tab, or your own `{getItem, setItem, removeItem}`, which may be
 * asynchronous.
 *
 * The helper's address. It is where this module was taken from, if that was a helper, else `http://localhost:3000` or,
 * where the user leaves that port to others, `http://localhost:26300`, `:26301` or `:26302`. Whoever answers there must
 * prove that it is the helper before it is sent anything: port 3000 is many a program's. A token is sent to the address
 * alone that gave it. A page with a Content-Security-Policy lists all four in `connect-src`.
 */

/**
 * @typedef {'connection:read' | 'connection:write' | 'databases:read' | 'databases:write' | 'databases:delete'
 *   | 'databases:credentials' | 'upstash:read' | 'upstash:write'} Scope
 * @typedef {{getItem(key: string): any, setItem(key: string, value: string): any,
 *   removeItem(key: string): any}} Storage_
 * @typedef {{step: string, userCode?: string, expiresAt?: Date, url?: string, email?: string | null}} Progress
 * @typedef {(path: string, init: RequestInit) => Promise<Response>} Send
 * @typedef {{status: number, code: string, detail: string, errors?: object[], retry_after?: number}} Problem
 * @typedef {{token: string, wished: string[], scopes: string[]}} Kept
 */

const DEFAULT_SCOPES = ['databases:read', 'databases:write', 'databases:credentials'];
/** Connecting an account takes these, so they are always asked for. */
const NEEDED_SCOPES = ['connection:read', 'connection:write'];

/** Where a helper is: on the port that is registered with Upstash, or on one of its own. In the order to ask. */
const PORTS = [3000, 26300, 26301, 26302];
/** What any page may read before it is let in. Its status is 200, so that no console complains of a question. */
const PROBE = '/connect.d.ts';
/**
 * The helper repeats here what the question says. A server that answers every path with its page does not, nor one that
 * has a copy of that file, nor a cache.
 */
const PROOF = 'upstash-helper-probe';
const PROBE_MS = 8_000;
/** How long the address to ask first is asked alone: the others may be nobody's, of which every console complains. */
const HEAD_START_MS = 250;
/** How long one that has proved to be a helper waits for those that come before it. */
const GRACE_MS = 500;
/** How long after an answer of the helper nobody else is taken to be at its address. */
const SURE_MS = 10_000;
const CALL_MS = 60_000;
const ATTEMPT_POLL_MS = 800;
/** A prompt of the browser is mentioned only once a request has hung for so long: it may have been answered before. */
const PROMPT_MS = 400;
/** How long the helper may be away in the middle of things: it may be restarting. */
const PATIENCE_MS = 60_000;
/** How long the window may still be seen after a sign-in. The page in it closes it by itself, too. */
const LAST_LOOK_MS = 2_500;
const WINDOW = { width: 480, height: 720 };

// --- errors ----------------------------------------------------------------------------------------------------------

/** What every function here throws. `message` says what happened and `help` what to do, both for a person. */
export class UpstashHelperError extends Error {
  /**
   * @param {string} code stable: programs tell errors apart by it
   * @param {string} message
   * @param {string} [help]
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, help = '', options = undefined) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.help = help;
  }
}

/** The helper does not answer where it should be. `next` is where the next try looks, if that is another place. */
export class HelperNotRunning extends UpstashHelperError {
  /** @param {string[]} urls @param {unknown} [cause] @param {string} [next] */
  constructor(urls, cause, next) {
    const start = 'Start it on this computer with: upstash-helper start. Install it first if it is not there.';
    super('helper_not_running', `upstash-helper does not answer at ${urls.join(' or ')}.`, next === undefined ? start
      : `If it runs, another program has that address: try again, and ${next} is asked. Else: ${start}`, { cause });
    this.url = urls[0];
    this.next = next;
  }
}

/** The user cannot be asked now, or this app asks too often. After `retryAfter` seconds it may be otherwise. */
export class HelperBusy extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} retryAfter */
  constructor(problem, retryAfter) {
    const wait = retryAfter === null ? 'a moment' : `${retryAfter} seconds`;
    const waits = problem.code === 'pairing_pending';
    super('helper_busy', problem.detail, waits
      ? `Decide about the request that waits in upstash-helper, or try again in ${wait}.`
      : `Try again in ${wait}.`);
    this.retryAfter = retryAfter;
    this.problem = problem;
  }
}

/** The browser keeps this page from programs on this computer (Local Network Access). */
export class PermissionDenied extends UpstashHelperError {
  constructor() {
    super('permission_denied', 'Your browser does not let this page reach apps on this device.',
      'Open the site settings beside the address bar, allow “Apps on device” (or “Local network access”), and try '
        + 'again.');
  }
}

/** The browser lets no https page reach http://localhost, as Safari does. From a click, a window helps: the bridge. */
export class MixedContentBlocked extends UpstashHelperError {
  constructor() {
    super('mixed_content_blocked', 'This browser lets no https page reach apps on this device directly.',
      'Try again from a button: a window of upstash-helper opens, and carries the requests.');
  }
}

/** The browser opened no window. `url` is where the user signs in: show it as a link, and call again afterwards. */
export class PopupBlocked extends UpstashHelperError {
  /** @param {string} url */
  constructor(url) {
    super('popup_blocked', 'Your browser blocked the window.',
      'Open the link yourself, or allow pop-ups for this page.');
    this.url = url;
  }
}

/** The window of the helper that carried the requests is closed. */
export class BridgeClosed extends UpstashHelperError {
  constructor() {
    super('bridge_closed', 'The window of upstash-helper was closed, or stopped.',
      'This browser needs it. Connect again, and leave it open.');
  }
}

/** The user said no. */
export class PairingDenied extends UpstashHelperError {
  constructor() {
    super('pairing_denied', 'You did not let this app in.', 'If that was a mistake, ask again in a minute.');
  }
}

/** The user did not decide in time. */
export class PairingExpired extends UpstashHelperError {
  constructor() {
    super('pairing_expired', 'The request was not approved in time.', 'Ask again, and approve it within two minutes.');
  }
}

/** The user does not want to be asked by this origin. */
export class Blocked extends UpstashHelperError {
  constructor() {
    super('app_blocked', 'This app is blocked in upstash-helper.',
      'To let it ask again: upstash-helper approvals blocked');
  }
}

/** The user has shut this page out again. The token is forgotten; connect again to ask anew. */
export class TokenRevoked extends UpstashHelperError {
  constructor() {
    super('token_revoked', 'This app is no longer let in by upstash-helper.', 'Connect again to ask anew.');
  }
}

/** The account was not connected. `reason` is for programs: `access_denied`, `expired`, `helper_restarted`, … */
export class ConnectFailed extends UpstashHelperError {
  /** @param {string} reason @param {string} detail */
  constructor(reason, detail) {
    super('connect_failed', detail || 'The account was not connected.', 'Try again.');
    this.reason = reason;
  }
}

/** The request was sent and its answer lost, so whether it took effect is not known. */
export class AnswerLost extends UpstashHelperError {
  constructor() {
    super('answer_lost', 'The answer of upstash-helper was lost.', 'Look whether it was done before you try again.');
  }
}

/** The caller's `signal`, or Cancel. */
export class Aborted extends UpstashHelperError {
  constructor() {
    super('aborted', 'This was cancelled.');
  }
}

/** Any other refusal of the helper; `code` is that of its problem (RFC 9457). */
export class ApiError extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} [retryAfter] */
  constructor(problem, retryAfter = null) {
    super(problem.code, problem.detail);
    this.status = problem.status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

const BUSY = new Set(['pairing_pending', 'too_many_pairings', 'rate_limited']);
const GONE = new Set(['pairing_expired', 'pairing_not_found', 'token_already_delivered']);

/** @param {Response} response @returns {Promise<UpstashHelperError>} */
async function refusal(response) {
  const problem = await response.json().catch(() => null);
  if (typeof problem?.code !== 'string') {
    const detail = `This is not an answer of upstash-helper (${response.status}): another program has its port.`;
    return new ApiError({ status: response.status, code: 'unexpected_answer', detail });
  }
  const retryAfter = problem.retry_after ?? null;
  if (response.status === 401) return new TokenRevoked();
  if (BUSY.has(problem.code)) return new HelperBusy(problem, retryAfter);
  if (GONE.has(problem.code)) return new PairingExpired();
  if (problem.code === 'pairing_denied') return new PairingDenied();
  if (problem.code === 'app_blocked') return new Blocked();
  return new ApiError(problem, retryAfter);
}

// --- where the page is -----------------------------------------------------------------------------------------------

const LOOPBACK = /^(?:(?:.+\.)?localhost|127\.0\.0\.1|\[::1\])$/;

/**
 * Where the helper may be, in the order to ask. The page's own server is not it.
 * @param {string} [url] where the caller says that it is
 * @returns {string[]}
 */
function addresses(url) {
  if (url !== undefined) return [origin(url)];
  const own = globalThis.location?.origin;
  const from = new URL(import.meta.url);
  const helpers = from.protocol === 'http:' && from.pathname === '/connect.js' && LOOPBACK.test(from.hostname);
  if (helpers && from.origin !== own) return [from.origin];
  return PORTS.map((port) => `http://localhost:${port}`).filter((at) => at !== own);
}

/** @param {string} url @returns {string} */
function origin(url) {
  const at = new URL(url);
  if (at.protocol !== 'http:' || !LOOPBACK.test(at.hostname)) {
    throw new TypeError(`The helper is on this computer, such as http://localhost:3000, and not at ${at.origin}.`);
  }
  return at.origin;
}

/** Whether the browser may ask the user before a request of this page goes to this computer. */
function mayBePrompted() {
  const at = globalThis.location;
  return at?.protocol === 'https:' || (at?.protocol === 'http:' && !LOOPBACK.test(at.hostname));
}

/** What the browser calls the permission changed with its versions. @returns {Promise<PermissionState | 'unknown'>} */
async function networkPermission() {
  for (const name of ['loopback-network', 'local-network-access', 'local-network']) {
    try {
      return (await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) })).state;
    } catch {
      // This browser does not know the name.
    }
  }
  return 'unknown';
}

/** WebKit alone counts http://localhost as mixed content, and says no more than that the request has failed. */
function blocksMixedContent() {
  return globalThis.location?.protocol === 'https:' && (navigator.vendor ?? '').startsWith('Apple');
}

/** @param {string[]} urls @param {unknown} [cause] @returns {Promise<UpstashHelperError>} */
async function unreachable(urls, cause) {
  if (mayBePrompted() && await networkPermission() === 'denied') return new PermissionDenied();
  return blocksMixedContent() ? new MixedContentBlocked() : new HelperNotRunning(urls, cause);
}

// --- waiting ---------------------------------------------------------------------------------------------------------

/** @param {AbortSignal | undefined} signal */
function throwIfAborted(signal) {
  if (signal?.aborted) throw new Aborted();
}

/**
 * Wait; less if the user comes back to the page, or the helper's page in the window says that there is news. What news,
 * is asked of the helper alone, so it does not matter who really said it.
 * @param {number} ms @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.('focus', done);
      globalThis.removeEventListener?.('message', hear);
      signal?.removeEventListener('abort', done);
      if (signal?.aborted) reject(new Aborted());
      else resolve();
    };
    const hear = (/** @type {any} */ event) => { if (event.data?.type === 'upstash-helper') done(); };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.('focus', done);
    globalThis.addEventListener?.('message', hear);
    signal?.addEventListener('abort', done);
    if (signal?.aborted) done();
  });
}

/** @param {number} ms @returns {Promise<false>} */
function after(ms) {
  return new Promise((resolve) => { setTimeout(() => resolve(false), ms); });
}

/** @param {...(AbortSignal | undefined)} signals @returns {AbortSignal} */
function either(...signals) {
  return AbortSignal.any(/** @type {AbortSignal[]} */ (signals.filter(Boolean)));
}

// --- how requests reach the helper -----------------------------------------------------------------------------------

/** @param {string} url @returns {Send} */
function directly(url) {
  return (path, init) => fetch(url + path, {
    ...init, mode: 'cors', credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer', redirect: 'error',
  });
}

/**
 * The way around for pages that cannot reach http://localhost: a window of the helper's own origin carries the
 * requests. It learns from the browser who we are, and the helper holds us to it, so nothing is let in here that would
 * not be otherwise.
 */
class Bridge {
  /**
   * Call it from a click, and before anything is awaited: else the browser blocks the window.
   * @param {string} url @param {string} [next] which address the next click tries
   */
  constructor(url, next) {
    this.url = url;
    this.next = next;
    this.window = globalThis.open(`${url}/bridge`, 'upstash-helper-bridge', features({ width: 420, height: 460 }));
    if (!this.window) throw blocksMixedContent() ? new MixedContentBlocked() : new PopupBlocked(`${url}/bridge`);
    /** @type {MessagePort | null} */
    this.port = null;
    /** @type {Map<number, (message: any) => void>} */
    this.answers = new Map();
    this.last = 0;
    this.isClosed = false;
  }

  /** Wait until the window is there. @param {AbortSignal} [signal] */
  async open(signal) {
    const until = Date.now() + PROBE_MS;
    /** @type {Promise<MessagePort> | undefined} */
    let ready;
    /** @type {MessagePort | null} */
    let port = null;
    while (!port) {
      if (Date.now() > until) {
        this.window?.close();
        throw new HelperNotRunning([this.url], undefined, this.next);
      }
      const tried = this.#knock();
      ready = ready ? Promise.race([ready, tried]) : tried;
      port = await Promise.race([ready, pause(150, signal).then(() => null)]);
    }
    this.port = port;
    port.onmessage = ({ data }) => (data.closed ? this.close() : this.answers.get(data.id)?.(data));
    this.watch = setInterval(() => { if (this.window?.closed) this.close(); }, 500);
  }

  /** Offer the window a channel. Only the helper's own origin is ever given one. @returns {Promise<MessagePort>} */
  #knock() {
    const { port1, port2 } = new MessageChannel();
    try {
      this.window?.postMessage({ upstashHelper: 'bridge' }, this.url, [port2]);
    } catch {
      // The window is still about:blank.
    }
    return new Promise((resolve) => { port1.onmessage = ({ data }) => { if (data.ready) resolve(port1); }; });
  }

  close() {
    this.isClosed = true;
    clearInterval(this.watch);
    this.port?.close();
    for (const answer of [...this.answers.values()]) answer({ failed: true });
    this.answers.clear();
  }

  /** @type {Send} */
  send = async (path, init) => {
    if (this.isClosed || !this.port) throw new BridgeClosed();
    const id = ++this.last;
    const port = this.port;
    const carried = new Carried(() => port.postMessage({ id, abort: true }), () => this.answers.delete(id));
    this.answers.set(id, (message) => carried.take(message, this.isClosed));
    init.signal?.addEventListener('abort', () => carried.abort(init.signal?.reason));
    const headers = [...new Headers(init.headers)];
    port.postMessage({ id, method: init.method ?? 'GET', path, headers, body: init.body ?? null });
    return carried.response;
  };
}

/**
 * How many bridges have found nobody. A click opens one window, so that whatever is at one address, the next click tries
 * the next.
 */
let lostBridges = 0;

/** @param {string[]} urls @param {Storage_} storage @returns {Bridge} */
function bridgeTo(urls, storage) {
  const ordered = before(urls, readNow(storage, PLACE));
  const at = (/** @type {number} */ turn) => ordered[turn % ordered.length];
  return new Bridge(at(lostBridges), ordered.length > 1 ? at(lostBridges + 1) : undefined);
}

/** One request on its way over the bridge, whose answer comes in pieces. */
class Carried {
  /** @param {() => void} stop tells the bridge to @param {() => void} over is called at the end */
  constructor(stop, over) {
    this.stop = stop;
    this.over = over;
    /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
    this.body = undefined;
    this.stream = new ReadableStream({ start: (controller) => { this.body = controller; }, cancel: stop });
    /** @type {Promise<Response>} */
    this.response = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** @param {any} message @param {boolean} isClosed whether the bridge is */
  take({ head, chunk, end, failed }, isClosed) {
    if (failed) this.end(isClosed ? new BridgeClosed() : new TypeError('The bridge got no answer.'));
    else if (head) {
      const body = [204, 304].includes(head.status) ? null : this.stream;
      this.resolve?.(new Response(body, { status: head.status, headers: head.headers }));
    } else if (chunk) this.body?.enqueue(chunk);
    else if (end) this.end();
  }

  /** @param {unknown} reason */
  abort(reason) {
    this.stop();
    this.end(reason);
  }

  /** @param {unknown} [error] */
  end(error) {
    this.over();
    this.reject?.(error);
    try {
      if (error) this.body?.error(error);
      else this.body?.close();
    } catch {
      // It has ended before.
    }
  }
}

/** @param {{width: number, height: number}} size @returns {string} */
function features({ width, height }) {
  const left = Math.round((globalThis.screenX ?? 0) + ((globalThis.outerWidth ?? width) - width) / 2);
  const top = Math.round((globalThis.screenY ?? 0) + ((globalThis.outerHeight ?? height) - height) / 3);
  return `popup,width=${width},height=${height},left=${left},top=${top}`;
}

// --- where the helper is ---------------------------------------------------------------------------------------------

/**
 * Whether it is the helper that answers there.
 * @param {string} url @param {AbortSignal} signal
 */
async function isHelper(url, signal) {
  const question = newKey();
  try {
    const response = await directly(url)(`${PROBE}?probe=${question}`, { signal });
    return response.ok && response.headers.get(PROOF) === question;
  } catch {
    return false;
  }
}

/**
 * The first of the addresses that is the helper's.
 * @param {string[]} urls @param {AbortSignal} [signal]
 * @returns {Promise<string | null>}
 */
async function find(urls, signal) {
  const over = new AbortController();
  const ask = (/** @type {string} */ url) => isHelper(url, either(signal, over.signal, AbortSignal.timeout(PROBE_MS)));
  try {
    const asked = [ask(urls[0])];
    if (await Promise.race([asked[0], after(HEAD_START_MS)])) return urls[0];
    asked.push(...urls.slice(1).map(ask));
    const proved = asked.map(async (one) => { if (!await one) throw new TypeError('another program'); });
    const late = Promise.any(proved).then(() => after(GRACE_MS), () => false);
    for (const [index, one] of asked.entries()) {
      if (await Promise.race([one, late])) return urls[index];
    }
    return null;
  } finally {
    over.abort();
  }
}

/**
 * Have the browser ask its user, by one request, for one permission is good for all addresses; and wait for the answer.
 * @param {string} url @param {AbortSignal | undefined} signal
 * @returns {Promise<boolean>} whether it makes sense to go on
 */
async function askUser(url, signal) {
  const began = Date.now();
  const over = new AbortController();
  let isAnswered = false;
  isHelper(url, either(signal, over.signal)).finally(() => { isAnswered = true; });
  try {
    while (!isAnswered && await networkPermission() === 'prompt') await pause(100, signal);
    // Nobody was asked if it took no time. Who closes the question without an answer is not asked three times more.
    return await networkPermission() !== 'prompt' || Date.now() - began < PROMPT_MS;
  } finally {
    over.abort();
  }
}

/**
 * Where the helper is.
 * @param {string[]} urls @param {Storage_} storage
 * @param {{signal?: AbortSignal, onProgress?: (progress: Progress) => void}} [options]
 * @returns {Promise<string>}
 */
async function seek(urls, storage, { signal, onProgress = () => {} } = {}) {
  const ordered = before(urls, urls.length > 1 ? await read(storage, PLACE) : null);
  const prompted = mayBePrompted() && await networkPermission() === 'prompt';
  const told = setTimeout(() => { if (prompted) onProgress({ step: 'permission' }); }, PROMPT_MS);
  try {
    const goesOn = !prompted || await askUser(ordered[0], signal);
    const found = goesOn ? await find(ordered, signal) : null;
    throwIfAborted(signal);
    if (found === null) throw await unreachable(ordered);
    return found;
  } finally {
    clearTimeout(told);
  }
}

/** @param {string[]} urls @param {string | null} first @returns {string[]} */
function before(urls, first) {
  return first !== null && urls.includes(first) ? [first, ...urls.filter((url) => url !== first)] : urls;
}

// --- the token -------------------------------------------------------------------------------------------------------

/** Where no storage is to be had (blocked by the user, or a worker): until the page goes. @returns {Storage_} */
function inMemory() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => { kept.set(key, value); },
    removeItem: (key) => { kept.delete(key); },
  };
}

const MEMORY = inMemory();

/** @returns {Storage_} */
function defaultStorage() {
  try {
    return globalThis.localStorage ?? MEMORY;
  } catch {
    return MEMORY;
  }
}

/** Under this key, beside the token: where the helper was that gave it, if that had to be found out. */
const PLACE = 'upstash-helper:at';

/** @param {Storage_} storage @param {string} key @returns {Promise<string | null>} */
async function read(storage, key) {
  try {
    return await storage.getItem(key) ?? null;
  } catch {
    return null;
  }
}

/** What a storage says that makes nobody wait. @param {Storage_} storage @param {string} key */
function readNow(storage, key) {
  try {
    const found = storage.getItem(key);
    return typeof found === 'string' ? found : null;
  } catch {
    return null;
  }
}

/** The token, and the requests that carry it. */
class Session {
  /** @param {{url: string, storage: Storage_, isFound?: boolean, bridge?: Bridge | null}} options */
  constructor({ url, storage, isFound = false, bridge }) {
    this.url = url;
    this.storage = storage;
    /** Whether it had to be found out where the helper is. */
    this.isFound = isFound;
    this.send = bridge ? bridge.send : directly(url);
    this.bridged = Boolean(bridge);
    /** When the helper was last heard of at this address. */
    this.metAt = Date.now();
    /** @type {Kept | null} */
    this.kept = null;
    /** Is called when the token has turned out to be good no longer. */
    this.onForgotten = () => {};
  }

  get #key() {
    return `upstash-helper:${this.url}`;
  }

  /** Read what is kept. */
  async load() {
    try {
      const kept = JSON.parse(await read(this.storage, this.#key) ?? 'null');
      this.kept = typeof kept?.token === 'string' ? kept : null;
    } catch {
      this.kept = null;
    }
  }

  /** @param {Kept} kept */
  async keep(kept) {
    this.kept = kept;
    try {
      await this.storage.setItem(this.#key, JSON.stringify(kept));
    } catch {
      // Full or blocked: then it lasts as long as the page.
    }
    await this.remember();
  }

  /** Have this address asked first from now on. */
  async remember() {
    try {
      if (this.isFound && await read(this.storage, PLACE) !== this.url) await this.storage.setItem(PLACE, this.url);
    } catch {
      // As above.
    }
  }

  async forget() {
    this.kept = null;
    try {
      await this.storage.removeItem(this.#key);
      if (await read(this.storage, PLACE) === this.url) await this.storage.removeItem(PLACE);
    } catch {
      // Blocked: then nothing was kept.
    }
    this.onForgotten();
  }

  /** @param {string} scope */
  has(scope) {
    return this.kept?.scopes.includes(scope) ?? false;
  }

  /**
   * Send a request and return what its answer says.
   * @param {string} method
   * @param {string} path
   * @param {{token?: string | null, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal,
   *   timeout?: number}} [options]
   * @returns {Promise<any>}
   */
  async call(method, path, options = {}) {
    const response = await this.request(method, path, options);
    return response.status === 204 ? null : response.json();
  }

  /**
   * As `call`, for the answer itself.
   * @param {string} method
   * @param {string} path
   * @param {{token?: string | null, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal,
   *   timeout?: number}} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, options = {}) {
    throwIfAborted(options.signal);
    if (options.token === undefined && !this.kept) throw new TokenRevoked();
    const token = options.token === undefined ? this.kept?.token ?? null : options.token;
    let response;
    await this.#meet(options.signal);
    try {
      response = await this.#send(method, path, token, options);
    } catch (error) {
      throwIfAborted(options.signal);
      if (error instanceof UpstashHelperError) throw error;
      throw await this.#whyNot(token, error);
    }
    this.metAt = Date.now();
    if (response.ok) return response;
    const error = await refusal(response);
    if (error.code === 'unexpected_answer') this.metAt = 0;
    if (error instanceof TokenRevoked && token === this.kept?.token) await this.forget();
    throw error;
  }

  /**
   * @param {string} method @param {string} path @param {string | null} token
   * @param {{body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, timeout?: number}} options
   */
  #send(method, path, token, { body, headers, signal, timeout = CALL_MS }) {
    /** @type {Record<string, string>} */
    const sent = { ...headers };
    if (token !== null) sent.authorization = `Bearer ${token}`;
    if (body !== undefined) sent['content-type'] = 'application/json';
    const limit = Number.isFinite(timeout) ? AbortSignal.timeout(timeout) : undefined;
    return this.send(path, {
      method, headers: sent, signal: either(signal, limit), body: body === undefined ? null : JSON.stringify(body),
    });
  }

  /**
   * Find out why there was no answer. An origin that is no longer let in may not read answers, but for this one.
   * @param {string | null} token @param {unknown} cause @returns {Promise<UpstashHelperError>}
   */
  async #whyNot(token, cause) {
    const own = token !== null && token === this.kept?.token;
    this.metAt = 0;
    try {
      await this.#meet(undefined);
      if (!own) return this.bridged ? await unreachable([this.url], cause) : new AnswerLost();
      const response = await this.#send('GET', '/v1/token', token, { timeout: PROBE_MS });
      if (response.status !== 401) return new AnswerLost();
      await this.forget();
      return new TokenRevoked();
    } catch (error) {
      return error instanceof UpstashHelperError ? error : unreachable([this.url], cause);
    }
  }

  /** Whether nobody else can be at the helper's address. Over a bridge, its window is the helper's own. */
  get isSure() {
    return this.bridged || Date.now() - this.metAt < SURE_MS;
  }

  /**
   * Be sure of the helper. What is sent is for it alone, and it may have ended since, and another program come to its
   * port.
   * @param {AbortSignal | undefined} signal
   */
  async #meet(signal) {
    if (this.isSure) return;
    const is = await isHelper(this.url, either(signal, AbortSignal.timeout(PROBE_MS)));
    throwIfAborted(signal);
    if (!is) throw await unreachable([this.url]);
    this.metAt = Date.now();
  }

  /**
   * Whether the helper takes the token that is kept. One that it does not take is forgotten.
   * @param {{signal?: AbortSignal}} [options]
   */
  async greet({ signal } = {}) {
    if (!this.kept) return false;
    try {
      const { scopes } = await this.call('GET', '/v1/token', { signal, timeout: PROBE_MS });
      this.kept = { ...this.kept, scopes };
    } catch (error) {
      if (error instanceof TokenRevoked) return false;
      throw error instanceof AnswerLost ? new HelperNotRunning([this.url], error) : error;
    }
    await this.remember();
    return true;
  }
}

// --- the window ------------------------------------------------------------------------------------------------------

/**
 * The window in which the user signs in. It is opened while the click still counts, which is before it is known where
 * it goes, and meanwhile shows the code.
 */
class SignInWindow {
  /** @param {((url: string) => unknown) | undefined} open opens an address in another way than by a window */
  constructor(open) {
    this.elsewhere = open;
    /** @type {Window | null} */
    this.popup = null;
    this.hasGone = false;
  }

  /** Open it empty, if the click still counts. */
  prepare() {
    if (this.elsewhere || this.isOpen || !globalThis.navigator?.userActivation?.isActive) return;
    this.popup = globalThis.open?.('', '_blank', features(WINDOW)) ?? null;
  }

  get isOpen() {
    return this.popup !== null && !this.popup.closed;
  }

  /** @param {string} userCode */
  showCode(userCode) {
    if (!this.isOpen || !this.popup) return;
    try {
      writeWaiting(this.popup, userCode);
    } catch {
      // It went elsewhere. The page shows the code, too.
    }
  }

  /** Go to the sign-in. @param {string} url @returns {Promise<boolean>} whether a window shows it */
  async go(url) {
    this.hasGone = true;
    if (this.elsewhere) {
      await this.elsewhere(url);
      return true;
    }
    if (this.isOpen && this.popup) this.popup.location.replace(url);
    else this.popup = globalThis.open?.(url, '_blank', features(WINDOW)) ?? null;
    return this.popup !== null;
  }

  /** @param {number} [ms] after how long */
  close(ms = 0) {
    const popup = this.popup;
    if (ms === 0) popup?.close();
    else setTimeout(() => popup?.close(), ms);
  }
}

/** @param {Window} popup @param {string} userCode */
function writeWaiting(popup, userCode) {
  const { document } = popup;
  // Made by the window itself, so that a page whose policy takes no inline styles can show it as well.
  const sheet = new (/** @type {any} */ (popup)).CSSStyleSheet();
  sheet.replaceSync(WAITING_CSS);
  document.adoptedStyleSheets = [sheet];
  document.title = 'Connect Upstash';
  document.documentElement.lang = 'en';
  const main = make(document, 'main', {},
    make(document, 'p', { class: 'step' }, 'Waiting for you'),
    make(document, 'h1', {}, 'Approve this request in upstash-helper'),
    make(document, 'p', {}, 'It shows the same code:'),
    make(document, 'p', { class: 'code' }, userCode),
    make(document, 'p', { class: 'quiet' },
      'If your account is not connected yet, you sign in to Upstash here afterwards.'));
  document.body.replaceChildren(main);
}

/**
 * @param {Document} document @param {string} name @param {Record<string, any>} attributes
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
function make(document, name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key, value);
    else if (value !== null) element.setAttribute(key, value);
  }
  element.append(.../** @type {Node[]} */ (children.filter((child) => child !== null)));
  return element;
}

// --- being let in ----------------------------------------------------------------------------------------------------

/**
 * @typedef {object} Way what a run of `connectUpstash` goes by
 * @property {SignInWindow} window
 * @property {AbortSignal | undefined} signal
 * @property {(progress: Progress) => void} onProgress
 * @property {(code: {userCode: string, expiresAt: Date}) => void} onCode
 * @property {((url: string) => void) | undefined} onPopupBlocked
 */

/**
 * Ask the user to let the page in, and wait for the answer. Whoever goes away takes the request along.
 * @param {Session} session @param {{name: string, scopes: string[], reason: string}} wish @param {Way} way
 */
async function pair(session, wish, way) {
  const started = await ask(session, wish, way.signal);
  const at = `/v1/pairings/${started.id}`;
  const own = { token: started.poll_secret, signal: way.signal };
  const withdraw = async () => session.isSure && session.send(at, {
    method: 'DELETE', headers: { authorization: `Bearer ${started.poll_secret}` }, keepalive: true,
  }).catch(() => {});
  const leave = () => {
    way.window.close();
    withdraw();
  };
  globalThis.addEventListener?.('pagehide', leave);
  try {
    const code = { userCode: started.user_code, expiresAt: new Date(started.expires_at) };
    way.window.showCode(code.userCode);
    way.onCode(code);
    way.onProgress({ step: 'approval', ...code });
    await decided(session, at, own, started, code.expiresAt);
    const given = await session.call('POST', `${at}/token`, own);
    await session.keep({ token: given.token, wished: wish.scopes, scopes: given.scopes });
  } catch (error) {
    await withdraw();
    throw error;
  } finally {
    globalThis.removeEventListener?.('pagehide', leave);
  }
}

/**
 * @param {Session} session @param {{name: string, scopes: string[], reason: string}} wish
 * @param {AbortSignal | undefined} signal
 */
async function ask(session, wish, signal) {
  const asking = () => session.call('POST', '/v1/pairings', { token: null, body: wish, signal });
  try {
    return await asking();
  } catch (error) {
    if (!(error instanceof HelperBusy) || error.problem.code !== 'pairing_pending') throw error;
  }
  // A page that was reloaded takes its request back as it goes, and that may be still on its way.
  await pause(1000, signal);
  return asking();
}

/**
 * @param {Session} session @param {string} at @param {{token: string, signal?: AbortSignal}} own
 * @param {{interval: number}} started @param {Date} expiresAt
 */
async function decided(session, at, own, { interval }, expiresAt) {
  for (;;) {
    const state = await patiently(() => session.call('GET', at, own), own.signal, expiresAt.getTime() + 5_000);
    if (state.state === 'approved') return;
    if (state.state === 'denied') throw new PairingDenied();
    if (state.state === 'expired') throw new PairingExpired();
    await pause(interval * 1000, own.signal);
  }
}

/**
 * Look again where the helper is away: it remembers requests over a restart.
 * @template T
 * @param {() => Promise<T>} look @param {AbortSignal | undefined} signal @param {number} [until]
 * @returns {Promise<T>}
 */
async function patiently(look, signal, until = Date.now() + PATIENCE_MS) {
  for (;;) {
    try {
      return await look();
    } catch (error) {
      const passes = error instanceof HelperNotRunning || error instanceof AnswerLost || error instanceof HelperBusy;
      if (!passes || Date.now() > until) throw error;
    }
    await pause(1000, signal);
  }
}

// --- the account -----------------------------------------------------------------------------------------------------

/** After any other failure the window tells what it was; after these it would only lead astray. */
const STALE = new Set(['cancelled', 'expired', 'helper_restarted']);
const STUCK = new Set(['needs_email', 'keyring_locked', 'keyring_unavailable', 'port_conflict']);

/**
 * Have an account connected, and return the connection; null if the page may not know.
 * @param {Session} session @param {Way} way
 */
async function connectAccount(session, way) {
  const { signal } = way;
  const now = session.has('connection:read') ? await session.call('GET', '/v1/connection', { signal }) : null;
  if (!now || now.state === 'connected') {
    way.window.close();
    return now;
  }
  if (STUCK.has(now.state)) throw new ConnectFailed(now.state, now.detail ?? '');
  const started = await start(session, signal);
  if (started.state === 'connected') {
    way.window.close();
    return started;
  }
  try {
    await signIn(session, started, way);
  } catch (error) {
    if (error instanceof Aborted && !started.joined) await giveUp(session, started.attempt_id);
    throw error;
  }
  return session.call('GET', '/v1/connection', { signal });
}

/** @param {Session} session @param {AbortSignal | undefined} signal */
async function start(session, signal) {
  try {
    return await session.call('POST', '/v1/connection', { body: { open_browser: false }, signal });
  } catch (error) {
    // Where the port of sign-ins is taken for a sign-in alone, it is known only now that another program has it.
    if (!(error instanceof ApiError) || !STUCK.has(error.code)) throw error;
    throw new ConnectFailed(error.code, error.message);
  }
}

/** @param {Session} session @param {string} attempt */
async function giveUp(session, attempt) {
  await session.call('DELETE', `/v1/connection/attempts/${attempt}`).catch(() => {});
}

/**
 * @param {Session} session @param {{attempt_id: string, authorization_url: string}} started @param {Way} way
 */
async function signIn(session, started, way) {
  const url = started.authorization_url;
  // Over a bridge, its window offers the sign-in: the click that could open another one is spent.
  const shown = session.bridged || await way.window.go(url);
  if (!shown && !way.onPopupBlocked) throw new PopupBlocked(url);
  way.onProgress({ step: session.bridged ? 'sign-in-bridge' : 'sign-in', url });
  if (!shown) way.onPopupBlocked?.(url);
  await attempted(session, started.attempt_id, url, way);
  way.window.close(LAST_LOOK_MS);
}

/**
 * Wait for the end of a sign-in. The helper alone knows it: a window behind a strict login page looks closed early.
 * @param {Session} session @param {string} id @param {string} url @param {Way} way
 */
async function attempted(session, id, url, way) {
  let closed = 0;
  let told = '';
  const tell = (/** @type {string} */ step) => {
    if (told !== step) way.onProgress({ step, url });
    told = step;
  };
  for (;;) {
    const attempt = await patiently(() => attemptNow(session, id, way.signal), way.signal);
    if (attempt.state === 'succeeded') return;
    if (attempt.state === 'failed') throw new ConnectFailed(attempt.reason, attempt.detail);
    if (attempt.state === 'expired') throw new ConnectFailed('expired', 'The sign-in took too long.');
    if (attempt.state === 'exchanging') tell('connecting');
    else if (way.window.popup?.closed && ++closed > 3) tell('window-closed');
    await pause(ATTEMPT_POLL_MS, way.signal);
  }
}

/** @param {Session} session @param {string} id @param {AbortSignal | undefined} signal */
async function attemptNow(session, id, signal) {
  try {
    return await session.call('GET', `/v1/connection/attempts/${id}`, { signal });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'attempt_not_found') throw error;
    throw new ConnectFailed('helper_restarted', 'upstash-helper was restarted during the sign-in.');
  }
}

// --- what a page calls -----------------------------------------------------------------------------------------------

/**
 * Whether the helper is there. The browser may ask the user first whether the page may reach this device; `ask: false`
 * answers false instead.
 * @param {{timeout?: number, url?: string, ask?: boolean}} [options] timeout in milliseconds
 * @returns {Promise<boolean>}
 */
export async function isHelperRunning({ timeout = 3000, url, ask = true } = {}) {
  const urls = addresses(url);
  if (!ask && mayBePrompted() && await networkPermission() === 'prompt') return false;
  try {
    await seek(urls, defaultStorage(), { signal: AbortSignal.timeout(timeout) });
    return true;
  } catch {
    return false;
  }
}

/**
 * Let the page in and connect the user's account, whatever of that is left to do, and return the client. Call it from a
 * click: browsers open windows then only.
 * @param {object} options see connect.d.ts
 * @param {string} options.name
 * @param {string | readonly string[]} [options.scopes]
 * @param {string} [options.reason]
 * @param {(code: {userCode: string, expiresAt: Date}) => void} [options.onCode]
 * @param {(progress: Progress) => void} [options.onProgress]
 * @param {(url: string) => void} [options.onPopupBlocked]
 * @param {(url: string) => unknown} [options.open]
 * @param {AbortSignal} [options.signal]
 * @param {Storage_} [options.storage]
 * @param {string} [options.url]
 * @param {boolean} [options.bridge]
 * @returns {Promise<UpstashClient>}
 */
export async function connectUpstash(options) {
  const urls = addresses(options.url);
  const storage = options.storage ?? defaultStorage();
  const scopes = wished(options.scopes);
  const window_ = new SignInWindow(options.open);
  const { signal, onProgress = () => {}, onCode = () => {}, onPopupBlocked } = options;
  /** @type {Way} */
  const way = { window: window_, signal, onProgress, onCode, onPopupBlocked };
  throwIfAborted(signal);
  // Before anything is awaited, since its window needs the click.
  const bridge = options.bridge || blocksMixedContent() ? bridgeTo(urls, storage) : null;
  onProgress({ step: 'checking' });
  try {
    const url = bridge ? await crossed(bridge, signal) : await seek(urls, storage, way);
    const session = new Session({ url, storage, isFound: urls.length > 1, bridge });
    await session.load();
    const known = await session.greet(way) && covers(session.kept, scopes);
    if (!known) {
      if (!bridge) window_.prepare();
      await pair(session, { name: options.name, scopes, reason: options.reason ?? '' }, way);
    }
    const connection = await connectAccount(session, way);
    onProgress({ step: 'connected', email: connection?.account?.email ?? null });
    return new UpstashClient(session);
  } catch (error) {
    if (!window_.hasGone || !(error instanceof ConnectFailed) || STALE.has(error.reason)) window_.close();
    throw error;
  }
}

/**
 * The client, if the page has been let in before and still is; else null. Nobody is asked for anything.
 * @param {{storage?: Storage_, url?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<UpstashClient | null>}
 */
export async function resumeUpstash({ storage = defaultStorage(), url, signal } = {}) {
  const urls = addresses(url);
  const sessions = urls.map((at) => new Session({ url: at, storage, isFound: urls.length > 1 }));
  await Promise.all(sessions.map((session) => session.load()));
  if (blocksMixedContent() || !sessions.some((session) => session.kept)) return null;
  const found = await seek(urls, storage, { signal });
  const session = sessions.find((one) => one.url === found);
  return session && await session.greet({ signal }) ? new UpstashClient(session) : null;
}

/** @param {Bridge} bridge @param {AbortSignal | undefined} signal @returns {Promise<string>} its address */
async function crossed(bridge, signal) {
  try {
    await bridge.open(signal);
  } catch (error) {
    if (error instanceof HelperNotRunning) lostBridges += 1;
    throw error;
  }
  lostBridges = 0;
  return bridge.url;
}

/** @param {string | readonly string[] | undefined} scopes @returns {string[]} */
function wished(scopes = DEFAULT_SCOPES) {
  const named = typeof scopes === 'string' ? scopes.split(/[\s,]+/).filter(Boolean) : scopes;
  return [...new Set([...NEEDED_SCOPES, ...(named.length ? named : DEFAULT_SCOPES)])];
}

/** Whether all this was asked for before: what the user refused then is not asked for again. */
function covers(/** @type {Kept | null} */ kept, /** @type {string[]} */ scopes) {
  return kept !== null && scopes.every((scope) => kept.wished.includes(scope));
}

/** The sessions of clients, for the element. @type {WeakMap<UpstashClient, Session>} */
const SESSIONS = new WeakMap();

/** What `connectUpstash` returns: the user's account, as far as the user lets this page. */
export class UpstashClient {
  /** @type {Session} */
  #session;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    SESSIONS.set(this, session);
    this.databases = new Databases(session);
  }

  /** What the user granted, which may be less than was asked for. */
  get scopes() {
    return [...this.#session.kept?.scopes ?? []];
  }

  /** What the connection to the account is. @param {{signal?: AbortSignal}} [options] */
  connection(options) {
    return this.#session.call('GET', '/v1/connection', options);
  }

  /**
   * Connect an account where none is, or no longer; from a click, as `connectUpstash`.
   * @param {Partial<Way> & {open?: (url: string) => unknown}} [options]
   */
  async connect({ open, signal, onProgress = () => {}, onPopupBlocked } = {}) {
    const window_ = new SignInWindow(open);
    return connectAccount(this.#session, { window: window_, signal, onProgress, onCode: () => {}, onPopupBlocked });
  }

  /** The regions that a database can be made in. @param {{signal?: AbortSignal}} [options] */
  async regions(options) {
    return (await this.#session.call('GET', '/v1/regions', options)).regions;
  }

  /**
   * Follow what happens, until the signal says stop. What breaks is resumed where it broke.
   * @param {(event: {type: string, data: any, id: string}) => void} callback
   * @param {{signal?: AbortSignal, lastEventId?: string}} [options]
   */
  async events(callback, { signal, lastEventId = '' } = {}) {
    const place = { id: lastEventId };
    while (!signal?.aborted) {
      try {
        await follow(this.#session, callback, place, signal);
      } catch (error) {
        if (signal?.aborted && !(error instanceof TokenRevoked)) return;
        const passes = error instanceof HelperNotRunning || error instanceof AnswerLost || error instanceof TypeError
          || (error instanceof ApiError && error.status === 429);
        if (!passes) throw error;
      }
      await pause(1000, signal).catch(() => {});
    }
  }

  /** What the page's token is: the app's id, identity, scopes and end. @param {{signal?: AbortSignal}} [options] */
  token(options) {
    return this.#session.call('GET', '/v1/token', options);
  }

  /** Take a new token in place of the old one. */
  async rotate() {
    const wished_ = this.#session.kept?.wished ?? [];
    const given = await this.#session.call('POST', '/v1/token/rotate');
    await this.#session.keep({ token: given.token, wished: wished_, scopes: given.scopes });
  }

  /** Give the token up. The account stays connected, for others. */
  async signOut() {
    try {
      if (this.#session.kept) await this.#session.call('DELETE', '/v1/token');
    } catch (error) {
      if (!(error instanceof TokenRevoked)) throw error;
    } finally {
      await this.#session.forget();
    }
  }
}

/** The databases of the account. Fields are named as in the API: `primary_region`, `rest_url`. */
class Databases {
  /** @type {Session} */
  #session;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  /** All of them, by name. @param {{refresh?: boolean, signal?: AbortSignal}} [options] */
  async list({ refresh = false, signal } = {}) {
    const found = [];
    const query = new URLSearchParams({ page_size: '200', ...(refresh && { refresh: 'true' }) });
    for (;;) {
      const page = await this.#read(`/v1/databases?${query}`, signal);
      found.push(...page.databases);
      if (!page.next_page_token) return found;
      query.set('page_token', page.next_page_token);
      query.delete('refresh');
    }
  }

  /**
   * Make one. Where the answer is lost it is asked for again with the same key, so that there is never a second one.
   * @param {{name: string, primary_region: string}} wanted
   * @param {{idempotencyKey?: string, signal?: AbortSignal}} [options]
   */
  async create(wanted, { idempotencyKey = newKey(), signal } = {}) {
    const headers = { 'idempotency-key': idempotencyKey };
    for (let wait = 500; ; wait *= 2) {
      try {
        return await this.#session.call('POST', '/v1/databases', { body: wanted, headers, signal });
      } catch (error) {
        const passes = error instanceof AnswerLost || error instanceof HelperNotRunning
          || (error instanceof ApiError && error.code === 'request_in_progress');
        if (!passes || wait > 8_000) throw error;
      }
      await pause(wait, signal);
    }
  }

  /** @param {string} id @param {{signal?: AbortSignal}} [options] */
  get(id, { signal } = {}) {
    return this.#read(one(id), signal);
  }

  /** @param {string} id @param {object} changes @param {{ifMatch?: string, signal?: AbortSignal}} [options] */
  change(id, changes, { ifMatch, signal } = {}) {
    return this.#session.call('PATCH', one(id), { body: changes, headers: matching(ifMatch), signal });
  }

  /** @param {string} id @param {{ifMatch?: string, signal?: AbortSignal}} [options] */
  delete(id, { ifMatch, signal } = {}) {
    return this.#session.call('DELETE', one(id), { headers: matching(ifMatch), signal });
  }

  /** URLs, tokens and password. They are secrets. @param {string} id @param {{signal?: AbortSignal}} [options] */
  credentials(id, { signal } = {}) {
    return this.#read(`${one(id)}/credentials`, signal);
  }

  /** The variables for a `.env` file. @param {string} id @param {{signal?: AbortSignal}} [options] */
  async env(id, options) {
    return (await this.credentials(id, options)).env;
  }

  /** Reading twice does no harm. @param {string} path @param {AbortSignal | undefined} signal */
  async #read(path, signal) {
    try {
      return await this.#session.call('GET', path, { signal });
    } catch (error) {
      if (error instanceof AnswerLost) return this.#session.call('GET', path, { signal });
      throw error;
    }
  }
}

/** @param {string} id */
function one(id) {
  return `/v1/databases/${encodeURIComponent(id)}`;
}

/** @param {string | undefined} etag @returns {Record<string, string>} */
function matching(etag) {
  return etag ? { 'if-match': etag } : {};
}

/** Not randomUUID, which pages without TLS do not have. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param {Session} session @param {(event: {type: string, data: any, id: string}) => void} callback
 * @param {{id: string}} place @param {AbortSignal | undefined} signal
 */
async function follow(session, callback, place, signal) {
  /** @type {Record<string, string>} */
  const headers = place.id ? { 'last-event-id': place.id } : {};
  const response = await session.request('GET', '/v1/events', { headers, signal, timeout: Infinity });
  for await (const event of serverSentEvents(response.body)) {
    if (event.id) place.id = event.id;
    if (event.type === 'bye') return;
    if (event.type === 'revoked') {
      await session.forget();
      throw new TokenRevoked();
    }
    callback(event);
  }
}

/**
 * Read a stream of events (HTML standard, section 9.2.6).
 * @param {ReadableStream<Uint8Array> | null} body
 * @returns {AsyncGenerator<{type: string, data: any, id: string}>}
 */
export async function* serverSentEvents(body) {
  if (!body) return;
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  try {
    let text = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = readEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} block */
function readEvent(block) {
  const found = { type: 'message', data: '', id: '' };
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (field === 'data') found.data += (found.data && '\n') + value;
    else if (field === 'event') found.type = value;
    else if (field === 'id') found.id = value;
  }
  return found.data ? { ...found, data: JSON.parse(found.data) } : null;
}

// --- the button ------------------------------------------------------------------------------------------------------

const WAITING_CSS = `
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; box-sizing: border-box; padding: 1.5rem;
    background: light-dark(#f6f7f8, #101513); color: light-dark(#17211d, #e8eeeb);
    font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; text-align: center; }
  h1 { margin: 0 0 1.5rem; font-size: 1.375rem; line-height: 1.25; letter-spacing: -.01em; text-wrap: balance; }
  p { margin: 0; color: light-dark(#56635d, #9fb0a8); text-wrap: pretty; }
  .step { margin-bottom: .75rem; font-size: .875rem; }
  .code { margin: .5rem 0 1.5rem; font: 600 2rem/1.2 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; color: light-dark(#17211d, #e8eeeb); }
  .quiet { font-size: .875rem; }
`;

const ELEMENT_CSS = `
  :host {
    --_accent: var(--upstash-accent, light-dark(#00875a, #2fd196));
    --_on-accent: var(--upstash-on-accent, light-dark(#ffffff, #06231a));
    --_text: var(--upstash-text, light-dark(#17211d, #e8eeeb));
    --_quiet: var(--upstash-quiet, light-dark(#56635d, #9fb0a8));
    --_card: var(--upstash-card, light-dark(#ffffff, #181f1c));
    --_line: var(--upstash-line, light-dark(#dbe2de, #2f3a35));
    --_well: var(--upstash-well, light-dark(#f3f6f4, #101513));
    --_bad: var(--upstash-bad, light-dark(#b3402e, #ff8f7a));
    --_radius: var(--upstash-radius, .625rem);
    display: inline-block; max-width: 100%; vertical-align: middle; color: var(--_text); text-align: start;
    font: 1rem/1.5 var(--upstash-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
  }
  :host([hidden]) { display: none; }
  * { box-sizing: border-box; }
  :where(button, .button) { display: inline-flex; align-items: center; justify-content: center; gap: .625rem;
    min-height: 2.75rem; padding: .5rem 1.125rem; border: 1px solid transparent; border-radius: var(--_radius);
    font: inherit; font-weight: 600; text-decoration: none; white-space: nowrap;
    cursor: pointer; transition: filter .15s, background .15s; }
  .primary { background: var(--_accent); color: var(--_on-accent); }
  .primary:hover { filter: brightness(1.08); }
  .primary:active { filter: brightness(.95); }
  .plain { background: transparent; color: var(--_text); border-color: var(--_line); }
  .plain:hover { background: var(--_well); }
  .link { min-height: 2rem; padding: .25rem .5rem; margin-inline-end: -.5rem; background: none; color: var(--_quiet);
    font-weight: 500; font-size: .875rem; }
  .link:hover { color: var(--_text); background: var(--_well); }
  :focus-visible { outline: .1875rem solid color-mix(in srgb, var(--_accent) 55%, transparent); outline-offset: 2px; }
  svg { flex: none; width: 1.25rem; height: 1.25rem; }
  .card { width: 25rem; max-width: 100%; padding: 1.25rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: calc(var(--_radius) * 1.5); }
  .head { display: flex; gap: .75rem; align-items: flex-start; }
  .head > div { flex: 1; min-width: 0; }
  .head svg, .head .spin { margin-top: .125rem; }
  .title { margin: 0; font-size: 1rem; font-weight: 600; line-height: 1.5; text-wrap: balance; }
  .text { margin: .25rem 0 0; color: var(--_quiet); font-size: .9375rem; text-wrap: pretty; overflow-wrap: anywhere; }
  .code { margin: 1rem 0 0; padding: .75rem; text-align: center; background: var(--_well);
    border-radius: var(--_radius); font: 600 1.625rem/1.3 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; }
  .command { display: block; margin: .75rem 0 0; padding: .5rem .75rem; background: var(--_well);
    border-radius: var(--_radius); font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    overflow-wrap: anywhere; }
  .actions { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: 1rem; }
  .chip { display: flex; align-items: center; gap: .625rem; min-height: 2.75rem; max-width: 100%;
    padding: .375rem .75rem .375rem .875rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: var(--_radius); }
  .who { min-width: 0; line-height: 1.35; overflow-wrap: anywhere; }
  .good { color: var(--_accent); } .bad { color: var(--_bad); }
  .spin { flex: none; width: 1.25rem; height: 1.25rem; border: .1875rem solid var(--_line);
    border-top-color: var(--_accent); border-radius: 50%; animation: turn 1s linear infinite; }
  .card:focus { outline: none; }
  .aside { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
    white-space: nowrap; }
  @keyframes turn { to { transform: rotate(1turn); } }
  @media (prefers-reduced-motion: reduce) { .spin { animation-duration: 4s; } button { transition: none; } }
`;

const ICONS = {
  mark: ['M5 6v7a7 7 0 0 0 14 0V6', 'M12 7.5v.01'],
  done: ['M4.5 12.5l5 5 10-11'],
  trouble: ['M12 7v6', 'M12 17v.01', 'M12 2.5a9.5 9.5 0 1 1 0 19 9.5 9.5 0 0 1 0-19z'],
};

/** @param {'mark' | 'done' | 'trouble'} name @param {string} [look] */
function icon(name, look = '') {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const style = {
    viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': name === 'trouble' ? '2' : '2.75',
    'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true', class: look,
  };
  for (const [key, value] of Object.entries(style)) svg.setAttribute(key, value);
  for (const d of ICONS[name]) svg.appendChild(document.createElementNS(space, 'path')).setAttribute('d', d);
  return svg;
}

/** @param {string} name @param {Record<string, any>} attributes @param {...(Node | string | null)} children */
function h(name, attributes, ...children) {
  return make(document, name, attributes, ...children);
}

/** Of which states the element is: see `state`. What is not here is drawn as an error. */
const WORDS = {
  checking: ['Looking for upstash-helper', 'It keeps your Upstash account on this computer.'],
  permission: ['Your browser asks about this page',
    'Choose Allow, so that it may reach upstash-helper on this device.'],
  approval: ['Approve this page in upstash-helper', 'Use its dashboard, its tray icon or “upstash-helper approvals '
    + 'approve”. It shows the same code:'],
  'sign-in': ['Sign in to Upstash', 'A window has opened for it. This page goes on by itself.'],
  'sign-in-bridge': ['Sign in to Upstash', 'The button for it is in the window of upstash-helper. Leave that open.'],
  'sign-in-link': ['Sign in to Upstash', 'Your browser did not open the window by itself.'],
  'window-closed': ['Have you finished signing in?',
    'The window seems to be closed. If you are not done, open it again.'],
  connecting: ['Connecting your account', 'Upstash has signed you in. Your key is being stored on this computer.'],
};

const ElementBase = globalThis.HTMLElement ?? class {};

/**
 * `<upstash-connect name="Orders" scopes="databases:read databases:write">`: the button, and what comes after it.
 *
 * Attributes: `name`, `scopes`, `reason`, `label`, `help-url` (how your users get the helper), `url`, `bridge`.
 * Properties: `client`, `state` (also an attribute, for styles), `error`, `storage`. Events: `upstash-connected` with
 * `detail.client` and `detail.email`, `upstash-error` with `detail.error`, `upstash-signed-out`. Looks: the custom
 * properties `--upstash-accent`, `-on-accent`, `-text`, `-quiet`, `-card`, `-line`, `-well`, `-bad`, `-radius` and
 * `-font`; light or dark as the page's own `color-scheme`.
 */
export class UpstashConnectElement extends ElementBase {
  /** @type {UpstashClient | null} */
  client = null;
  /** @type {UpstashHelperError | null} */
  error = null;
  /** @type {Storage_ | undefined} */
  storage = undefined;
  /** @type {AbortController | null} */
  #run = null;
  /** @type {Progress} */
  #progress = { step: 'idle' };
  /** @type {HTMLElement} */
  #stage;
  /** @type {HTMLElement} */
  #said;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(ELEMENT_CSS);
    this.#stage = h('div', {});
    this.#said = h('div', { class: 'aside', role: 'status', 'aria-live': 'polite' });
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#stage, this.#said);
  }

  connectedCallback() {
    this.#show(this.#progress);
    if (!this.client && !this.#run) this.#resume();
  }

  disconnectedCallback() {
    this.#run?.abort();
  }

  /** What is going on: `idle`, `checking`, `permission`, `approval`, `sign-in`, `connected`, `missing`, `error`, … */
  get state() {
    return this.#progress.step;
  }

  /** As a click on the button. */
  async connect() {
    if (this.#run) return;
    const run = new AbortController();
    this.#run = run;
    this.error = null;
    const onProgress = (/** @type {Progress} */ progress) => {
      if (this.#run === run) this.#show(progress);
    };
    try {
      const client = await connectUpstash({
        ...this.#options, signal: run.signal, onProgress,
        onPopupBlocked: (url) => onProgress({ step: 'sign-in-link', url }),
      });
      if (this.#run === run) this.#take(client, this.#progress.email ?? null);
    } catch (error) {
      if (this.#run === run) this.#fail(error);
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** Give it up, whatever is under way. */
  cancel() {
    const run = this.#run;
    this.#run = null;
    this.#show({ step: 'idle' });
    run?.abort();
  }

  /** Give the page's token back. */
  async signOut() {
    await this.client?.signOut();
  }

  get #options() {
    const given = (/** @type {string} */ name) => this.getAttribute(name) ?? undefined;
    return {
      name: given('name') || document.title || location.host, scopes: given('scopes'), reason: given('reason'),
      url: given('url'), bridge: this.hasAttribute('bridge'), storage: this.storage,
    };
  }

  /** Who was let in before sees at once that it still is. */
  async #resume() {
    try {
      const { url, storage, bridge } = this.#options;
      const client = bridge ? null : await resumeUpstash({ url, storage });
      if (!client || this.#run || !this.isConnected) return;
      const connection = client.scopes.includes('connection:read') ? await client.connection() : null;
      if (this.#run || (connection && connection.state !== 'connected')) return;
      const email = connection?.account?.email ?? null;
      this.#take(client, email);
    } catch {
      // The helper is not there, say. That is told to those who want to connect.
    }
  }

  /** @param {UpstashClient} client @param {string | null} email */
  #take(client, email) {
    this.client = client;
    const session = SESSIONS.get(client);
    if (session) session.onForgotten = () => this.#drop(client);
    this.#show({ step: 'connected', email });
    this.#tell('upstash-connected', { client, email });
  }

  /** Its token is good no longer: given back, or taken. @param {UpstashClient} client */
  #drop(client) {
    if (this.client !== client) return;
    this.client = null;
    this.#show({ step: 'idle' });
    this.#tell('upstash-signed-out', {});
  }

  /** @param {unknown} error */
  #fail(error) {
    if (error instanceof Aborted) {
      this.#show({ step: 'idle' });
      return;
    }
    this.error = error instanceof UpstashHelperError ? error
      : new UpstashHelperError('unexpected', 'Something went wrong.', String(error), { cause: error });
    this.#show({ step: error instanceof HelperNotRunning ? 'missing' : 'error' });
    this.#tell('upstash-error', { error: this.error });
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** @param {Progress} progress */
  #show(progress) {
    this.#progress = progress;
    this.setAttribute('state', progress.step);
    const hadFocus = this.shadowRoot?.activeElement != null;
    this.#stage.replaceChildren(this.#drawn(progress));
    this.#said.textContent = this.#spoken(progress);
    if (hadFocus) /** @type {HTMLElement | null} */ (this.#stage.querySelector('[data-first]'))?.focus();
  }

  /** @param {Progress} progress @returns {HTMLElement} */
  #drawn(progress) {
    switch (progress.step) {
      case 'idle': {
        return h('button', { type: 'button', class: 'primary', 'data-first': '', click: () => this.connect() },
          icon('mark'), this.getAttribute('label') ?? 'Connect Upstash');
      }
      case 'connected': {
        const who = progress.email ? ` as ${progress.email}` : '';
        return h('div', { class: 'chip' }, icon('done', 'good'),
          h('span', { class: 'who' }, `Connected${who}`),
          h('button', { type: 'button', class: 'link', 'data-first': '', click: () => this.signOut().catch(() => {}) },
            'Sign out'));
      }
      case 'missing':
      case 'error': {
        return this.#trouble();
      }
      default: {
        return this.#busy(progress);
      }
    }
  }

  /** @param {Progress} progress */
  #busy({ step, userCode, url }) {
    const [title, text] = WORDS[/** @type {keyof typeof WORDS} */ (step)] ?? [step, ''];
    const again = step === 'sign-in-link' || step === 'window-closed';
    return card(h('span', { class: 'spin', 'aria-hidden': 'true' }), title, text,
      userCode ? h('p', { class: 'code' }, userCode) : null,
      h('div', { class: 'actions' },
        again ? h('a', { class: 'button primary', href: url, target: '_blank', rel: 'noopener noreferrer' },
          step === 'sign-in-link' ? 'Sign in to Upstash' : 'Open it again') : null,
        h('button', { type: 'button', class: 'plain', click: () => this.cancel() }, 'Cancel')));
  }

  #trouble() {
    const missing = this.error instanceof HelperNotRunning;
    const help = this.getAttribute('help-url');
    const [title, text] = this.error instanceof HelperNotRunning && this.error.next
      ? ['upstash-helper does not answer', this.error.help]
      : missing
      ? ['upstash-helper is not running', 'It keeps your Upstash account on this computer, so that pages never see its '
        + 'key. Start it in a terminal:']
      : [this.error?.message ?? '', this.error?.help ?? ''];
    return card(icon('trouble', 'bad'), title, text,
      missing ? h('code', { class: 'command' }, 'upstash-helper start') : null,
      h('div', { class: 'actions' },
        h('button', { type: 'button', class: 'primary', click: () => this.connect() }, 'Try again'),
        missing && help
          ? h('a', { class: 'button plain', href: help, target: '_blank', rel: 'noopener' }, 'How to get it') : null,
        missing ? null : h('button', { type: 'button', class: 'plain', click: () => this.cancel() }, 'Dismiss')));
  }

  /** For who cannot see it. @param {Progress} progress */
  #spoken({ step, userCode, email }) {
    if (step === 'idle') return '';
    if (step === 'connected') return email ? `Connected as ${email}` : 'Connected';
    if (step === 'missing') return 'upstash-helper is not running.';
    if (step === 'error') return `${this.error?.message} ${this.error?.help}`;
    const words = (WORDS[/** @type {keyof typeof WORDS} */ (step)] ?? []).join('. ');
    return userCode ? `${words} ${userCode}` : words;
  }
}

/** @param {Element} sign @param {string} title @param {string} text @param {...(Node | null)} more */
function card(sign, title, text, ...more) {
  return h('div', { class: 'card', role: 'group', 'aria-label': title, tabindex: '-1', 'data-first': '' },
    h('div', { class: 'head' }, sign,
      h('div', {}, h('p', { class: 'title' }, title), text ? h('p', { class: 'text' }, text) : null)),
    ...more);
}

if (globalThis.customElements && !customElements.get('upstash-connect')) {
  customElements.define('upstash-connect', /** @type {any} */ (UpstashConnectElement));
}
