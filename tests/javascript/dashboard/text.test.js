/** The dashboard's texts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { queryFor, targetText } from "../../../daemon/upstash_helper/web/dashboard/activity.js";
import { lookOf, stepsToShow, waitingText } from "../../../daemon/upstash_helper/web/dashboard/connection_text.js";
import { quoted } from "../../../daemon/upstash_helper/web/dashboard/credentials.js";
import {
  actionText,
  capitalized,
  exact,
  plural,
  relative,
  resultText,
  shorten,
  timeLeft,
} from "../../../daemon/upstash_helper/web/dashboard/format.js";

/** @import { Attempt, Connection } from "../../../daemon/upstash_helper/web/dashboard/openapi.js" */

const NOW = Date.parse("2026-06-01T12:00:00Z");

/** @param {number} seconds */
function moment(seconds) {
  return new Date(NOW + seconds * 1000).toISOString();
}

for (const [seconds, expected] of /** @type {[number, string][]} */ ([
  [0, "just now"],
  [-59, "just now"],
  [30, "in less than a minute"],
  [-60, "1 minute ago"],
  [-3599, "59 minutes ago"],
  [-7200, "2 hours ago"],
  [-86_400, "yesterday"],
  [3 * 86_400, "in 3 days"],
  [-2_592_000, "last month"],
  [-2 * 31_536_000, "2 years ago"],
])) {
  test(`${seconds} seconds are ${expected}`, (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: NOW });

    assert.equal(relative(moment(seconds)), expected);
  });
}

test("an invalid timestamp is shown unchanged", () => {
  assert.equal(relative("soon"), "soon");
  assert.equal(exact("soon"), "soon");
  assert.match(exact(moment(0)), /2026/);
});

for (const [seconds, expected] of /** @type {[number, string][]} */ ([
  [120, "2:00"],
  [61.2, "1:02"],
  [9, "0:09"],
  [0, "0:00"],
  [-5, "0:00"],
])) {
  test(`${seconds} seconds are left as ${expected}`, (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: NOW });

    assert.equal(timeLeft(moment(seconds)), expected);
  });
}

test("codes are shown as text, and unknown codes unchanged", () => {
  assert.equal(actionText("pairing.approve"), "Approved an app");
  assert.equal(actionText("upstash.delete"), "Used Upstash's API (DELETE)");
  assert.equal(actionText("something.new"), "something.new");
  assert.equal(resultText("ok"), "Done");
  assert.equal(resultText("started"), "Started");
  assert.equal(resultText("not_connected"), "Not connected");
  assert.equal(capitalized("active"), "Active");
  assert.deepEqual([plural(0, "app"), plural(1, "app"), plural(2, "app")], ["0 apps", "1 app", "2 apps"]);
  assert.equal(plural(2, "entry", "entries"), "2 entries");
});

const STATES = /** @type {Connection["state"][]} */ ([
  "disconnected",
  "connecting",
  "connected",
  "needs_email",
  "reconnect_required",
  "keyring_locked",
  "keyring_unavailable",
  "port_conflict",
]);

test("every state of the connection has an icon, and an unknown one has a neutral icon", () => {
  for (const state of STATES) assert.notEqual(lookOf(state)[0], "info", state);

  assert.deepEqual(lookOf("paused"), ["info", "quiet"]);
});

test("next steps that have a button here are left out", () => {
  const connect = { text: "Sign in again", command: "upstash-helper connect --force" };
  const open = { text: "Open the dashboard", command: "upstash-helper open" };
  const doctor = { text: "Diagnose the problem", command: "upstash-helper doctor" };
  const setting = { text: "Set client_id" };

  assert.deepEqual(stepsToShow([connect, open, doctor, setting]), [doctor, setting]);
  assert.deepEqual(stepsToShow(undefined), []);
});

test("a sign-in that waits for its address points to the form", () => {
  const detail = "Copy the address and run: upstash-helper connect --paste";
  /** @type {Attempt} */
  const attempt = { attempt_id: "a", state: "pending", expires_at: "" };

  assert.equal(waitingText({ ...attempt, detail }), "Copy the address and paste it into the field below.");
  assert.equal(waitingText(attempt), "");
});

test("activity is filtered by app and time", () => {
  assert.equal(queryFor("", "", NOW).toString(), "page_size=50");
  assert.equal(queryFor("owner", "3600", NOW).toString(), "page_size=50&app=owner&since=2026-06-01T11%3A00%3A00.000Z");
});

test("the target of an activity entry is shown by its name", () => {
  const names = new Map([["db-1", "orders"]]);

  assert.equal(targetText("db-1", names), "orders");
  assert.equal(targetText("db-2 old name", names), "old name");
  assert.equal(targetText('db-2 "old name": eviction on', names), '"old name": eviction on');
  assert.equal(targetText('"my orders" in eu-west-1, plan free', names), '"my orders" in eu-west-1, plan free');
  assert.equal(targetText("db-3", names), "db-3");
  assert.equal(targetText("0123456789abcdef", names), "");
});

for (const [text, limit, shown] of /** @type {[string, number, string][]} */ ([
  ["https://app.example.com", 40, "https://app.example.com"],
  ["https://app.example.com", 20, "app.example.com"],
  ["https://login.app.example.com:8443", 24, "….app.example.com:8443"],
  [`https://accounts.google.com.${"a".repeat(60)}.evil.example`, 40, "….aaaaaaaaaaaa…aaaaaaaaaaaa.evil.example"],
  [`https://x.${"e".repeat(30)}-google.co.uk`, 30, "….eeeeeeeeee…eeee-google.co.uk"],
  ["/usr/lib/a/very/long/path/to/a/program", 20, "/usr/lib/…/a/program"],
])) {
  test(`T76: ${text} in ${limit} characters shows its end`, () => {
    assert.equal(shorten(text, limit), shown);
  });
}

test("variables are quoted so that no reader expands them", () => {
  assert.equal(quoted("https://a.example"), '"https://a.example"');
  assert.equal(quoted("a$b"), "'a$b'");
  assert.equal(quoted('a"b'), "'a\"b'");
  assert.equal(quoted("it's $5"), '"it\'s $5"');
});
