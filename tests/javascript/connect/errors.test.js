/** Errors for the API's problems. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as errors from "../../../daemon/upstash_helper/web/connect/errors.js";
import { problem } from "../support/helper.js";

/** @param {number} status @param {unknown} body */
function response(status, body) {
  return new Response(typeof body === "string" ? body : JSON.stringify(body), { status });
}

for (const [status, code, expected] of /** @type {[number, string, keyof typeof errors][]} */ ([
  [401, "invalid_token", "TokenRevoked"],
  [429, "rate_limited", "HelperBusy"],
  [429, "too_many_pairings", "HelperBusy"],
  [409, "pairing_pending", "HelperBusy"],
  [410, "pairing_expired", "PairingExpired"],
  [410, "pairing_replaced", "PairingReplaced"],
  [404, "pairing_not_found", "PairingExpired"],
  [409, "token_already_delivered", "PairingExpired"],
  [403, "pairing_denied", "PairingDenied"],
  [403, "app_blocked", "Blocked"],
  [403, "insufficient_scope", "ApiError"],
])) {
  test(`${code} becomes ${expected}`, async () => {
    const error = await errors.errorOf(response(status, problem(status, code)));

    assert.equal(error.name, expected);
    assert.ok(error instanceof errors.UpstashHelperError);
  });
}

test("any other problem keeps its code, status, and text", async () => {
  const error = await errors.errorOf(response(503, problem(503, "keyring_locked", { retry_after: 7 })));

  assert.ok(error instanceof errors.ApiError);
  assert.deepEqual([error.code, error.status, error.message], ["keyring_locked", 503, "Details of keyring_locked."]);
  assert.equal(error.retryAfter, 7);
});

test("an answer of another program is recognized", async () => {
  for (const body of ["<!doctype html>", "{}", "null", '{"code": 7}']) {
    const error = await errors.errorOf(response(502, body));

    assert.equal(error.code, "unexpected_answer");
    assert.match(error.message, /another program is using its port/);
  }
});

test("the error of a busy helper has the time after which to retry", async () => {
  const soon = await errors.errorOf(response(429, problem(429, "rate_limited", { retry_after: 30 })));
  const pending = await errors.errorOf(response(409, problem(409, "pairing_pending")));

  assert.equal(soon.help, "Try again in 30 seconds.");
  assert.match(pending.help, /^Answer the request that is pending .* in a moment\.$/);
});

test("a helper that is not running names the addresses and the command, and the next address", () => {
  const error = new errors.HelperNotRunning(["http://localhost:3000", "http://localhost:26300"]);
  const next = new errors.HelperNotRunning(["http://localhost:3000"], undefined, "http://localhost:26300");

  assert.equal(error.message, "upstash-helper is not responding at http://localhost:3000 or http://localhost:26300.");
  assert.match(error.help, /^Start it on this computer with: upstash-helper start\./);
  assert.equal(error.next, undefined);
  assert.match(next.help, /try again to check http:\/\/localhost:26300\. Otherwise, start it/);
});

test("every error has a code and a message, and most have a help text", () => {
  const without = [new errors.Aborted()];
  const all = [
    new errors.PermissionDenied(),
    new errors.MixedContentBlocked(),
    new errors.PopupBlocked("https://example.com/"),
    new errors.BridgeClosed(),
    new errors.PairingDenied(),
    new errors.PairingExpired(),
    new errors.PairingReplaced(),
    new errors.Blocked(),
    new errors.TokenRevoked(),
    new errors.ConnectFailed("expired"),
    new errors.AnswerLost(),
  ];

  assert.equal(new Set([...without, ...all].map((error) => error.code)).size, 12);
  for (const error of all) assert.match(error.help, /\w.*\.$|\w$/, error.code);
  for (const error of [...without, ...all]) assert.match(error.message, /\.$/, error.code);
});
