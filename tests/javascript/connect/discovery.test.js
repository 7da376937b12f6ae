/** Finding and verifying the helper. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  candidates,
  discover,
  firstHelper,
  isHelper,
  startingWith,
} from "../../../daemon/upstash_helper/web/connect/discovery.js";
import {
  Aborted,
  HelperNotRunning,
  MixedContentBlocked,
  PermissionDenied,
} from "../../../daemon/upstash_helper/web/connect/errors.js";
import { Helper, memory, nobody, withGlobals } from "../support/helper.js";

const FOUR = [3000, 26300, 26301, 26302].map((port) => `http://localhost:${port}`);
const signal = new AbortController().signal;

test("the callback port is tried first, and then the helper's own ports", () => {
  assert.deepEqual(candidates(undefined, "https://app.example/connect.js"), FOUR);
});

test("a module that was loaded from a helper uses that helper", () => {
  for (const name of ["connect.js", "connect-core.js"]) {
    assert.deepEqual(candidates(undefined, `http://localhost:4000/${name}`), ["http://localhost:4000"]);
  }
  assert.deepEqual(candidates(undefined, "http://localhost:4000/assets/connect.js"), FOUR);
  assert.deepEqual(candidates(undefined, "http://app.example/connect.js"), FOUR);
});

test("the page's own origin is not tried", (t) => {
  withGlobals(t, { location: new URL("http://localhost:3000/tool") });

  assert.deepEqual(candidates(undefined, "http://localhost:3000/connect.js"), FOUR.slice(1));
});

test("a given address must be on this computer", () => {
  assert.deepEqual(candidates("http://127.0.0.1:4000/path"), ["http://127.0.0.1:4000"]);
  for (const url of ["https://localhost:3000", "http://example.com", "http://localhost.example", "ftp://localhost"]) {
    assert.throws(() => candidates(url), TypeError, url);
  }
});

test("only a server that repeats the random value of the probe is a helper", async (t) => {
  const helper = await Helper.start(t);
  assert.equal(await isHelper(helper.url, signal), true);

  helper.proof = { isGiven: false, delay: 0 };
  assert.equal(await isHelper(helper.url, signal), false);
  assert.equal(await isHelper(await nobody(t), signal), false);
  assert.deepEqual(helper.requests, []);
});

test("only the first address is probed if it answers quickly", async (t) => {
  const [first, second] = [await Helper.start(t), await Helper.start(t)];

  assert.equal(await firstHelper([first.url, second.url]), first.url);
  assert.equal(second.probes, 0);
});

test("the next helper is found if another program has the first address", async (t) => {
  const [other, helper] = [await Helper.start(t), await Helper.start(t)];
  other.proof = { isGiven: false, delay: 0 };

  assert.equal(await firstHelper([other.url, await nobody(t), helper.url]), helper.url);
});

test("the first address is preferred even if it answers a little later", async (t) => {
  const [late, quick] = [await Helper.start(t), await Helper.start(t)];
  late.proof = { isGiven: true, delay: 400 };

  assert.equal(await firstHelper([late.url, quick.url]), late.url);
  assert.equal(quick.probes, 1);
});

test("a first address that hangs does not delay the others", async (t) => {
  const [hanging, quick] = [await Helper.start(t), await Helper.start(t)];
  hanging.proof = { isGiven: true, delay: 3000 };
  const began = Date.now();

  assert.equal(await firstHelper([hanging.url, quick.url]), quick.url);
  assert.ok(Date.now() - began < 2500);
});

test("without a helper, none is found", async (t) => {
  assert.equal(await firstHelper([await nobody(t), await nobody(t)]), null);
});

test("the address that worked last is tried first", async (t) => {
  const [usual, last] = [await Helper.start(t), await Helper.start(t)];
  const storage = memory({ "upstash-helper:at": last.url });

  assert.equal(await discover([usual.url, last.url], storage), last.url);
  assert.equal(usual.probes, 0);
  assert.deepEqual(startingWith("http://elsewhere", FOUR), FOUR);
  assert.deepEqual(startingWith(FOUR[2], FOUR), [FOUR[2], FOUR[0], FOUR[1], FOUR[3]]);
});

test("the reasons for finding no helper are different errors", async (t) => {
  const url = await nobody(t);
  await assert.rejects(discover([url], memory()), (error) => {
    assert.ok(error instanceof HelperNotRunning);
    assert.equal(error.url, url);
    return true;
  });
  await assert.rejects(discover([url], memory(), { signal: AbortSignal.abort() }), Aborted);

  const query = async () => ({ state: "denied" });
  withGlobals(t, { location: new URL("https://app.example/"), navigator: { permissions: { query } } });
  await assert.rejects(discover([url], memory()), PermissionDenied);

  withGlobals(t, { navigator: { vendor: "Apple Computer, Inc." } });
  await assert.rejects(discover([url], memory()), MixedContentBlocked);
});

test("a page on the internet reports the browser's prompt, and continues after the user's answer", async (t) => {
  const helper = await Helper.start(t);
  helper.proof = { isGiven: true, delay: 700 };
  let state = "prompt";
  setTimeout(() => {
    state = "granted";
  }, 600);
  const query = async () => ({ state });
  withGlobals(t, { location: new URL("https://app.example/"), navigator: { permissions: { query } } });
  /** @type {string[]} */
  const steps = [];

  const found = await discover([helper.url], memory(), { onProgress: ({ step }) => steps.push(step) });

  assert.equal(found, helper.url);
  assert.deepEqual(steps, ["permission"]);
});

test("a user who dismisses the browser's prompt is not asked again for the other addresses", async (t) => {
  const helpers = [await Helper.start(t), await Helper.start(t)];
  helpers[0].proof = { isGiven: true, delay: 600 };
  const query = async () => ({ state: "prompt" });
  withGlobals(t, { location: new URL("https://app.example/"), navigator: { permissions: { query } } });

  await assert.rejects(
    discover(
      helpers.map(({ url }) => url),
      memory(),
    ),
    HelperNotRunning,
  );
  assert.deepEqual([helpers[0].probes, helpers[1].probes], [1, 0]);
});
