/** The session: sending, storing, and deleting the token. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AnswerLost,
  ApiError,
  HelperNotRunning,
  HelperOutdated,
  PairingExpired,
  TokenRevoked,
} from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Session } from "../../../daemon/upstash_helper/web/connect/session.js";
import { Helper, memory, refused } from "../support/helper.js";

/** @import { TestContext } from "node:test" */

const STORED = { token: "uha_secret", requested: ["databases:read"], scopes: ["databases:read"] };

/** @param {TestContext} t */
async function connected(t) {
  const helper = await Helper.start(t);
  const storage = memory({ [`upstash-helper:${helper.url}`]: JSON.stringify(STORED) });
  const session = new Session({ url: helper.url, storage, isDiscovered: true });
  await session.load();
  return { helper, storage, session };
}

test("a call carries the token and JSON, and returns JSON", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("POST /v1/databases", { status: 201, json: { id: "1" } }).on("DELETE /v1/token", { status: 204 });

  const made = await session.call("POST", "/v1/databases", { body: { name: "orders" }, headers: { "x-a": "b" } });
  const nothing = await session.call("DELETE", "/v1/token");

  assert.deepEqual(made, { id: "1" });
  assert.equal(nothing, null);
  const [{ headers, body }] = helper.requests;
  assert.deepEqual(body, { name: "orders" });
  assert.equal(headers.authorization, "Bearer uha_secret");
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers["x-a"], "b");
});

test("a call may carry another token, or none", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/pairings/1", { json: {} });

  await session.call("GET", "/v1/pairings/1", { token: "poll" });
  await session.call("GET", "/v1/pairings/1", { token: null });

  assert.deepEqual(
    helper.requests.map(({ headers }) => headers.authorization),
    ["Bearer poll", undefined],
  );
});

test("without a token, no request is sent", async (t) => {
  const helper = await Helper.start(t);
  const session = new Session({ url: helper.url, storage: memory() });

  await assert.rejects(session.call("GET", "/v1/databases"), TokenRevoked);
  assert.deepEqual(helper.requests, []);
});

test("a token is stored for its address, which is tried first from then on", async (t) => {
  const helper = await Helper.start(t);
  const storage = memory();
  const session = new Session({ url: helper.url, storage, isDiscovered: true });

  await session.keep({ token: "uha_new", requested: ["databases:read"], scopes: [] });

  assert.deepEqual(JSON.parse(storage.items.get(`upstash-helper:${helper.url}`) ?? ""), session.stored);
  assert.equal(storage.items.get("upstash-helper:at"), helper.url);
  assert.ok(session.hasRequested(["databases:read"]));
  assert.ok(!session.hasRequested(["databases:read", "databases:delete"]));
  assert.ok(!session.has("databases:read"));
});

test("invalid stored data counts as no token", async () => {
  for (const text of ["", "{", "null", '{"token": 7}', "[]"]) {
    const storage = memory({ "upstash-helper:http://localhost:1": text });
    const session = new Session({ url: "http://localhost:1", storage });
    await session.load();

    assert.equal(session.stored, null, text);
  }
});

test("a token that an earlier version stored is still used", async () => {
  const wished = ["databases:read", "databases:delete"];
  const text = JSON.stringify({ token: "uha_old", wished, scopes: ["databases:read"] });
  const storage = memory({ "upstash-helper:http://localhost:1": text });
  const session = new Session({ url: "http://localhost:1", storage });
  await session.load();

  assert.equal(session.stored?.token, "uha_old");
  assert.ok(session.hasRequested(["databases:read", "databases:delete"]));
  assert.ok(!session.hasRequested(["databases:write"]));
});

