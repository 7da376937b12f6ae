/** Capabilities of the browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  blocksMixedContent,
  isLoopback,
  mayPrompt,
  networkPermission,
  popupFeatures,
} from "../../../daemon/upstash_helper/web/connect/environment.js";
import { withGlobals } from "../support/helper.js";

test("loopback host names are recognized", () => {
  for (const name of ["localhost", "app.localhost", "127.0.0.1", "[::1]"]) assert.ok(isLoopback(name), name);
  for (const name of ["localhost.example", "127.0.0.2", "xlocalhost", "example.com", ""]) {
    assert.ok(!isLoopback(name), name);
  }
});

for (const [address, expected] of /** @type {[string, boolean][]} */ ([
  ["https://app.example/", true],
  ["http://app.example/", true],
  ["http://localhost:5173/", false],
  ["http://[::1]/", false],
  ["chrome-extension://abc/popup.html", false],
])) {
  test(`a page at ${address} is ${expected ? "" : "not "}asked about local access`, (t) => {
    withGlobals(t, { location: new URL(address) });

    assert.equal(mayPrompt(), expected);
  });
}

test("the permission is read by the name that the browser supports", async (t) => {
  /** @type {string[]} */
  const asked = [];
  const query = async (/** @type {{ name: string }} */ { name }) => {
    asked.push(name);
    if (name !== "local-network-access") throw new TypeError("unknown name");
    return { state: "prompt" };
  };
  withGlobals(t, { navigator: { permissions: { query } } });

  assert.equal(await networkPermission(), "prompt");
  assert.deepEqual(asked, ["loopback-network", "local-network-access"]);
});

test("the state of an unsupported permission is unknown", async (t) => {
  withGlobals(t, { navigator: {} });

  assert.equal(await networkPermission(), "unknown");
});

test("only WebKit on https blocks mixed content", (t) => {
  withGlobals(t, { location: new URL("https://app.example/"), navigator: { vendor: "Apple Computer, Inc." } });
  assert.ok(blocksMixedContent());

  withGlobals(t, { navigator: { vendor: "Google Inc." } });
  assert.ok(!blocksMixedContent());

  withGlobals(t, { location: new URL("http://localhost/"), navigator: { vendor: "Apple Computer, Inc." } });
  assert.ok(!blocksMixedContent());
});

test("a popup opens in the middle of the page's window", (t) => {
  withGlobals(t, { screenX: 100, screenY: 30, outerWidth: 1000, outerHeight: 900 });

  assert.equal(popupFeatures({ width: 480, height: 720 }), "popup,width=480,height=720,left=360,top=90");
});
