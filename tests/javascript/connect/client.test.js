/** The client: databases, events, and the token. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { onSignedOut, UpstashClient } from "../../../daemon/upstash_helper/web/connect/client.js";
import { AnswerLost, ApiError, TokenRevoked } from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Session } from "../../../daemon/upstash_helper/web/connect/session.js";
import { Helper, memory, refused } from "../support/helper.js";

/** @import { TestContext } from "node:test" */
/** @import { HelperEvent } from "../../../daemon/upstash_helper/web/connect/types.js" */

const SCOPES = ["connection:read", "databases:read"];

/** @param {TestContext} t */
async function connected(t) {
  const helper = await Helper.start(t);
  const stored = JSON.stringify({ token: "uha_secret", requested: SCOPES, scopes: SCOPES });
  const storage = memory({ [`upstash-helper:${helper.url}`]: stored });
  const session = new Session({ url: helper.url, storage });
  await session.load();
  helper.on("GET /v1/token", { json: { kind: "app", scopes: SCOPES } });
  return { helper, storage, client: UpstashClient.of(session) };
}

test("the list of databases has all pages", async (t) => {
  const { helper, client } = await connected(t);
  helper.on(
    "GET /v1/databases",
    { json: { databases: [{ id: "1" }], next_page_token: "a b" } },
    { json: { databases: [{ id: "2" }], next_page_token: null } },
  );

  const found = await client.databases.list({ refresh: true });

  assert.deepEqual(
    found.map(({ id }) => id),
    ["1", "2"],
  );
  assert.deepEqual(
    helper.requests.map(({ path }) => path),
    ["/v1/databases?page_size=200&refresh=true", "/v1/databases?page_size=200&page_token=a+b"],
  );
});

test("a create is repeated with the same idempotency key after a lost response", async (t) => {
  const { helper, client } = await connected(t);
  helper.on("POST /v1/databases", { lost: true }, refused(409, "request_in_progress"), {
    status: 201,
    json: { id: "1" },
  });

  const made = await client.databases.create({ name: "orders", primary_region: "us-east-1" });

  const keys = helper.seen("POST /v1/databases").map(({ headers }) => headers["idempotency-key"]);
  assert.equal(made.id, "1");
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.match(String(keys[0]), /^[0-9a-f]{32}$/);
});

test("a rejected create is not repeated, and each create has its own idempotency key", async (t) => {
  const { helper, client } = await connected(t);
  helper.on("POST /v1/databases", refused(422, "invalid_request"));
  const wanted = { name: "orders", primary_region: "us-east-1" };

  await assert.rejects(client.databases.create(wanted), ApiError);
  await assert.rejects(client.databases.create(wanted, { idempotencyKey: "mine" }), ApiError);

  const keys = helper.seen("POST /v1/databases").map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys.length, 2);
  assert.equal(keys[1], "mine");
  assert.notEqual(keys[0], "mine");
});

test("a read is repeated once after a lost response, a change never", async (t) => {
  const { helper, client } = await connected(t);
  helper
    .on("GET /v1/databases/a%2Fb", { lost: true }, { json: { id: "a/b" } })
    .on("PATCH /v1/databases/1", { lost: true })
    .on("DELETE /v1/databases/1", { status: 204 });

  assert.equal((await client.databases.get("a/b")).id, "a/b");
  await assert.rejects(client.databases.change("1", { name: "x" }, { ifMatch: '"v1"' }), AnswerLost);
  assert.equal(await client.databases.delete("1"), null);

  assert.equal(helper.seen("GET /v1/databases/a%2Fb").length, 2);
  const [change] = helper.seen("PATCH /v1/databases/1");
  assert.equal(change.headers["if-match"], '"v1"');
  assert.deepEqual(change.body, { name: "x" });
  assert.equal(helper.seen("DELETE /v1/databases/1")[0].headers["if-match"], undefined);
});

test("credentials, variables, and regions are read", async (t) => {
  const { helper, client } = await connected(t);
  helper
    .on("GET /v1/databases/1/credentials", { json: { rest_token: "secret", env: { A: "b" } } })
    .on("GET /v1/regions", { json: { regions: [{ id: "us-east-1" }] } });

  assert.equal((await client.databases.credentials("1")).rest_token, "secret");
  assert.deepEqual(await client.databases.env("1"), { A: "b" });
  assert.deepEqual(await client.regions(), [{ id: "us-east-1" }]);
});

test("events continue after an interruption until the page aborts", async (t) => {
  const { helper, client } = await connected(t);
  helper.on(
    "GET /v1/events",
    { text: 'id: e1\nevent: database\ndata: {"id": "1"}\n\n' },
    { text: "id: e2\nevent: connection\ndata: {}\n\nevent: bye\ndata: {}\n\n" },
    refused(429, "rate_limited"),
    { text: "event: reset\ndata: {}\n\n" },
  );
  const stop = new AbortController();
  /** @type {HelperEvent[]} */
  const events = [];
  const take = (/** @type {HelperEvent} */ event) => {
    events.push(event);
    if (event.type === "reset") stop.abort();
  };

  await assert.rejects(client.events(take, { signal: stop.signal, lastEventId: "e0" }), { code: "helper_busy" });
  await client.events(take, { signal: stop.signal });

  assert.deepEqual(
    events.map(({ type, id }) => [type, id]),
    [
      ["database", "e1"],
      ["connection", "e2"],
      ["reset", ""],
    ],
  );
  assert.deepEqual(
    helper.seen("GET /v1/events").map(({ headers }) => headers["last-event-id"]),
    ["e0", "e1", "e2", undefined],
  );
});

test("a revocation event ends the stream and deletes the token", async (t) => {
  const { helper, storage, client } = await connected(t);
  helper.on("GET /v1/events", { text: "event: revoked\ndata: {}\n\n" });
  let signedOut = 0;
  onSignedOut(client, () => {
    signedOut += 1;
  });

  await assert.rejects(
    client.events(() => {}),
    TokenRevoked,
  );

  assert.equal(signedOut, 1);
  assert.equal(storage.items.size, 0);
  assert.deepEqual(client.scopes, []);
});

test("a new token replaces the old one", async (t) => {
  const { helper, storage, client } = await connected(t);
  helper.on("POST /v1/token/rotate", { json: { token: "uha_next", scopes: ["databases:read"] } });

  await client.rotate();
  await client.token();

  assert.equal(helper.seen("GET /v1/token")[0].headers.authorization, "Bearer uha_next");
  assert.deepEqual(client.scopes, ["databases:read"]);
  assert.deepEqual(JSON.parse([...storage.items.values()][0]).requested, SCOPES);
});

for (const [what, answer] of /** @type {const} */ ([
  ["gives the token back", { status: 204 }],
  ["needs no token that is still valid", refused(401, "invalid_token")],
])) {
  test(`signing out ${what}`, async (t) => {
    const { helper, storage, client } = await connected(t);
    helper.on("DELETE /v1/token", answer);

    await client.signOut();
    await client.signOut();

    assert.equal(helper.seen("DELETE /v1/token").length, 1);
    assert.equal(storage.items.size, 0);
  });
}
