/** The dashboard's API calls and session. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ApiError,
  call,
  exchangeTicket,
  forgetSession,
  messageOf,
  session,
  whenNotRecorded,
  whenSessionEnds,
} from "../../../daemon/upstash_helper/web/dashboard/api.js";
import { Helper, refused } from "../support/helper.js";
import { inPage } from "../support/page.js";

test("the ticket is removed from the address and exchanged for a session of this tab", async (t) => {
  const helper = await Helper.start(t);
  helper.on("POST /v1/dashboard/sessions", { status: 201, json: { token: "uhs_1" } });
  for (const [hash, left] of [
    ["#ticket=t1", "/"],
    ["#ticket=t1&section=apps", "/#apps"],
    ["#ticket=t1&section=%3Cimg%3E", "/"],
  ]) {
    const { replaced, sessionStorage } = inPage(t, helper, hash);
    await exchangeTicket();

    assert.deepEqual(replaced, [left]);
    assert.equal(session(), "uhs_1");
    assert.deepEqual([...sessionStorage.items.keys()], ["upstash-helper.session"]);
  }
  assert.deepEqual(helper.requests[0].body, { ticket: "t1" });
  assert.equal(helper.requests[0].headers.authorization, undefined);
});

test("without a ticket, no request is sent and the address stays unchanged", async (t) => {
  const helper = await Helper.start(t);
  const { replaced } = inPage(t, helper, "#apps");

  await exchangeTicket();

  assert.deepEqual([replaced, helper.requests], [[], []]);
});

test("a used ticket ends the current session", async (t) => {
  const helper = await Helper.start(t);
  helper.on("POST /v1/dashboard/sessions", refused(403, "invalid_ticket"));
  const { sessionStorage } = inPage(t, helper, "#ticket=old");
  sessionStorage.setItem("upstash-helper.session", "uhs_before");

  await assert.rejects(exchangeTicket(), { code: "invalid_ticket", message: "Details of invalid_ticket." });

  assert.equal(session(), null);
});

test("a call sends the session and JSON, and returns JSON", async (t) => {
  const helper = await Helper.start(t);
  helper.on("PATCH /v1/databases/1", { json: { id: "1" } }).on("DELETE /v1/databases/1", { status: 204 });
  inPage(t, helper).sessionStorage.setItem("upstash-helper.session", "uhs_1");

  assert.deepEqual(await call("PATCH", "/v1/databases/1", { name: "x" }, { "If-Match": "1" }), { id: "1" });
  assert.equal(await call("DELETE", "/v1/databases/1"), null);

  const [change, removal] = helper.requests;
  assert.equal(change.headers.authorization, "Bearer uhs_1");
  assert.equal(change.headers["if-match"], "1");
  assert.deepEqual(change.body, { name: "x" });
  assert.equal(removal.headers["content-type"], undefined);
});

test("a problem keeps its code, text, and fields", async (t) => {
  const helper = await Helper.start(t);
  const errors = [{ pointer: "/name", detail: "Too long." }];
  helper.on("POST /v1/databases", refused(422, "invalid_request", { errors }));
  inPage(t, helper);

  await assert.rejects(call("POST", "/v1/databases", {}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.code, error.errors], [422, "invalid_request", errors]);
    assert.equal(messageOf(error), "Details of invalid_request.");
    return true;
  });
});

test("T79: the text of another error is for the console", (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const bug = new TypeError("x is not a function");

  assert.equal(messageOf(bug), "Something went wrong in this page. Reload it, and try again.");

  assert.deepEqual(
    logged.mock.calls.map((call) => call.arguments),
    [[bug]],
  );
});

test("T79: an answer that is not JSON is not explained in the words of a parser", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/apps", { text: "<!doctype html>" });
  inPage(t, helper);

  await assert.rejects(call("GET", "/v1/apps"), {
    code: "unexpected",
    message: "The helper sent an answer that this page does not understand.",
  });
});

test("the error of a helper that does not respond has the command that starts it", async (t) => {
  const helper = await Helper.start(t);
  inPage(t, helper);
  await helper.stop();

  await assert.rejects(call("GET", "/v1/apps"), { code: "unreachable", status: 0, message: /upstash-helper start$/ });
});

test("an error response without problem details has a general message", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/apps", { status: 502, json: undefined });
  inPage(t, helper);

  await assert.rejects(call("GET", "/v1/apps"), { code: "unexpected", status: 502 });
});

for (const code of ["invalid_token", "origin_mismatch"]) {
  test(`${code} ends the session`, async (t) => {
    const helper = await Helper.start(t);
    helper.on("GET /v1/apps", refused(401, code));
    inPage(t, helper).sessionStorage.setItem("upstash-helper.session", "uhs_1");
    /** @type {string[]} */
    const ended = [];
    whenSessionEnds((reason) => ended.push(reason.code));

    await assert.rejects(call("GET", "/v1/apps"));

    assert.deepEqual(ended, [code]);
    assert.equal(session(), null);
  });
}

test("a late rejection of an old session does not end the new one", async (t) => {
  const helper = await Helper.start(t);
  const { sessionStorage } = inPage(t, helper);
  sessionStorage.setItem("upstash-helper.session", "uhs_old");
  helper.on("GET /v1/apps", () => {
    sessionStorage.setItem("upstash-helper.session", "uhs_new");
    return refused(401, "invalid_token");
  });
  whenSessionEnds(() => assert.fail("the session is not over"));

  await assert.rejects(call("GET", "/v1/apps"));

  assert.equal(session(), "uhs_new");
  forgetSession();
  assert.equal(session(), null);
});

test("a change that could not be saved yet succeeds, and the page is told what to show", async (t) => {
  const helper = await Helper.start(t);
  helper
    .on("DELETE /v1/apps/1", { json: { recorded: false, notice: "The disk is full." } })
    .on("DELETE /v1/apps/2", { status: 204 });
  inPage(t, helper);
  /** @type {string[]} */
  const shown = [];
  whenNotRecorded((text) => shown.push(text));

  const answers = [await call("DELETE", "/v1/apps/1"), await call("DELETE", "/v1/apps/2")];

  assert.deepEqual(answers, [{ recorded: false, notice: "The disk is full." }, null]);
  assert.deepEqual(shown, ["The disk is full."]);
});
