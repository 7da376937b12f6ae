/** `@upstash/realtime`: events of several channels, live and from history, and the stream for browsers. */

import { handle, Realtime } from "@upstash/realtime";
import { Redis } from "@upstash/redis";
import * as z from "zod/v4";
import { failure, rest } from "./environment.js";

/** @import { SubscriptionEvent } from "@upstash/realtime" */

const schema = { order: { paid: z.object({ total: z.number() }), shipped: z.object({ by: z.string() }) } };
const redis = new Redis(rest());
const realtime = new Realtime({ schema, redis, history: { maxLength: 3, expireAfterSecs: 600 }, maxDurationSecs: 60 });

/** @typedef {SubscriptionEvent<{ schema: typeof schema }, "order.paid" | "order.shipped">} Event */

/** Events in the order of their arrival. */
class Inbox {
  /** @type {Event[]} */
  #arrived = [];
  /** @type {(() => void) | undefined} */
  #wake;

  /** @param {Event} event */
  put = (event) => {
    this.#arrived.push(event);
    this.#wake?.();
  };

  /** @param {number} count @returns {Promise<Event[]>} */
  async take(count) {
    while (this.#arrived.length < count) {
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
      });
    }
    return this.#arrived.splice(0, count);
  }
}

/** @param {Event[]} events */
const data = (events) => events.map((event) => [event.event, event.data]);

const shop = realtime.channel("shop");
const live = new Inbox();
const stop = await shop.subscribe({ events: ["order.paid"], onData: live.put });
await shop.emit("order.shipped", { by: "ship" });
await shop.emit("order.paid", { total: 1 });
await realtime.channel("elsewhere").emit("order.paid", { total: 99 });
await shop.emit("order.paid", { total: 2 });
const heard = await live.take(2);

const all = new Inbox();
const stopAll = await shop.subscribe({ events: ["order.paid", "order.shipped"], history: true, onData: all.put });
const replayed = await all.take(3);
await shop.emit("order.paid", { total: 3 });
const following = await all.take(1);

const resumed = new Inbox();
const stopResumed = await shop.subscribe({ events: ["order.paid"], after: heard[0].cursor, onData: resumed.put });
const missed = await resumed.take(2);
const stale = await failure(() =>
  shop.subscribe({ events: ["order.paid"], after: replayed[0].cursor, onData: () => {} }),
);
await Promise.all([stop(), stopAll(), stopResumed()]);

const invalid = await failure(() => shop.emit("order.paid", /** @type {any} */ ({ total: "much" })));
const history = await shop.history();
const expires = await redis.ttl("shop");

// What a browser requests: a stream of server-sent events.
const respond = handle({
  realtime,
  middleware: ({ request }) =>
    request.headers.has("cookie") ? undefined : new Response("Sign in first.", { status: 401 }),
});
const request = "http://localhost/api/realtime?channel=shop&channel=elsewhere&last_ack_shop=0";
const denied = (await respond(new Request(request)))?.status;
const leaving = new AbortController();
const response = await respond(new Request(request, { headers: { cookie: "session=1" }, signal: leaving.signal }));
if (!response?.body) throw new Error("no stream");
const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();

/** @param {number} count @returns {Promise<any[]>} The stream's next events. */
async function next(count) {
  let text = "";
  while (text.split("\n\n").length <= count) text += (await reader.read()).value;
  return text
    .trim()
    .split("\n\n")
    .map((event) => JSON.parse(event.slice("data: ".length)));
}

const opening = await next(5);
await realtime.channel("elsewhere").emit("order.shipped", { by: "plane" });
const [arrived] = await next(1);
leaving.abort();

const results = {
  heard: data(heard),
  replayed: data(replayed),
  following: data(following),
  missed: data(missed),
  stale: stale.startsWith("Cursor"),
  invalid: invalid.includes("expected number"),
  history: history.map(({ event, data, channel }) => [channel, event, data]),
  expires: expires > 0 && expires <= 600,
  denied,
  type: response.headers.get("content-type"),
  connected: opening
    .filter(({ type }) => type === "connected")
    .map(({ channel }) => channel)
    .sort(),
  acknowledged: opening.filter(({ event }) => event).map(({ data }) => data.total),
  arrived: [arrived.channel, arrived.event, arrived.data],
};
// The client sends a ping each minute, also when it is no longer subscribed, so the program would not end.
process.stdout.write(JSON.stringify(results), () => process.exit());
