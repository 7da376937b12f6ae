/** The bridge. Its window is replaced by the other end of the message channel. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge, bridgeTo, cross } from "../../../daemon/upstash_helper/web/connect/bridge.js";
import {
  BridgeClosed,
  HelperNotRunning,
  MixedContentBlocked,
  PopupBlocked,
} from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Session } from "../../../daemon/upstash_helper/web/connect/session.js";
import { memory, prove, withGlobals } from "../support/helper.js";

/** @import { TestContext } from "node:test" */

const URL = "http://localhost:3000";
const ORIGIN = "http://3f9ac0d2e8b14a77.upstash-helper.localhost:3000";

/** A window that shows the bridge's page, as the page that opened it sees it. */
class BridgeWindow {
  closed = false;
  /** @type {[string, string][]} */
  offers = [];
  /** @type {any[]} */
  received = [];
  /** @type {MessagePort | undefined} */
  port;
  /** Every channel that was offered. In Node, an open one keeps the process alive. @type {MessagePort[]} */
  ports = [];

  /** The page that has opened it. */
  page = new EventTarget();

  /**
   * @param {TestContext} test
   * @param {string[]} [loaded] The origins of the pages that it loads, one after the other.
   */
  constructor(test, loaded = [ORIGIN]) {
    this.loaded = loaded;
    test.after(() => {
      for (const port of this.ports) port.close();
    });
  }

  /** What the page that opens it needs. */
  get globals() {
    const addEventListener = this.page.addEventListener.bind(this.page);
    return {
      open: () => this.opened(),
      addEventListener,
      removeEventListener: this.page.removeEventListener.bind(this.page),
    };
  }

  /** Load the pages. */
  opened() {
    for (const origin of this.loaded) setTimeout(() => this.says({ upstashHelper: "bridge-loaded" }, origin));
    return this;
  }

  /** @param {unknown} data @param {string} origin @param {unknown} [source] */
  says(data, origin, source = this) {
    this.page.dispatchEvent(Object.assign(new Event("message"), { data, origin, source }));
  }

  /** @param {any} message @param {string} origin @param {MessagePort[]} ports */
  postMessage(message, origin, [port]) {
    this.offers.push([message.upstashHelper, origin]);
    this.ports.push(port);
    if (this.port || origin !== this.loaded.at(-1)) return;
    this.port = port;
    port.onmessage = ({ data }) => this.received.push(data);
    port.postMessage({ ready: true });
  }

  close() {
    this.closed = true;
  }

  /** Send the complete response to a request. @param {number} id @param {unknown} json */
  answer(id, json) {
    this.port?.postMessage({ id, head: { status: 200, headers: [] } });
    this.port?.postMessage({ id, chunk: new TextEncoder().encode(JSON.stringify(json)) });
    this.port?.postMessage({ id, end: true });
  }