test("a token that the helper rejects is deleted", async (t) => {
  const { helper, storage, session } = await connected(t);
  helper.on("GET /v1/token", refused(401, "invalid_token"));
  let forgotten = 0;
  session.onForgotten = () => {
    forgotten += 1;
  };

  await assert.rejects(session.call("GET", "/v1/token"), TokenRevoked);

  assert.equal(session.stored, null);
  assert.equal(storage.items.size, 0);
  assert.equal(forgotten, 1);
});

test("a rejected poll secret does not delete the token", async (t) => {
  const { helper, storage, session } = await connected(t);
  helper.on("GET /v1/pairings/1", refused(401, "invalid_token"));

  await assert.rejects(session.call("GET", "/v1/pairings/1", { token: "poll" }), TokenRevoked);

  assert.equal(storage.items.size, 1);
});

test("T79: a response that breaks off is an AnswerLost error, and not that of a parser", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("POST /v1/databases", { text: '{"id": "1', headers: { "content-type": "application/json" } });

  await assert.rejects(session.call("POST", "/v1/databases", { body: {} }), AnswerLost);
});

test("a lost response is an AnswerLost error if the helper is still running", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("POST /v1/databases", { lost: true }).on("GET /v1/token", { json: {} });

  await assert.rejects(session.call("POST", "/v1/databases", { body: {} }), AnswerLost);

  assert.equal(helper.challenges, 2);
  assert.notEqual(session.stored, null);
});

test("a page whose access was revoked gets TokenRevoked although it can read no other response", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/databases", () => {
    helper.tokens = [];
    return { lost: true };
  });

  await assert.rejects(session.call("GET", "/v1/databases"), TokenRevoked);

  assert.equal(session.stored, null);
});

test("a call that is under way when an event reports the revocation gets TokenRevoked", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("POST /v1/databases", () => {
    helper.tokens = [];
    void session.forget();
    return { lost: true };
  });

  await assert.rejects(session.call("POST", "/v1/databases", { body: {} }), TokenRevoked);

  assert.equal(helper.challenges, 1);
});

test("a call whose token is deleted before it is sent gets TokenRevoked", async (t) => {
  const { helper, session } = await connected(t);
  helper.tokens = [];

  const calls = await Promise.allSettled([session.call("GET", "/v1/databases"), session.call("GET", "/v1/regions")]);

  assert.deepEqual(
    calls.map((call) => call.status === "rejected" && call.reason.code),
    ["token_revoked", "token_revoked"],
  );
});

test("a call whose token is replaced before it is sent uses the new token", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/databases", () => {
    void session.keep({ requested: [], scopes: ["databases:read"], token: "uha_next" });
    helper.on("GET /v1/databases", { json: { databases: [] } });
    return refused(401, "invalid_token");
  });

  assert.deepEqual(await session.call("GET", "/v1/databases"), { databases: [] });

  assert.deepEqual(
    helper.requests.map(({ headers }) => headers.authorization),
    ["Bearer uha_secret", "Bearer uha_next"],
  );
});

test("a lost response is an AnswerLost error also if the token was replaced in the meantime", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("POST /v1/databases", () => {
    helper.tokens = ["uha_next"];
    void session.keep({ requested: [], scopes: ["databases:read"], token: "uha_next" });
    return { lost: true };
  });

  await assert.rejects(session.call("POST", "/v1/databases", { body: {} }), AnswerLost);

  assert.equal(helper.seen("POST /v1/databases").length, 1);
});

test("a stopped helper is a HelperNotRunning error", async (t) => {
  const { helper, session } = await connected(t);
  await helper.stop();

  await assert.rejects(session.call("GET", "/v1/databases"), HelperNotRunning);
});

test("T72: a program that takes the port and imitates the helper gets no token", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/databases", { json: { databases: [] } });
  await session.call("GET", "/v1/databases");
  const { port } = helper;
  await helper.stop();
  const other = await Helper.start(t, port);
  other.proof = { isGiven: false, delay: 0 };
  other.on("GET /v1/databases", { json: { databases: [] } });

  await assert.rejects(session.call("GET", "/v1/databases"), HelperNotRunning);

  assert.equal(other.challenges, 1);
  assert.deepEqual(other.requests, []);
  assert.notEqual(session.stored, null);
});

