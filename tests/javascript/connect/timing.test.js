/** Pauses and timeouts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Aborted } from "../../../daemon/upstash_helper/web/connect/errors.js";
import { after, anyOf, pause, throwIfAborted } from "../../../daemon/upstash_helper/web/connect/timing.js";
import { withGlobals } from "../support/helper.js";

const LONG_MS = 60_000;

test("a pause ends when its time is up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let isOver = false;
  const paused = pause(1000).then(() => {
    isOver = true;
  });

  t.mock.timers.tick(999);
  await Promise.resolve();
  assert.equal(isOver, false);
  t.mock.timers.tick(1);
  await paused;
  assert.equal(isOver, true);
});

test("a pause is aborted by a signal, even by one that was aborted before", async () => {
  const abort = new AbortController();
  const paused = pause(LONG_MS, abort.signal);
  abort.abort();

  await assert.rejects(paused, Aborted);
  await assert.rejects(pause(LONG_MS, abort.signal), Aborted);
});

for (const [what, event] of /** @type {[string, Event][]} */ ([
  ["the user comes back to the page", new Event("focus")],
  ["the helper's page reports news", new MessageEvent("message", { data: { type: "upstash-helper" } })],
])) {
  test(`a pause ends early when ${what}`, async (t) => {
    const page = new EventTarget();
    withGlobals(t, {
      addEventListener: page.addEventListener.bind(page),
      removeEventListener: page.removeEventListener.bind(page),
    });

    const paused = pause(LONG_MS);
    page.dispatchEvent(event);

    await paused;
  });
}

test("messages of other origins do not end a pause", async (t) => {
  const page = new EventTarget();
  withGlobals(t, {
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  });
  const abort = new AbortController();

  const paused = pause(LONG_MS, abort.signal);
  page.dispatchEvent(new MessageEvent("message", { data: "hello" }));
  page.dispatchEvent(new MessageEvent("message", { data: null }));
  abort.abort();

  await assert.rejects(paused, Aborted);
});

test("the first of several signals aborts, and missing signals are ignored", () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const signal = anyOf(first.signal, undefined, second.signal);

  assert.equal(signal.aborted, false);
  second.abort();
  assert.equal(signal.aborted, true);
  assert.equal(anyOf(undefined).aborted, false);
  assert.throws(() => throwIfAborted(signal), Aborted);
  assert.doesNotThrow(() => throwIfAborted(first.signal));
  assert.doesNotThrow(() => throwIfAborted(undefined));
});

test("a timeout resolves to false", async () => {
  assert.equal(await after(1), false);
});
