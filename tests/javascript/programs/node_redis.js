/** node-redis on the database's TCP connection, with RESP3 and RESP2. */

import { createClient, createClientPool, defineScript, ErrorReply } from "redis";
import { failure, variable } from "./environment.js";

const url = variable("REDIS_URL");

/** @param {2 | 3} RESP */
async function results(RESP) {
  const add = defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: 'return redis.call("INCRBY", KEYS[1], ARGV[1])',
    parseCommand(parser, /** @type {string} */ key, /** @type {number} */ by) {
      parser.pushKey(key);
      parser.push(`${by}`);
    },
    transformReply: (/** @type {unknown} */ reply) => Number(reply),
  });
  const client = createClient({ url, RESP, scripts: { add } });
  client.on("error", (error) => console.error(error));
  await client.connect();
  const subscriber = client.duplicate();
  subscriber.on("error", (error) => console.error(error));
  await subscriber.connect();
  await client.flushDb();

  const strings = [
    await client.set("name", "Ada", { expiration: { type: "EX", value: 100 } }),
    await client.get("name"),
  ];
  await client.hSet("hash", { a: "1", b: "two" });
  const hash = { ...(await client.hGetAll("hash")) };
  await client.zAdd("scores", [
    { score: 2.5, value: "b" },
    { score: 1, value: "a" },
  ]);
  const sorted = await client.zRangeWithScores("scores", 0, -1);
  const pipelined = await Promise.all([client.incr("n"), client.incr("n"), client.get("none")]);
  const transaction = await client.multi().set("m", "1").incrBy("m", 41).exec();
  const script = [await client.add("sum", 40), await client.add("sum", 2)];

  const found = [];
  for await (const keys of client.scanIterator({ MATCH: "s*", COUNT: 1 })) found.push(...keys);

  /** @type {Promise<string[]>} */
  const message = new Promise((resolve) => {
    void subscriber
      .subscribe("news", (text, channel) => resolve([channel, text]))
      .then(() => client.publish("news", "hello"));
  });
  const heard = await message;
  await subscriber.unsubscribe();

  const popped = client.blPop("queue", 60);
  await subscriber.rPush("queue", "job");
  const blocking = { ...(await popped) };
  await client.xAdd("stream", "1-1", { field: "value" });
  const streams = await client.xRead({ key: "stream", id: "0" });
  const error = await failure(() => client.lPush("name", "no"));
  const typed = await client.lPush("name", "no").catch((reason) => reason instanceof ErrorReply);

  client.destroy();
  subscriber.destroy();
  return {
    strings,
    hash,
    sorted,
    pipelined,
    transaction,
    script,
    found: found.sort(),
    heard,
    blocking,
    streams,
    error,
    typed,
  };
}

/** Several connections at once. */
async function pool() {
  const clients = createClientPool({ url }, { minimum: 1, maximum: 3, cleanupDelay: 10 });
  clients.on("error", (error) => console.error(error));
  await clients.connect();
  const replies = await Promise.all([1, 2, 3, 4, 5].map((n) => clients.echo(`${n}`)));
  clients.destroy();
  return replies;
}

console.log(JSON.stringify({ resp2: await results(2), resp3: await results(3), pool: await pool() }));
