/** Validation of the requests that the bridge relays. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isRelayable } from "../../../daemon/upstash_helper/web/pages/bridge_requests.js";

const ORIGIN = "http://localhost:3000";
const GOOD = { method: "GET", path: "/v1/databases?page_size=200", headers: [["accept", "*/*"]], body: null };

for (const [what, change] of /** @type {[string, object][]} */ ([
  ["a read", {}],
  ["a request to Upstash itself", { path: "/upstash/v2/redis/databases" }],
  ["a body", { method: "POST", body: "{}" }],
  ["no headers", { headers: [] }],
  ["the longest body", { method: "POST", body: "x".repeat(1024 * 1024) }],
])) {
  test(`${what} is relayed`, () => {
    assert.equal(isRelayable({ ...GOOD, ...change }, ORIGIN), true);
  });
}

for (const [what, change] of /** @type {[string, object][]} */ ([
  ["another method", { method: "CONNECT" }],
  ["a method in lower case", { method: "get" }],
  ["no method", { method: undefined }],
  ["a page of the helper", { path: "/" }],
  ["a file", { path: "/web/pages/page.js" }],
  ["a path that only begins alike", { path: "/v1" }],
  ["another origin", { path: "//evil.example/v1/databases" }],
  ["a full address", { path: "http://localhost:3000/v1/databases" }],
  ["a path with dots", { path: "/v1/../web/pages/page.js" }],
  ["a path with encoded dots", { path: "/v1/%2e%2e/bridge" }],
  ["a path with a backslash", { path: "/v1/\\evil" }],
  ["a path with a fragment", { path: "/v1/databases#x" }],
  ["a path with a line break", { path: "/v1/data\nbases" }],
  ["a path that is no text", { path: ["/v1/databases"] }],
  ["a header that the bridge sets", { headers: [["upstash-helper-on-behalf-of", "https://bank.example"]] }],
  ["a header in another case", { headers: [["Accept", "*/*"]] }],
  ["a cookie", { headers: [["cookie", "a=b"]] }],
  ["a header without a value", { headers: [["accept"]] }],
  ["a header whose value is no text", { headers: [["accept", 1]] }],
  ["headers as an object", { headers: { accept: "*/*" } }],
  ["a body that is no text", { body: new Uint8Array(1) }],
  ["a body that is missing", { body: undefined }],
  ["a body that is too long", { body: "x".repeat(1024 * 1024 + 1) }],
])) {
  test(`${what} is not relayed`, () => {
    assert.equal(isRelayable({ ...GOOD, ...change }, ORIGIN), false);
  });
}
