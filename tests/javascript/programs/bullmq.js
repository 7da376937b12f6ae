/** BullMQ: queues, workers, and flows, on the database's TCP connection. */

import { once } from "node:events";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from "bullmq";
import { failure, variable } from "./environment.js";

/** @import { Job, JobsOptions, WorkerOptions } from "bullmq" */

const url = new URL(variable("REDIS_URL"));
const connection = {
  host: url.hostname,
  port: Number(url.port),
  username: url.username,
  password: url.password,
};
/** @type {(Queue | QueueEvents | Worker | FlowProducer)[]} */
const open = [];

/** @template {Queue | QueueEvents | Worker | FlowProducer} T @param {T} client @returns {T} */
function keep(client) {
  const emitter = /** @type {import("node:events").EventEmitter} */ (client);
  emitter.on("error", (error) => console.error(error));
  open.push(client);
  return client;
}

/** @param {string} name */
const queueOf = (name) => keep(new Queue(name, { connection }));

/**
 * @param {string} name
 * @param {(job: Job) => Promise<unknown>} work
 * @param {Partial<WorkerOptions>} [options]
 */
const workerOf = (name, work, options) => keep(new Worker(name, work, { connection, ...options }));

/** @param {Worker} worker @param {number} count @returns {Promise<string[]>} The next jobs that it completes. */
function completed(worker, count) {
  /** @type {string[]} */
  const names = [];
  return new Promise((resolve) => {
    worker.on("completed", (job) => {
      if (names.push(job.name) === count) resolve(names);
    });
  });
}

/** A job's result, progress and log; its events; and failures, with and without another try. */
async function results() {
  const queue = queueOf("results");
  const events = keep(new QueueEvents("results", { connection }));
  await events.waitUntilReady();
  /** @type {Set<string>} */
  const seen = new Set();
  for (const name of /** @type {const} */ (["added", "waiting", "active", "progress", "completed", "failed"])) {
    events.on(name, () => seen.add(name));
  }
  workerOf("results", async (job) => {
    if (job.name === "sum") {
      await job.updateProgress(50);
      await job.log("half");
      return job.data.numbers.reduce((/** @type {number} */ sum, /** @type {number} */ n) => sum + n, 0);
    }
    if (job.name === "never") throw new UnrecoverableError("no");
    if (job.attemptsMade < 2) throw new Error("not yet");
    return job.attemptsMade;
  });
  const sum = await queue.add("sum", { numbers: [1, 2, 39] });
  const result = await sum.waitUntilFinished(events);
  const retried = await queue.add("flaky", {}, { attempts: 3, backoff: { type: "fixed", delay: 10 } });
  const attempts = await retried.waitUntilFinished(events);
  const never = await queue.add("never", {}, { attempts: 3 });
  const reason = await failure(() => never.waitUntilFinished(events));
  const stored = await queue.getJob(sum.id ?? "");
  const failed = await queue.getFailed();
  return {
    result,
    stored: [stored?.returnvalue, stored?.progress, (await queue.getJobLogs(sum.id ?? "")).logs],
    attempts,
    failed: [reason, failed.map((job) => [job.name, job.attemptsMade])],
    counts: await queue.getJobCounts("completed", "failed", "waiting"),
    events: [...seen].sort(),
  };
}

/** The order of jobs that were added before there was a worker. */
async function order() {
  const queue = queueOf("order");
  /** @type {[string, JobsOptions][]} */
  const jobs = [
    ["third", { priority: 10 }],
    ["second", { priority: 2 }],
    ["first", {}],
    ["zeroth", { lifo: true }],
    ["delayed", { delay: 300 }],
  ];
  await queue.addBulk(jobs.map(([name, opts]) => ({ name, data: {}, opts })));
  const before = await queue.getJobCounts("waiting", "prioritized", "delayed");
  let early = 0;
  const worker = workerOf("order", async (job) => {
    if (Date.now() < job.timestamp + job.delay) early += 1;
  });
  // The delayed job may be due before the others are done.
  const names = (await completed(worker, jobs.length)).filter((name) => name !== "delayed");
  return { before, names, early };
}

/** A job that repeats, a schedule, and one that is removed. */
async function repetition() {
  const queue = queueOf("repetition");
  const worker = workerOf("repetition", async () => {});
  const done = completed(worker, 3);
  await queue.upsertJobScheduler("often", { every: 50, limit: 3 }, { name: "tick" });
  await queue.upsertJobScheduler("yearly", { pattern: "0 0 1 1 *", tz: "UTC" }, { name: "happy" });
  const names = await done;
  const next = (await queue.getDelayed()).filter((job) => job.name === "happy").map((job) => job.timestamp + job.delay);
  const removed = await queue.removeJobScheduler("yearly");
  return {
    names,
    next: next.map((time) => new Date(time).toISOString().slice(4)),
    removed: [removed, (await queue.getJobSchedulers()).filter(({ name }) => name === "happy").length],
  };
}

/** The worker's limit: two jobs in a minute, and in a moment. */
async function rateLimit() {
  const jobs = [1, 2, 3, 4].map((n) => ({ name: `${n}`, data: {} }));
  const strict = queueOf("strict");
  await strict.addBulk(jobs);
  await completed(
    workerOf("strict", async () => {}, { limiter: { max: 2, duration: 60_000 } }),
    2,
  );
  const limited = (await strict.getRateLimitTtl(2)) > 0;
  const counts = await strict.getJobCounts("completed", "waiting");

  await queueOf("lenient").addBulk(jobs);
  const all = await completed(
    workerOf("lenient", async () => {}, { limiter: { max: 2, duration: 50 } }),
    4,
  );
  return { limited, counts, all };
}

/** A parent that waits for its children, in another queue. */
async function flow() {
  workerOf("children", async (job) => job.data.value * 2);
  const worker = workerOf("parents", async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, 0);
  });
  const result = once(worker, "completed");
  const flows = keep(new FlowProducer({ connection }));
  const { job } = await flows.add({
    name: "total",
    queueName: "parents",
    children: [1, 2, 3].map((value) => ({ name: "double", data: { value }, queueName: "children" })),
  });
  const [parent, value] = await result;
  return { same: parent.id === job.id, value };
}

/** What is waiting can be paused, found, removed, and is not added twice. */
async function management() {
  const queue = queueOf("managed");
  await queue.pause();
  const paused = await queue.isPaused();
  const first = await queue.add("once", {}, { deduplication: { id: "the-one" } });
  const second = await queue.add("once", {}, { deduplication: { id: "the-one" } });
  await queue.add("named", {}, { jobId: "chosen" });
  await queue.add("named", {}, { jobId: "chosen" });
  const waiting = await queue.getJobCountByTypes("waiting");
  const removed = await queue.remove("chosen");
  await queue.resume();
  const worker = workerOf("managed", async () => {});
  const [name] = await completed(worker, 1);
  const cleaned = await queue.clean(0, 100, "completed");
  await queue.obliterate({ force: true });
  return { paused, same: first.id === second.id, waiting, removed, name, cleaned: cleaned.length };
}

const [one, two, three, four, five, six] = await Promise.all([
  results(),
  order(),
  repetition(),
  rateLimit(),
  flow(),
  management(),
]);
await Promise.all(open.map((client) => client.close()));
console.log(
  JSON.stringify({ results: one, order: two, repetition: three, rateLimit: four, flow: five, management: six }),
);
