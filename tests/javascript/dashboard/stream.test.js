/** The dashboard's event stream. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "../../../daemon/upstash_helper/web/dashboard/stream.js";
import { Helper, refused } from "../support/helper.js";
import { inPage } from "../support/page.js";

/** @import { TestContext } from "node:test" */
/** @import { Answer } from "../support/helper.js" */

/**
 * Follow a helper with these streams, until `enough` things have happened.
 *
 * @param {TestContext} t
 * @param {number} enough
 * @param {...Answer} streams
 */
async function followed(t, enough, ...streams) {
  const helper = await Helper.start(t);
  helper.on("GET /v1/events", ...streams);
  inPage(t, helper).sessionStorage.setItem("upstash-helper.session", "uhs_1");
  /** @type {unknown[]} */
  const happened = [];
  await new Promise((resolve) => {
    const note = (/** @type {unknown} */ what) => {
      happened.push(what);
      if (happened.length === enough) resolve(undefined);
    };
    const stream = new Stream({
      event: ({ kind, data }) => note([kind, data]),
      up: (missed) => note(missed ? "up, missed" : "up"),
      down: () => {
        note("down");
        setTimeout(() => stream.reconnect(), 1);
      },
    });
    t.after(() => stream.stop());
    stream.start();
  });
  return { happened, resumed: helper.requests.map(({ headers }) => headers["last-event-id"]) };
}

test("the stream resumes at the last event after an interruption", async (t) => {
  const { happened, resumed } = await followed(
    t,
    6,
    { text: 'id: e1\nevent: database\ndata: {"id":\ndata: "1"}\n\nid: e2\nevent: reset' },
    { text: "id: e3\nevent: connection\ndata: {}\n\n: comment\n\n" },
  );

  assert.deepEqual(happened, ["up", ["database", { id: "1" }], "down", "up", ["connection", {}], "down"]);
  assert.deepEqual(resumed.slice(0, 2), [undefined, "e1"]);
});

test("after a reset, the stream does not resume, and reports that events may have been missed", async (t) => {
  const { happened, resumed } = await followed(t, 4, { text: "id: e1\nevent: reset\ndata: {}\n\n" }, { text: "" });

  assert.deepEqual(happened, ["up", ["reset", {}], "down", "up, missed"]);
  assert.deepEqual(resumed, [undefined, undefined]);
});

test("a bye event ends the stream, whatever follows", async (t) => {
  const { happened } = await followed(t, 2, { text: "event: bye\ndata: {}\n\nevent: database\ndata: {}\n\n" });

  assert.deepEqual(happened, ["up", "down"]);
});

test("an error response does not count as a stopped helper, and is retried", async (t) => {
  const { happened, resumed } = await followed(t, 1, refused(429, "too_many_streams"), { text: "" });

  assert.deepEqual(happened, ["up"]);
  assert.equal(resumed.length, 2);
});

test("the end of the session ends the stream", async (t) => {
  const helper = await Helper.start(t);
  helper.on("GET /v1/events", refused(401, "invalid_token"));
  inPage(t, helper).sessionStorage.setItem("upstash-helper.session", "uhs_1");
  const fail = () => assert.fail("nothing must happen");
  const stream = new Stream({ event: fail, up: fail, down: fail });

  stream.start();
  while (helper.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 700));

  assert.equal(helper.requests.length, 1);
});
