/** The event stream that tabs share, in a browser without Web Locks: each visible tab has its own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedStream } from "../../../daemon/upstash_helper/web/dashboard/shared_stream.js";
import { Helper, refused, withGlobals } from "../support/helper.js";
import { inPage } from "../support/page.js";

/** @import { TestContext } from "node:test" */
/** @import { Answer } from "../support/helper.js" */

/** A document that can be hidden. */
class Page extends EventTarget {
  hidden = true;

  /** @param {boolean} hidden */
  setHidden(hidden) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

/**
 * Follow a helper in a tab that is hidden at first.
 *
 * @param {TestContext} t
 * @param {...Answer} streams
 */
async function tab(t, ...streams) {
  const helper = await Helper.start(t);
  helper.on("GET /v1/events", ...streams);
  inPage(t, helper).sessionStorage.setItem("upstash-helper.session", "uhs_1");
  const page = new Page();
  withGlobals(t, { document: page, navigator: {} });
  /** @type {string[]} */
  const happened = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  const note = (/** @type {string} */ what) => {
    happened.push(what);
    for (const check of waiting) check();
  };
  const stream = new SharedStream({
    event: ({ kind }) => note(kind),
    changed: () => assert.fail("there is no other tab"),
    reload: () => note("reload"),
    up: () => note("up"),
    down: () => note("down"),
  });
  t.after(() => stream.stop());
  stream.start();
  /** @type {(count: number) => Promise<unknown>} */
  const until = (count) =>
    new Promise((resolve) => {
      const check = () => happened.length >= count && resolve(undefined);
      waiting.push(check);
      check();
    });
  return { helper, page, happened, until };
}

test("a hidden tab has no stream, and loads everything when it is shown", async (t) => {
  const { helper, page, happened, until } = await tab(t, { text: "id: e1\nevent: database\ndata: {}\n\n" });
  const before = helper.requests.length;

  page.setHidden(false);
  await until(4);
  page.setHidden(true);

  assert.equal(before, 0);
  assert.deepEqual(happened.slice(0, 4), ["up", "reload", "database", "down"]);
});

test("a tab that gets no stream loads what it shows once", async (t) => {
  const { page, happened, until } = await tab(t, refused(429, "too_many_streams"), { text: "" });

  page.setHidden(false);
  await until(3);

  assert.deepEqual(happened.slice(0, 3), ["reload", "up", "reload"]);
});
