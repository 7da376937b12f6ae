/** Connecting an account. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connectAccount } from "../../../daemon/upstash_helper/web/connect/account.js";
import { Aborted, ConnectFailed, PopupBlocked } from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Session } from "../../../daemon/upstash_helper/web/connect/session.js";
import { Helper, memory, refused } from "../support/helper.js";
import { recordedRun } from "../support/run.js";

/** @import { TestContext } from "node:test" */

const CONNECTED = { state: "connected", account: { email: "ada@example.com" } };
const SIGN_IN = "https://auth.example/authorize";
const STARTED = { state: "connecting", attempt_id: "a1", authorization_url: SIGN_IN, joined: false };
const ATTEMPT = "/v1/connection/attempts/a1";

/** @param {TestContext} t @param {string[]} [scopes] */
async function withAccess(t, scopes = ["connection:read", "connection:write"]) {
  const helper = await Helper.start(t);
  const stored = JSON.stringify({ token: "uha_secret", requested: scopes, scopes });
  const session = new Session({ url: helper.url, storage: memory({ [`upstash-helper:${helper.url}`]: stored }) });
  await session.load();
  helper
    .on("GET /v1/connection", { json: { state: "disconnected" } }, { json: CONNECTED })
    .on("POST /v1/connection", { status: 202, json: STARTED })
    .on(`DELETE ${ATTEMPT}`, { status: 204 });
  return { helper, session };
}

test("a connected account is not changed", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on("GET /v1/connection", { json: CONNECTED });

  assert.deepEqual(await connectAccount(session, recordedRun()), CONNECTED);
  assert.equal(helper.requests.length, 1);
});

test("a page that may not read the connection sends no request", async (t) => {
  const { helper, session } = await withAccess(t, ["databases:read"]);

  assert.equal(await connectAccount(session, recordedRun()), null);
  assert.deepEqual(helper.requests, []);
});

test("the user signs in, and the connection is returned", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on(
    `GET ${ATTEMPT}`,
    { json: { state: "pending" } },
    { json: { state: "exchanging" } },
    { json: { state: "succeeded" } },
  );
  /** @type {string[]} */
  const opened = [];
  const run = recordedRun({ open: (url) => opened.push(url) });

  assert.deepEqual(await connectAccount(session, run), CONNECTED);

  assert.deepEqual(opened, [SIGN_IN]);
  assert.deepEqual(helper.seen("POST /v1/connection")[0].body, { open_browser: false });
  assert.deepEqual(run.steps, [
    { step: "sign-in", url: SIGN_IN },
    { step: "connecting", url: SIGN_IN },
  ]);
});

test("a sign-in that was started elsewhere is followed, and no window is opened", async (t) => {
  const { helper, session } = await withAccess(t);
  helper
    .on("POST /v1/connection", { status: 202, json: { state: "pending", attempt_id: "a1", joined: true } })
    .on(`GET ${ATTEMPT}`, { json: { state: "pending" } }, { json: { state: "succeeded" } });
  const run = recordedRun({ open: () => assert.fail("a window was opened") });

  assert.deepEqual(await connectAccount(session, run), CONNECTED);

  assert.deepEqual(run.steps, [{ step: "sign-in-elsewhere" }]);
});

test("the page says that the user must decide whether to replace the account", async (t) => {
  const { helper, session } = await withAccess(t);
  const declined = { state: "failed", reason: "replacement_declined", title: "The connected account was kept" };
  helper.on(`GET ${ATTEMPT}`, { json: { state: "confirmation_required" } }, { json: declined });
  const run = recordedRun({ open: () => {} });

  await assert.rejects(connectAccount(session, run), {
    reason: "replacement_declined",
    message: "The connected account was kept.",
  });

  assert.deepEqual(run.steps, [
    { step: "sign-in", url: SIGN_IN },
    { step: "decision", url: SIGN_IN },
  ]);
});

