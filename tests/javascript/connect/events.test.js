/** Server-sent events. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { serverSentEvents } from "../../../daemon/upstash_helper/web/connect/events.js";

/** @param {string} text @param {number} [size] Bytes in a chunk. */
async function read(text, size = 1) {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  const found = [];
  for await (const event of serverSentEvents(body)) found.push(event);
  return found;
}

for (const [stream, events] of /** @type {[string, object[]][]} */ ([
  ["", []],
  [": a comment\n\n", []],
  ['event: database\nid: 7\ndata: {"name": "é"}\n\n', [{ type: "database", data: { name: "é" }, id: "7" }]],
  [
    "data: {}\r\n\r\ndata:[1]\r\n\r\n",
    [
      { type: "message", data: {}, id: "" },
      { type: "message", data: [1], id: "" },
    ],
  ],
  ["data: [1,\ndata: 2]\n\n", [{ type: "message", data: [1, 2], id: "" }]],
  ['data: {"cut": ', []],
  ["retry: 5\n\n", []],
])) {
  test(`${JSON.stringify(stream)} has ${events.length} events, in chunks of any size`, async () => {
    for (const size of [1, 3, 1000]) assert.deepEqual(await read(stream, size), events);
  });
}

test("a response without a body has no events, and a reader that stops cancels the stream", async () => {
  for await (const event of serverSentEvents(null)) assert.fail(JSON.stringify(event));

  let isCanceled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
    cancel() {
      isCanceled = true;
    },
  });
  for await (const { data } of serverSentEvents(body)) {
    assert.equal(data, 1);
    break;
  }
  assert.ok(isCanceled);
});
