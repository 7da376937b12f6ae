/** The dashboard's store. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../../daemon/upstash_helper/web/dashboard/store.js";
import { Helper, refused } from "../support/helper.js";
import { inPage } from "../support/page.js";

test("entries are loaded, and dispatch an event when they change", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/apps", { json: { apps: [] } }).on("GET /v1/regions", { json: { regions: [] } });
  inPage(t, helper);
  const store = new Store();
  const stop = new AbortController();
  /** @type {[unknown, boolean][]} */
  const shown = [];
  store.watch(["apps"], () => shown.push([store.get("apps").data, store.get("apps").loading]), stop.signal);

  await store.load("apps", "regions");
  stop.abort();
  await store.load("apps");

  assert.deepEqual(shown, [
    [null, false],
    [null, true],
    [[], false],
  ]);
  assert.deepEqual(store.get("regions").data, []);
});

test("all pages of the databases are loaded", async (t) => {
  const helper = await Helper.start(t);
  helper.on(
    "GET /v1/databases",
    { json: { databases: [{ id: "1" }], next_page_token: "a&b" } },
    { json: { databases: [{ id: "2" }] } },
  );
  inPage(t, helper);
  const store = new Store();

  await store.load("databases");

  assert.deepEqual(
    store.get("databases").data?.map(({ id }) => id),
    ["1", "2"],
  );
  assert.deepEqual(
    helper.requests.map(({ path }) => path),
    ["/v1/databases?page_size=200", "/v1/databases?page_size=200&page_token=a%26b"],
  );
});

test("an entry that cannot be loaded has the error and keeps its data", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/connection", { json: { state: "connected" } }, refused(503, "ledger_unavailable"));
  inPage(t, helper);
  const store = new Store();

  await store.load("connection");
  await store.load("connection");

  const { data, error, loading } = store.get("connection");
  assert.equal(data?.state, "connected");
  assert.match(String(error), /ledger_unavailable/);
  assert.equal(loading, false);
});

test("a response that is older than an event is dropped", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/connection", { json: { state: "disconnected" }, delay: 50 });
  inPage(t, helper);
  const store = new Store();

  const loaded = store.load("connection");
  store.set("connection", { state: "connected" });
  await loaded;

  assert.equal(store.get("connection").data?.state, "connected");
});

test("the response to the later of two requests counts", async (t) => {
  const helper = await Helper.start(t);
  helper.on(
    "GET /v1/connection",
    { json: { state: "connecting" }, delay: 100 },
    { json: { state: "connected" }, delay: 1 },
  );
  inPage(t, helper);
  const store = new Store();

  const first = store.load("connection");
  // The second request goes out once the first has arrived.
  while (helper.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await store.load("connection");
  await first;

  assert.equal(store.get("connection").data?.state, "connected");
});
