/** Requesting access. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Aborted,
  Blocked,
  HelperBusy,
  PairingDenied,
  PairingExpired,
  PairingReplaced,
} from "../../../daemon/upstash_helper/web/connect/errors.js";
import { pair, whileAway } from "../../../daemon/upstash_helper/web/connect/pairing.js";
import { Session } from "../../../daemon/upstash_helper/web/connect/session.js";
import { Helper, memory, problem, refused, withGlobals } from "../support/helper.js";
import { recordedRun } from "../support/run.js";

/** @import { TestContext } from "node:test" */

const REQUEST = { name: "Orders", scopes: ["databases:read"], reason: "To keep orders" };
const STARTED = {
  id: "p1",
  user_code: "WDJB-MJHT",
  poll_secret: "poll",
  interval: 0.01,
  expires_at: new Date(Date.now() + 120_000).toISOString(),
};

/** @param {TestContext} t */
async function unpaired(t) {
  const helper = await Helper.start(t);
  helper.on("POST /v1/pairings", { status: 201, json: STARTED }).on("DELETE /v1/pairings/p1", { status: 204 });
  return { helper, session: new Session({ url: helper.url, storage: memory() }) };
}

test("an approved page gets its token", async (t) => {
  const { helper, session } = await unpaired(t);
  helper
    .on("GET /v1/pairings/p1", { json: { state: "pending" } }, { json: { state: "approved" } })
    .on("POST /v1/pairings/p1/token", { status: 201, json: { token: "uha_new", scopes: ["databases:read"] } });
  const run = recordedRun();
  /** @type {string[]} */
  const codes = [];

  await pair(session, REQUEST, { ...run, onCode: ({ userCode }) => codes.push(userCode) });

  assert.deepEqual(session.stored, { token: "uha_new", requested: ["databases:read"], scopes: ["databases:read"] });
  assert.deepEqual(helper.seen("POST /v1/pairings")[0].body, { ...REQUEST, connect_if_needed: true });
  assert.equal(helper.seen("POST /v1/pairings")[0].headers.authorization, undefined);
  assert.equal(helper.seen("GET /v1/pairings/p1").length, 2);
  assert.ok(helper.requests.slice(1).every(({ headers }) => headers.authorization === "Bearer poll"));
  assert.deepEqual(codes, ["WDJB-MJHT"]);
  assert.deepEqual(run.steps, [{ step: "approval", userCode: "WDJB-MJHT", expiresAt: new Date(STARTED.expires_at) }]);
  assert.equal(helper.seen("DELETE /v1/pairings/p1").length, 0);
});

test("a helper of an earlier version is asked for the scope itself", async (t) => {
  const { helper, session } = await unpaired(t);
  const errors = [{ pointer: "", detail: "Object contains unknown field `connect_if_needed`." }];
  helper
    .on(
      "POST /v1/pairings",
      { status: 422, json: { status: 422, code: "invalid_request", detail: "Invalid.", errors } },
      { status: 201, json: STARTED },
    )
    .on("GET /v1/pairings/p1", { json: { state: "approved" } })
    .on("POST /v1/pairings/p1/token", { status: 201, json: { token: "uha_new", scopes: ["databases:read"] } });

  await pair(session, REQUEST, recordedRun());

  const scopes = [...REQUEST.scopes, "connection:write"];
  assert.deepEqual(helper.seen("POST /v1/pairings")[1].body, { ...REQUEST, scopes });
});

for (const [state, expected] of /** @type {const} */ ([
  ["denied", PairingDenied],
  ["expired", PairingExpired],
])) {
  test(`a request that is ${state} ends so`, async (t) => {
    const { helper, session } = await unpaired(t);
    helper.on("GET /v1/pairings/p1", { json: { state } });

    await assert.rejects(pair(session, REQUEST, recordedRun()), expected);

    assert.equal(session.stored, null);
  });
}

