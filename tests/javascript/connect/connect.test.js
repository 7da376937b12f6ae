/** The functions that a page calls. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connectUpstash, isHelperRunning, resumeUpstash } from "../../../daemon/upstash_helper/web/connect/connect.js";
import { Aborted, HelperNotRunning, PairingDenied } from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Helper, memory, nobody, refused } from "../support/helper.js";

/** @import { TestContext } from "node:test" */

const CONNECTED = { state: "connected", account: { email: "ada@example.com" } };
const SCOPES = ["connection:read", "databases:read"];
const SIGN_IN = { state: "connecting", attempt_id: "a1", authorization_url: "https://auth.example/authorize" };

/** @param {TestContext} t */
async function started(t) {
  const helper = await Helper.start(t);
  const expires_at = new Date(Date.now() + 60_000).toISOString();
  const pairing = { id: "p1", user_code: "WDJB-MJHT", poll_secret: "poll", interval: 0.01, expires_at };
  return helper
    .on("POST /v1/pairings", { status: 201, json: pairing })
    .on("GET /v1/pairings/p1", { json: { state: "approved" } })
    .on("DELETE /v1/pairings/p1", { status: 204 })
    .on("POST /v1/pairings/p1/token", { status: 201, json: { token: "uha_new", scopes: SCOPES } })
    .on("GET /v1/connection", { json: CONNECTED })
    .on("GET /v1/token", { json: { scopes: SCOPES } });
}

/** @param {Helper} helper @param {string[]} requested */
function stored(helper, requested) {
  const text = JSON.stringify({ token: "uha_old", requested, scopes: SCOPES });
  return memory({ [`upstash-helper:${helper.url}`]: text });
}

test("a new page requests access once and then resumes without a request", async (t) => {
  const helper = await started(t);
  const storage = memory();
  /** @type {string[]} */
  const steps = [];
  const options = { url: helper.url, storage, name: "Orders", scopes: "databases:read", reason: "Orders" };

  const client = await connectUpstash({ ...options, onProgress: ({ step }) => steps.push(step) });
  const again = await resumeUpstash({ url: helper.url, storage });

  const asked = { name: "Orders", scopes: SCOPES, reason: "Orders", connect_if_needed: true };
  assert.deepEqual(helper.seen("POST /v1/pairings")[0].body, asked);
  assert.deepEqual(steps, ["checking", "approval", "connected"]);
  assert.deepEqual(client.scopes, SCOPES);
  assert.deepEqual(again?.scopes, SCOPES);
  assert.equal(helper.seen("POST /v1/pairings").length, 1);
});

test("by default a page requests the database scopes, and always to see the connection", async (t) => {
  const helper = await started(t);
  const asked = [];
  for (const scopes of [undefined, "", [], "databases:read, databases:delete"]) {
    await connectUpstash({ url: helper.url, storage: memory(), name: "Orders", scopes });
    asked.push(helper.seen("POST /v1/pairings").at(-1)?.body.scopes);
  }

  const usual = ["connection:read", "databases:read", "databases:write", "databases:credentials"];
  assert.deepEqual(asked, [usual, usual, usual, ["connection:read", "databases:read", "databases:delete"]]);
});

test("a page that may start the sign-in signs in with the same click", async (t) => {
  const helper = await started(t);
  helper
    .on("POST /v1/pairings/p1/token", {
      status: 201,
      json: { token: "uha_new", scopes: ["connection:write", ...SCOPES] },
    })
    .on("GET /v1/connection", { json: { state: "disconnected" } }, { json: CONNECTED })
    .on("POST /v1/connection", { status: 202, json: SIGN_IN })
    .on("GET /v1/connection/attempts/a1", { json: { state: "succeeded" } });
  /** @type {string[]} */
  const opened = [];
  const options = { url: helper.url, storage: memory(), name: "Orders", scopes: "databases:read" };

  await connectUpstash({ ...options, open: (url) => opened.push(url) });

  assert.deepEqual(opened, [SIGN_IN.authorization_url]);
  assert.equal(helper.seen("POST /v1/pairings").length, 1);
});

