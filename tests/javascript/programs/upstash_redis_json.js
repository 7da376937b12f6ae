/** `redis.json` of `@upstash/redis`, also in pipelines and transactions. */

import { Redis } from "@upstash/redis";
import { failure, rest, variable } from "./environment.js";

const redis = new Redis(rest());
const document = JSON.parse(variable("DOCUMENT"));
/** @type {unknown[]} */
const out = [
  await redis.json.set("k", "$", document),
  await redis.json.set("k", "$", document, { nx: true }),
  await redis.json.set("k", "$.int", 1, { xx: true }),
  await redis.json.get("k", "$"),
  await redis.json.get("k"),
  await redis.json.get("k", { indent: " ", newline: "\n", space: " " }, "$.array"),
  await redis.json.get("k", "$..int", "$..text"),
  await redis.json.mget(["k", "missing"], "$..int"),
  await redis.json.type("k", "$..flag"),
  await redis.json.arrappend("k", "$..array", 8, '"nine"', [10]),
  await redis.json.arrindex("k", "$..array", '"nine"'),
  await redis.json.arrinsert("k", "$.array", 0, '"first"'),
  await redis.json.arrlen("k", "$..array"),
  await redis.json.arrpop("k", "$..array", 0),
  await redis.json.arrtrim("k", "$..array", 0, 1),
  await redis.json.numincrby("k", "$..int", 2),
  await redis.json.nummultby("k", "$..int", 2),
  await redis.json.strappend("k", "$..text", '"z"'),
  await redis.json.strlen("k", "$..text"),
  await redis.json.toggle("k", "$..flag"),
  await redis.json.merge("k", "$", { text: null, new: { a: 1 } }),
  await redis.json.clear("k", "$.new"),
  await redis.json.objkeys("k", "$.object"),
  await redis.json.objlen("k", "$.object"),
  await redis.json.resp("k", "$.array"),
  await redis.json.mset({ key: "k", path: "$.set", value: [1] }, { key: "l", path: "$", value: { a: 1 } }),
  await redis.json.del("k", "$.object.flag"),
  await redis.json.forget("k", "$.flag"),
  await redis.type("k"),
  (await redis.scan(0, { type: "json", count: 100 }))[1].sort(),
  await redis.pipeline().json.set("p", "$", { a: 1 }).json.numincrby("p", "$.a", 1).json.get("p", "$").exec(),
  await redis.multi().json.set("m", "$", { a: 1 }).json.numincrby("m", "$.a", 1).json.get("m", "$").exec(),
];
const reader = new Redis({ url: variable("REST_URL"), token: variable("READ_ONLY_TOKEN") });
out.push(await reader.json.get("k", "$.int"));
out.push(await failure(() => reader.json.set("k", "$", 1)));
console.log(JSON.stringify(out));