test("a request that another tab has replaced ends so", async (t) => {
  const { helper, session } = await unpaired(t);
  helper.on("GET /v1/pairings/p1", { json: { state: "expired", replaced: true } });
  await assert.rejects(pair(session, REQUEST, recordedRun()), PairingReplaced);

  helper
    .on("GET /v1/pairings/p1", { json: { state: "approved" } })
    .on("POST /v1/pairings/p1/token", refused(410, "pairing_replaced"));
  await assert.rejects(pair(session, REQUEST, recordedRun()), PairingReplaced);

  assert.equal(session.stored, null);
});

test("aborting withdraws the access request", async (t) => {
  const { helper, session } = await unpaired(t);
  helper.on("GET /v1/pairings/p1", { json: { state: "pending" } });
  const abort = new AbortController();
  const run = recordedRun({ signal: abort.signal });

  await assert.rejects(pair(session, REQUEST, { ...run, onProgress: () => abort.abort() }), Aborted);

  assert.equal(helper.seen("DELETE /v1/pairings/p1")[0].headers.authorization, "Bearer poll");
});

test("leaving the page withdraws the access request", async (t) => {
  const { helper, session } = await unpaired(t);
  const page = new EventTarget();
  withGlobals(t, {
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  });
  helper.on(
    "GET /v1/pairings/p1",
    () => {
      page.dispatchEvent(new Event("pagehide"));
      return { json: { state: "pending" } };
    },
    { json: { state: "denied" }, delay: 50 },
  );

  await assert.rejects(pair(session, REQUEST, recordedRun()), PairingDenied);

  assert.equal(helper.seen("DELETE /v1/pairings/p1").length, 2);
});

test("a request from before a reload may still be pending for a moment", async (t) => {
  const { helper, session } = await unpaired(t);
  helper
    .on("POST /v1/pairings", refused(409, "pairing_pending"), { status: 201, json: STARTED })
    .on("GET /v1/pairings/p1", { json: { state: "denied" } });

  await assert.rejects(pair(session, REQUEST, recordedRun()), PairingDenied);

  assert.equal(helper.seen("POST /v1/pairings").length, 2);
});

test("a pending earlier request and a blocked page are errors", async (t) => {
  const { helper, session } = await unpaired(t);

  helper.on("POST /v1/pairings", refused(409, "pairing_pending"));
  await assert.rejects(pair(session, REQUEST, recordedRun()), HelperBusy);
  assert.equal(helper.seen("POST /v1/pairings").length, 2);

  helper.on("POST /v1/pairings", refused(403, "app_blocked"));
  await assert.rejects(pair(session, REQUEST, recordedRun()), Blocked);
  assert.equal(helper.seen("POST /v1/pairings").length, 3);
});

test("polling continues while the helper restarts, with a second between attempts", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let tries = 0;
  const busy = new HelperBusy(problem(429, "rate_limited"), 1);
  const polled = whileAway(async () => {
    tries += 1;
    if (tries < 4) throw busy;
    return "there";
  }, undefined);

  for (const expected of [1, 2, 3]) {
    await settled();
    assert.equal(tries, expected);
    t.mock.timers.tick(999);
    await settled();
    assert.equal(tries, expected);
    t.mock.timers.tick(1);
  }

  assert.equal(await polled, "there");
});

test("polling ends after a minute without the helper, and immediately after any other error", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const busy = new HelperBusy(problem(429, "rate_limited"), 1);
  let tries = 0;
  const polled = whileAway(async () => {
    tries += 1;
    throw busy;
  }, undefined);
  const rejected = assert.rejects(polled, busy);

  for (const _ of Array(70)) {
    await settled();
    t.mock.timers.tick(1000);
  }
  await rejected;
  assert.equal(tries, 62);

  const denied = new PairingDenied();
  await assert.rejects(
    whileAway(() => Promise.reject(denied), undefined),
    denied,
  );
});

/** Let all promises that can settle do so. */
function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
