/** ioredis on the database's TCP connection. */

import { once } from "node:events";
import { Redis } from "ioredis";
import { failure, variable } from "./environment.js";

const redis = new Redis(variable("REDIS_URL"));
const subscriber = redis.duplicate();
/** @type {Record<string, unknown>} */
const results = {};

results.strings = [await redis.set("name", "Ada"), await redis.get("name"), await redis.incrby("n", 41)];
await redis.hset("hash", { a: "1", b: "two" });
results.hash = await redis.hgetall("hash");
await redis.set("bytes", Buffer.from([0, 255, 10]));
results.binary = [...((await redis.getBuffer("bytes")) ?? [])];
results.pipeline = await redis
  .pipeline()
  .incr("n")
  .lpush("n", "no")
  .get("none")
  .exec()
  .then((replies) => replies?.map(([error, value]) => error?.message.split(" ")[0] ?? value));
results.transaction = await redis.multi().set("m", "1").incrby("m", 41).exec();
await redis.watch("m");
await subscriber.set("m", "changed");
results.watch = await redis.multi().get("m").exec();

redis.defineCommand("addTo", {
  numberOfKeys: 1,
  lua: 'return redis.call("INCRBY", KEYS[1], ARGV[1])',
});
/** @type {any} */
const withScript = redis;
results.script = [await withScript.addTo("sum", 40), await withScript.addTo("sum", 2)];

await redis.mset("scan:1", "", "scan:2", "", "scan:3", "");
const found = new Set();
for await (const keys of redis.scanStream({ match: "scan:*", count: 1 })) {
  for (const key of keys) found.add(key);
}
results.scan = [...found].sort();

await subscriber.subscribe("news");
await subscriber.psubscribe("new*");
const messages = Promise.all([once(subscriber, "message"), once(subscriber, "pmessage")]);
const receivers = await redis.publish("news", "hello");
results.publish = [receivers, ...(await messages)];
await subscriber.unsubscribe("news");
await subscriber.punsubscribe("new*");

const popped = subscriber.blpop("queue", 60);
await redis.rpush("queue", "job");
results.blocking = [await popped, await subscriber.blpop("queue", 0.05)];
await redis.xgroup("CREATE", "stream", "group", "$", "MKSTREAM");
await redis.xadd("stream", "1-1", "field", "value");
results.stream = await redis.xreadgroup("GROUP", "group", "me", "COUNT", 1, "STREAMS", "stream", ">");
results.acknowledged = await redis.xack("stream", "group", "1-1");
results.error = await failure(() => redis.lpush("name", "no"));

const auto = new Redis(variable("REDIS_URL"), { enableAutoPipelining: true });
results.autoPipelining = await Promise.all([auto.set("x", "1"), auto.get("x"), auto.incr("x")]);
results.places = await redis
  .geoadd("places", 13.4, 52.5, "Berlin", 11.6, 48.1, "Munich")
  .then(() => redis.geosearch("places", "FROMMEMBER", "Berlin", "BYRADIUS", 1000, "km", "ASC"));

const wrong = new URL(variable("REDIS_URL"));
wrong.password = "wrong";
const refused = new Redis(wrong.href, { lazyConnect: true, retryStrategy: () => null });
refused.on("error", () => {});
results.wrongPassword = (await failure(() => refused.ping())).split(" ")[0];

for (const client of [redis, subscriber, auto, refused]) client.disconnect();
console.log(JSON.stringify(results));
