/** `@upstash/lock`: two holders compete for one lock. */

import { Lock } from "@upstash/lock";
import { Redis } from "@upstash/redis";
import { rest } from "./environment.js";

const redis = new Redis(rest());
const once = { attempts: 1, delay: 1 };
const first = new Lock({ id: "printer", redis, lease: 60_000 });
const second = new Lock({ id: "printer", redis, lease: 60_000, retry: once });

const acquired = await first.acquire();
const taken = [await second.acquire(), await second.getStatus(), await second.release()];
const held = await first.getStatus();
const before = await redis.ttl("printer");
const extended = await first.extend(30_000);
const after = await redis.ttl("printer");
const released = await first.release();
const free = [await redis.exists("printer"), await first.getStatus(), await first.extend(1000)];

const named = await second.acquire({ uuid: "mine" });
const owner = await redis.get("printer");
await second.release();

const short = await first.acquire({ lease: 20 });
const waited = await second.acquire({ retry: { attempts: 200, delay: 10 } });

console.log(
  JSON.stringify({
    acquired,
    taken,
    held,
    extended,
    longer: before <= 60 && after > 60 && after <= 90,
    released,
    free,
    named,
    owner,
    expired: [short, waited, await first.getStatus(), await second.getStatus()],
  }),
);
