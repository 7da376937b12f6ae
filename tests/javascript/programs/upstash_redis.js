/** `@upstash/redis`: the REST API of the database. */

import { Redis } from "@upstash/redis";
import { failure, rest, variable } from "./environment.js";

const redis = new Redis({ ...rest(), enableAutoPipelining: false });
/** @type {Record<string, unknown>} */
const results = {};

/** @param {ReturnType<typeof redis.subscribe>} subscription @param {string} name @returns {Promise<any>} The next. */
function event(subscription, name) {
  return new Promise((resolve) => subscription.on(/** @type {any} */ (name), resolve));
}

results.set = await redis.set("name", "Ada", { ex: 100 });
results.get = await redis.get("name");
await redis.set("object", { born: 1815, tags: ["é", "math"] });
results.object = await redis.get("object");
await redis.hset("hash", { a: 1, b: "two" });
results.hash = await redis.hgetall("hash");
await redis.zadd("scores", { score: 1, member: "a" }, { score: 2.5, member: "b" });
results.scores = await redis.zrange("scores", 0, -1, { withScores: true });
results.pipeline = await redis.pipeline().incr("n").incr("n").get("none").exec();
results.failing = await redis
  .pipeline()
  .incr("n")
  .lpush("name", "no")
  .exec({ keepErrors: true })
  .then((replies) => replies.map(({ result, error }) => error?.split(" ")[0] ?? result));
results.multi = await redis.multi().set("m", "1").incrby("m", 41).exec();
results.scan = (await redis.scan(0, { count: 100 }))[1].sort();
results.script = await redis.createScript("return {KEYS[1], ARGV[1]}").exec(["key"], ["argument"]);
await redis.xadd("stream", "1-1", { field: "value" });
results.stream = await redis.xrange("stream", "-", "+");
results.error = (await failure(() => redis.lpush("name", "no"))).split(" ")[0];

const auto = new Redis({ ...rest(), enableAutoPipelining: true });
results.autoPipelining = [
  await Promise.all([auto.incr("auto"), auto.incr("auto"), auto.incr("auto")]),
  // @ts-expect-error: the type does not show the counter
  auto.pipelineCounter,
];
const plain = new Redis({ ...rest(), automaticDeserialization: false, responseEncoding: false });
results.plain = await plain.get("object");

const news = redis.subscribe("news");
const all = redis.psubscribe("new*");
await Promise.all([event(news, "subscribe"), event(all, "psubscribe")]);
const messages = Promise.all([event(news, "message"), event(all, "pmessage")]);
results.receivers = await redis.publish("news", { title: "Emma" });
results.messages = await messages;
await Promise.all([news.unsubscribe(), all.unsubscribe()]);

const reader = new Redis({ url: variable("REST_URL"), token: variable("READ_ONLY_TOKEN") });
results.reads = await reader.get("name");
results.denied = (await failure(() => reader.set("name", "Eve"))).includes("NOPERM");

console.log(JSON.stringify(results));