for (const state of ["needs_email", "keyring_locked", "keyring_unavailable", "port_conflict"]) {
  test(`no sign-in is started in the state ${state}`, async (t) => {
    const { helper, session } = await withAccess(t);
    helper.on("GET /v1/connection", { json: { state, title: "What is wrong", detail: "What to do." } });

    await assert.rejects(connectAccount(session, recordedRun()), (error) => {
      assert.ok(error instanceof ConnectFailed);
      assert.deepEqual([error.reason, error.message, error.help], [state, "What is wrong.", "What to do."]);
      return true;
    });
    assert.equal(helper.requests.length, 1);
  });
}

test("a port conflict that is found when the sign-in starts is the same error", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on("POST /v1/connection", refused(503, "port_conflict"));

  await assert.rejects(connectAccount(session, recordedRun()), {
    code: "connect_failed",
    reason: "port_conflict",
    help: "Details of port_conflict.",
  });
});

test("any other error of the API keeps its code", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on("POST /v1/connection", refused(403, "insufficient_scope"));

  await assert.rejects(connectAccount(session, recordedRun()), { code: "insufficient_scope" });
});

test("an account that another app has connected in the meantime needs no sign-in", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on("POST /v1/connection", { json: CONNECTED });

  assert.deepEqual(await connectAccount(session, recordedRun()), CONNECTED);
  assert.equal(helper.seen("GET /v1/connection").length, 1);
});

test("a failed sign-in is an error with the reason and the helper's text", async (t) => {
  const { helper, session } = await withAccess(t);
  const open = () => {};

  helper.on(`GET ${ATTEMPT}`, {
    json: {
      state: "failed",
      reason: "access_denied",
      title: "You canceled the sign-in",
      detail: "Nothing was changed.",
    },
  });
  await assert.rejects(connectAccount(session, recordedRun({ open })), {
    reason: "access_denied",
    message: "You canceled the sign-in.",
    help: "Nothing was changed.",
  });

  helper.on("GET /v1/connection", { json: { state: "disconnected" } });
  helper.on(`GET ${ATTEMPT}`, { json: { state: "expired" } });
  await assert.rejects(connectAccount(session, recordedRun({ open })), {
    reason: "expired",
    message: "The account was not connected.",
    help: "Try again.",
  });

  helper.on(`GET ${ATTEMPT}`, refused(404, "attempt_not_found"));
  await assert.rejects(connectAccount(session, recordedRun({ open })), { reason: "helper_restarted" });
});

test("a blocked window is an error, unless the page shows a link", async (t) => {
  const { helper, session } = await withAccess(t);
  helper.on("GET /v1/connection", { json: { state: "disconnected" } });
  helper.on(`GET ${ATTEMPT}`, { json: { state: "succeeded" } });

  await assert.rejects(connectAccount(session, recordedRun()), (error) => {
    assert.ok(error instanceof PopupBlocked);
    assert.equal(error.url, SIGN_IN);
    return true;
  });

  /** @type {string[]} */
  const links = [];
  await connectAccount(session, recordedRun({ onPopupBlocked: (url) => links.push(url) }));
  assert.deepEqual(links, [SIGN_IN]);
});

for (const joined of [false, true]) {
  test(`a page that cancels ends the sign-in that ${joined ? "another app" : "it"} started: ${!joined}`, async (t) => {
    const { helper, session } = await withAccess(t);
    helper
      .on("POST /v1/connection", { status: 202, json: { ...STARTED, joined } })
      .on(`GET ${ATTEMPT}`, { json: { state: "pending" } });
    const abort = new AbortController();
    const run = recordedRun({ open: () => {}, signal: abort.signal });

    await assert.rejects(connectAccount(session, { ...run, onProgress: () => abort.abort() }), Aborted);

    assert.equal(helper.seen(`DELETE ${ATTEMPT}`).length, joined ? 0 : 1);
  });
}