test("T72: a proof for another address is not accepted", async (t) => {
  const { session } = await connected(t);
  const relayed = await Helper.start(t);
  const imitation = new Session({ url: session.url, storage: session.storage });
  await imitation.load();
  imitation.send = (path, init) => fetch(relayed.url + path, init);

  await assert.rejects(imitation.call("GET", "/v1/databases"), HelperNotRunning);

  assert.equal(relayed.challenges, 1);
  assert.deepEqual(relayed.requests, []);
});

test("T72: a helper that cannot know who receives the token says so, and gets none", async (t) => {
  const { helper, session } = await connected(t);
  helper.refusesToProve = true;

  await assert.rejects(session.call("GET", "/v1/databases"), { name: "ApiError", code: "port_conflict" });

  assert.deepEqual(helper.requests, []);
  assert.notEqual(session.stored, null);
});

test("a token that the helper does not know is deleted without being sent", async (t) => {
  const { helper, storage, session } = await connected(t);
  helper.tokens = [];

  await assert.rejects(session.call("GET", "/v1/databases"), TokenRevoked);

  assert.deepEqual(helper.requests, []);
  assert.equal(storage.items.size, 0);
});

test("an unknown poll secret means that its request has expired", async (t) => {
  const { helper, storage, session } = await connected(t);
  helper.tokens = ["uha_secret"];

  await assert.rejects(session.call("GET", "/v1/pairings/1", { token: "poll" }), PairingExpired);

  assert.equal(storage.items.size, 1);
});

test("a helper of an earlier version gets no token", async (t) => {
  const { session } = await connected(t);
  session.send = async () => Response.json({ status: 404, code: "not_found" }, { status: 404 });

  await assert.rejects(session.call("GET", "/v1/databases"), HelperOutdated);
});

test("requests without a token are not preceded by a probe while the helper responds", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/regions", { json: {} });
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });

  for (const _ of Array(3)) {
    t.mock.timers.tick(9_000);
    await session.call("GET", "/v1/regions", { token: null });
  }
  assert.equal(helper.probes, 0);

  t.mock.timers.tick(10_001);
  await session.call("GET", "/v1/regions", { token: null });
  assert.equal(helper.probes, 1);
  assert.equal(helper.challenges, 0);
});

test("after a response of another program, the next call probes again", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/regions", { status: 404, json: "<html>" }, { json: {} });

  await assert.rejects(session.call("GET", "/v1/regions", { token: null }), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, "unexpected_answer");
    return true;
  });
  await session.call("GET", "/v1/regions", { token: null });

  assert.equal(helper.probes, 1);
});

test("resume reads the current scopes", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/token", { json: { scopes: ["databases:read", "databases:write"] } });

  assert.equal(await session.resume(), true);

  assert.ok(session.has("databases:write"));
  assert.deepEqual(session.stored?.requested, STORED.requested);
});

test("resume after a revocation returns false", async (t) => {
  const { helper, session } = await connected(t);
  helper.on("GET /v1/token", refused(401, "invalid_token"));

  assert.equal(await session.resume(), false);
  assert.equal(await session.resume(), false);
  assert.equal(helper.requests.length, 1);
});

test("a failing storage loses nothing while the page is open", async (t) => {
  const helper = await Helper.start(t);
  const full = {
    ...memory(),
    setItem() {
      throw new Error("QuotaExceededError");
    },
    removeItem() {
      throw new Error("blocked");
    },
  };
  const session = new Session({ url: helper.url, storage: full, isDiscovered: true });

  await session.keep({ token: "uha_new", requested: [], scopes: ["databases:read"] });
  assert.ok(session.has("databases:read"));
  await session.forget();
  assert.equal(session.stored, null);
});