  /** Wait for the page's next message. */
  async next() {
    for (;;) {
      const message = this.received.shift();
      if (message) return message;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/**
 * @param {TestContext} t
 * @param {BridgeWindow} [shown]
 */
async function opened(t, shown = new BridgeWindow(t)) {
  withGlobals(t, shown.globals);
  const bridge = new Bridge(URL);
  t.after(() => bridge.close());
  await bridge.open();
  return { bridge, shown };
}

test("the window is opened at the helper's own site, and its page is offered a channel", async (t) => {
  /** @type {unknown[][]} */
  const calls = [];
  const shown = new BridgeWindow(t);
  const open = (/** @type {unknown[]} */ ...args) => {
    calls.push(args);
    return shown.opened();
  };
  withGlobals(t, { ...shown.globals, open });
  const bridge = new Bridge(URL);
  t.after(() => bridge.close());

  await bridge.open();

  assert.deepEqual(calls[0].slice(0, 2), ["http://upstash-helper.localhost:3000/bridge", "upstash-helper-bridge"]);
  assert.deepEqual(shown.offers, [["bridge", ORIGIN]]);
});

test("T56: no other origin is offered a channel", async (t) => {
  const others = [
    "http://localhost:3000",
    "http://upstash-helper.localhost:3000",
    "http://3f9ac0d2e8b14a77.upstash-helper.localhost:3001",
    "http://3f9ac0d2e8b14a77.upstash-helper.localhost",
    "http://3f9ac0d2e8b14a77.localhost:3000",
    "http://3f9ac0d2e8b14a77.upstash-helper.localhost.evil.example:3000",
    "https://3f9ac0d2e8b14a77.upstash-helper.localhost:3000",
    "https://evil.example",
    "null",
  ];
  const shown = new BridgeWindow(t, [...others, ORIGIN]);
  withGlobals(t, shown.globals);
  const bridge = new Bridge(URL);
  t.after(() => bridge.close());
  shown.says({ upstashHelper: "bridge-loaded" }, ORIGIN, {});
  shown.says({ upstashHelper: "hello" }, ORIGIN);
  shown.says(null, ORIGIN);

  await bridge.open();

  assert.deepEqual(shown.offers, [["bridge", ORIGIN]]);
});

test("a request is relayed, and its response arrives in parts", async (t) => {
  const { bridge, shown } = await opened(t);

  const answered = bridge.send("/v1/databases", { method: "POST", headers: { "If-Match": "1" }, body: "{}" });
  const { id, ...request } = await shown.next();
  const answer = (/** @type {object} */ part) => shown.port?.postMessage({ id, ...part });
  answer({ head: { status: 201, headers: [["content-type", "application/json"]] } });
  const response = await answered;
  answer({ chunk: new TextEncoder().encode('{"id": ') });
  answer({ chunk: new TextEncoder().encode('"1"}') });
  answer({ end: true });

  assert.deepEqual(request, { method: "POST", path: "/v1/databases", headers: [["if-match", "1"]], body: "{}" });
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), { id: "1" });
});

test("responses are matched to their requests in any order", async (t) => {
  const { bridge, shown } = await opened(t);
  const [first, second] = [bridge.send("/v1/a", {}), bridge.send("/v1/b", {})];
  const [a, b] = [await shown.next(), await shown.next()];

  for (const { id, path } of [b, a]) {
    shown.port?.postMessage({ id, head: { status: 200, headers: [["x-path", path]] } });
    shown.port?.postMessage({ id, end: true });
  }

  assert.equal((await first).headers.get("x-path"), "/v1/a");
  assert.equal((await second).headers.get("x-path"), "/v1/b");
});

test("a response without a body has none", async (t) => {
  const { bridge, shown } = await opened(t);
  const answered = bridge.send("/v1/token", { method: "DELETE" });
  const { id } = await shown.next();
  shown.port?.postMessage({ id, head: { status: 204, headers: [] } });

  assert.equal((await answered).body, null);
});

test("a request that fails or is interrupted is an error", async (t) => {
  const { bridge, shown } = await opened(t);

  const failed = bridge.send("/v1/a", {});
  shown.port?.postMessage({ id: (await shown.next()).id, failed: true });
  await assert.rejects(failed, TypeError);

  const broken = bridge.send("/v1/b", {});
  const { id } = await shown.next();
  shown.port?.postMessage({ id, head: { status: 200, headers: [] } });
  const response = await broken;
  shown.port?.postMessage({ id, failed: true });
  await assert.rejects(response.text(), TypeError);
});

test("aborting a request also stops it in the window", async (t) => {
  const { bridge, shown } = await opened(t);
  const abort = new AbortController();

  const answered = bridge.send("/v1/events", { signal: abort.signal });
  const { id } = await shown.next();
  abort.abort(new Error("enough"));

  await assert.rejects(answered, /enough/);
  assert.deepEqual(await shown.next(), { id, abort: true });
});

test("a window that reports its end ends all requests and accepts no more", async (t) => {
  const { bridge, shown } = await opened(t);
  const answered = bridge.send("/v1/events", {});
  await shown.next();

  shown.port?.postMessage({ closed: true });

  await assert.rejects(answered, BridgeClosed);
  await assert.rejects(bridge.send("/v1/events", {}), BridgeClosed);
});

test("a closed window ends the bridge", async (t) => {
  const { bridge, shown } = await opened(t);
  const answered = bridge.send("/v1/events", {});

  shown.closed = true;

  await assert.rejects(answered, BridgeClosed);
});

test("a session's calls can go over a bridge, to a helper that knows the token", async (t) => {
  const { bridge, shown } = await opened(t);
  const session = new Session({ url: URL, storage: memory(), bridge });

  const called = session.call("GET", "/v1/connection", { token: "uha_secret" });
  const challenge = await shown.next();
  const query = new URLSearchParams(challenge.path.split("?")[1]);
  shown.answer(challenge.id, { proof: prove(["uha_secret"], ORIGIN.slice("http://".length), query) });
  const { id, headers } = await shown.next();
  shown.answer(id, { state: "connected" });

  assert.deepEqual(await called, { state: "connected" });
  assert.deepEqual(challenge.headers, []);
  assert.deepEqual(headers, [["authorization", "Bearer uha_secret"]]);
  assert.ok(session.isVerified);
});

test("T72: a window that imitates the bridge gets no token", async (t) => {
  const { bridge, shown } = await opened(t);
  const session = new Session({ url: URL, storage: memory(), bridge });

  const called = session.call("GET", "/v1/connection", { token: "uha_secret" });
  const challenge = await shown.next();
  shown.answer(challenge.id, { proof: "0".repeat(64) });

  await assert.rejects(called, HelperNotRunning);
  assert.deepEqual(shown.received, []);
});

test("a blocked window is an error with advice for the browser", (t) => {
  withGlobals(t, { open: () => null });
  assert.throws(() => new Bridge(URL), PopupBlocked);

  withGlobals(t, {
    location: new globalThis.URL("https://app.example/"),
    navigator: { vendor: "Apple Computer, Inc." },
  });
  assert.throws(() => new Bridge(URL), MixedContentBlocked);
});

test("each click tries one address, starting with the one that worked last", async (t) => {
  const urls = ["http://localhost:3000", "http://localhost:26300", "http://localhost:26301"];
  const storage = memory({ "upstash-helper:at": urls[1] });
  const dead = new BridgeWindow(t, []);
  withGlobals(t, dead.globals);
  t.mock.timers.enable({ apis: ["Date"], now: 0 });
  const tried = [];
  for (const _ of urls.slice(1)) {
    const bridge = bridgeTo(urls, storage);
    tried.push([bridge.url, bridge.next]);
    const crossed = cross(bridge, undefined);
    t.mock.timers.tick(8_001);
    await assert.rejects(crossed, (error) => {
      assert.ok(error instanceof HelperNotRunning);
      assert.equal(error.next, bridge.next);
      assert.match(error.help, /upstash-helper\.localhost cannot be found.*use Chrome, Edge, Firefox/);
      return true;
    });
  }

  assert.deepEqual(tried, [
    [urls[1], urls[0]],
    [urls[0], urls[2]],
  ]);
  assert.ok(dead.closed);

  const alive = new BridgeWindow(t, [ORIGIN.replace(":3000", ":26301")]);
  withGlobals(t, alive.globals);
  const bridge = bridgeTo(urls, storage);
  t.after(() => bridge.close());
  assert.equal(await cross(bridge, undefined), urls[2]);
  assert.equal(bridgeTo(urls, storage).url, urls[1]);
});