test("a page that was not asked to sign in requests it once the account is disconnected", async (t) => {
  const helper = await started(t);
  helper
    .on("POST /v1/pairings/p1/token", {
      status: 201,
      json: { token: "uha_new", scopes: ["connection:write", ...SCOPES] },
    })
    .on(
      "GET /v1/connection",
      { json: { state: "disconnected" } },
      { json: { state: "disconnected" } },
      { json: CONNECTED },
    )
    .on("POST /v1/connection", { status: 202, json: SIGN_IN })
    .on("GET /v1/connection/attempts/a1", { json: { state: "succeeded" } });
  const options = { url: helper.url, storage: stored(helper, SCOPES), name: "Orders", scopes: "databases:read" };

  await connectUpstash({ ...options, open: () => {} });

  assert.equal(helper.seen("POST /v1/pairings")[0].body.connect_if_needed, true);
  assert.equal(helper.seen("POST /v1/connection").length, 1);
});

test("a page that may not sign in says so, and does not request it again", async (t) => {
  const helper = await started(t);
  helper.on("GET /v1/connection", { json: { state: "disconnected", title: "No account connected" } });
  const options = { url: helper.url, storage: memory(), name: "Orders", scopes: "databases:read" };

  for (const _ of [1, 2]) {
    await assert.rejects(connectUpstash(options), { code: "connect_failed", reason: "not_connected" });
  }

  assert.equal(helper.seen("POST /v1/pairings").length, 1);
  assert.equal(helper.seen("POST /v1/connection").length, 0);
});

test("a page with access sends no second access request", async (t) => {
  const helper = await started(t);

  await connectUpstash({ url: helper.url, storage: stored(helper, SCOPES), name: "Orders", scopes: "databases:read" });

  assert.equal(helper.seen("POST /v1/pairings").length, 0);
});

test("a page that needs more scopes requests access again", async (t) => {
  const helper = await started(t);

  await connectUpstash({ url: helper.url, storage: stored(helper, SCOPES), name: "Orders", scopes: "upstash:write" });

  assert.equal(helper.seen("POST /v1/pairings").length, 1);
});

test("a page whose access was revoked requests access again", async (t) => {
  const helper = await started(t);
  helper.on("GET /v1/token", refused(401, "invalid_token"));

  await connectUpstash({ url: helper.url, storage: stored(helper, SCOPES), name: "Orders", scopes: "databases:read" });

  assert.equal(helper.seen("POST /v1/pairings").length, 1);
});

test("a denied page stores nothing", async (t) => {
  const helper = await started(t);
  helper.on("GET /v1/pairings/p1", { json: { state: "denied" } });
  const storage = memory();

  await assert.rejects(connectUpstash({ url: helper.url, storage, name: "Orders" }), PairingDenied);

  assert.equal(storage.items.size, 0);
});

test("without a helper, no access is requested", async (t) => {
  const url = await nobody(t);

  await assert.rejects(connectUpstash({ url, storage: memory(), name: "Orders" }), HelperNotRunning);
  await assert.rejects(connectUpstash({ url, name: "Orders", signal: AbortSignal.abort() }), Aborted);
  assert.equal(await isHelperRunning({ url }), false);
});

test("resume without a stored token returns null and sends no request", async (t) => {
  const helper = await started(t);

  assert.equal(await resumeUpstash({ url: helper.url, storage: memory() }), null);
  assert.deepEqual([helper.probes, helper.requests.length], [0, 0]);
});

test("resume after a revocation returns null", async (t) => {
  const helper = await started(t);
  helper.on("GET /v1/token", refused(401, "invalid_token"));

  assert.equal(await resumeUpstash({ url: helper.url, storage: stored(helper, SCOPES) }), null);
});

test("a running helper is found, and one that takes too long is not", async (t) => {
  const helper = await started(t);
  assert.equal(await isHelperRunning({ url: helper.url }), true);

  helper.proof = { isGiven: true, delay: 2000 };
  assert.equal(await isHelperRunning({ url: helper.url, timeout: 200 }), false);
});
