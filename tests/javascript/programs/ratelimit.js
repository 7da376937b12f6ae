/** `@upstash/ratelimit`: every algorithm in one region, the two of several regions, and what they share. */

import { setTimeout } from "node:timers/promises";
import { Analytics, IpDenyList, MultiRegionRatelimit, Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { rest, variable } from "./environment.js";

const redis = new Redis(rest());
const other = new Redis({ url: variable("REST_URL"), token: variable("OTHER_TOKEN") });
// It does not end while the test runs, except once in three years.
const LONG = "1000 d";
// No limit answers from memory, so that each answer is the database's.
const shared = { redis, ephemeralCache: /** @type {const} */ (false), timeout: 0 };

/**
 * @param {string} prefix
 * @param {Ratelimit | MultiRegionRatelimit} limiter Of 3 requests.
 * @returns What it says to five requests of one user, and one of another.
 */
async function used(prefix, limiter) {
  const answers = [];
  for (const user of ["ada", "ada", "ada", "ada", "eve"]) {
    const { success, limit, remaining, pending } = await limiter.limit(user);
    await pending;
    answers.push([success, limit, Math.max(remaining, 0)]);
  }
  const { remaining, limit } = await limiter.getRemaining("ada");
  await limiter.resetUsedTokens("ada");
  // In several regions, the library does not wait for the reset.
  for (const database of [redis, other]) {
    while ((await database.keys(`${prefix}:ada*`)).length > 0) await setTimeout(5);
  }
  const again = await limiter.limit("ada");
  await again.pending;
  return { answers, left: [remaining, limit], afterReset: again.success };
}

const algorithms = {
  fixedWindow: Ratelimit.fixedWindow(3, LONG),
  slidingWindow: Ratelimit.slidingWindow(3, LONG),
  tokenBucket: Ratelimit.tokenBucket(1, LONG, 3),
};
/** @type {Record<string, unknown>} */
const results = {};
for (const [name, limiter] of Object.entries(algorithms)) {
  results[name] = await used(name, new Ratelimit({ ...shared, prefix: name, limiter }));
}
for (const [name, limiter] of Object.entries({
  fixedWindow: MultiRegionRatelimit.fixedWindow(3, LONG),
  slidingWindow: MultiRegionRatelimit.slidingWindow(3, LONG),
})) {
  const prefix = `regions-${name}`;
  const options = { ...shared, redis: [redis, other], prefix, limiter };
  results[`${name} in regions`] = await used(prefix, new MultiRegionRatelimit(options));
}

const cached = new Ratelimit({
  redis,
  timeout: 0,
  prefix: "cached",
  limiter: Ratelimit.cachedFixedWindow(2, LONG),
  ephemeralCache: new Map(),
});
const cachedAnswers = [];
for (let request = 0; request < 3; request += 1) {
  const { success, pending } = await cached.limit("ada");
  await pending;
  cachedAnswers.push(success);
}
results.cachedFixedWindow = cachedAnswers;

const ephemeral = new Ratelimit({ redis, timeout: 0, prefix: "ephemeral", limiter: Ratelimit.fixedWindow(1, LONG) });
await ephemeral.limit("ada");
await ephemeral.limit("ada");
results.ephemeralCache = (await ephemeral.limit("ada")).reason;

const weighted = new Ratelimit({ ...shared, prefix: "weighted", limiter: Ratelimit.fixedWindow(10, LONG) });
results.rate = [
  (await weighted.limit("ada", { rate: 7 })).remaining,
  (await weighted.limit("ada", { rate: 7 })).success,
];

const waiting = new Ratelimit({ ...shared, prefix: "waiting", limiter: Ratelimit.fixedWindow(1, "500 ms") });
let refused = await waiting.limit("ada");
while (refused.success) refused = await waiting.limit("ada");
const allowed = await waiting.blockUntilReady("ada", 60_000);
results.blockUntilReady = [allowed.success, Date.now() >= refused.reset];
const hopeless = new Ratelimit({ ...shared, prefix: "hopeless", limiter: Ratelimit.fixedWindow(1, LONG) });
await hopeless.limit("ada");
results.blockUntilTimeout = (await hopeless.blockUntilReady("ada", 50)).success;

const dynamic = new Ratelimit({
  ...shared,
  prefix: "dynamic",
  limiter: Ratelimit.slidingWindow(100, LONG),
  dynamicLimits: true,
});
const limits = [(await dynamic.limit("ada")).limit];
await dynamic.setDynamicLimit({ limit: 5 });
limits.push((await dynamic.limit("ada")).limit, (await dynamic.getDynamicLimit()).dynamicLimit ?? -1);
await dynamic.setDynamicLimit({ limit: false });
limits.push((await dynamic.limit("ada")).limit);
results.dynamicLimits = limits;

// The list of addresses is downloaded, unless it is turned off.
await IpDenyList.disableIpDenyList(redis, "guarded");
await redis.sadd("guarded:denyList:all", "203.0.113.9", "bad-bot", "mallory");
const guarded = new Ratelimit({
  ...shared,
  prefix: "guarded",
  limiter: Ratelimit.fixedWindow(10, LONG),
  enableProtection: true,
  analytics: true,
});
const denied = [];
for (const request of [{}, { ip: "203.0.113.9" }, { userAgent: "bad-bot" }, { ip: "203.0.113.10" }]) {
  const { success, reason, deniedValue, pending } = await guarded.limit("ada", request);
  await pending;
  denied.push([success, reason ?? null, deniedValue ?? null]);
}
const mallory = await guarded.limit("mallory");
await mallory.pending;
results.denyList = [...denied, [mallory.success, mallory.reason, mallory.deniedValue]];

const analytics = new Analytics({ redis, prefix: "guarded" });
results.analytics = {
  // Two hours, so that the events are found after the hour has changed.
  top: await analytics.getMostAllowedBlocked(2),
  usage: await analytics.getUsage(Date.now() - 2 * 60 * 60 * 1000),
  hours: (await analytics.getUsageOverTime(2, "success")).map(({ success }) => success ?? {}),
};

console.log(JSON.stringify(results));
