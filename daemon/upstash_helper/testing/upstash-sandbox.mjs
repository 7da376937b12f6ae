/**
 * A local Upstash sandbox for tests in Node, without dependencies. It needs `upstash-helper` with the extra `sandbox`.
 *
 * The sandbox's helper approves every access request. The sandbox stops with this process, however that ends.
 * The types are in upstash-sandbox.d.mts.
 */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** @import { DatabaseOptions, Sandbox, SandboxDatabase, StartOptions } from "./upstash-sandbox.d.mts" */

const SCOPES = ["connection:read", "databases:read", "databases:write", "databases:delete", "databases:credentials"];
const PREFIX = "UPSTASH_HELPER_";
const PROFILE = "sandbox";
const REGION = "us-east-1";
/** Databases are stopped one after the other. */
const STOP_MS = 60_000;

/**
 * Start a sandbox in a temporary folder, on free ports.
 *
 * @param {StartOptions} [options]
 * @returns {Promise<Sandbox>}
 */
export async function startSandbox({ command = "upstash-helper", timeout = 120_000, name = "Tests" } = {}) {
  // A short path, because the paths of Unix sockets are limited to about 100 bytes.
  const home = await mkdtemp(path.join(tmpdir(), "uh-"));
  const child = run(command, home);
  const stop = async () => {
    child.stdin.end();
    await ended(child);
    await rm(home, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const started = await firstLine(child, timeout);
    const call = caller(started.daemon.base_url);
    const token = await accessToken(call, name);
    return {
      url: started.daemon.base_url,
      apiUrl: started.upstream.api_url,
      token,
      env: started.env,
      environment: { [`${PREFIX}HOME`]: home, [`${PREFIX}PROFILE`]: PROFILE },
      createDatabase: (options) => createDatabase(call, token, options),
      deleteDatabase: async (id) => {
        await call("DELETE", `/v1/databases/${encodeURIComponent(id)}`, { token, key: randomUUID() });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Start the sandbox of a test run, and put its variables into `process.env`, from which the tests get them.
 *
 * @returns {Promise<() => Promise<void>>} Stops the sandbox. Vitest calls what `globalSetup`'s default export returns.
 */
export default async function setup() {
  const sandbox = await startSandbox();
  Object.assign(process.env, sandbox.env, sandbox.environment);
  return sandbox.stop;
}

/** @type {(() => Promise<void>) | undefined} */
let teardown;

/** For `node --test --test-global-setup`. */
export async function globalSetup() {
  teardown = await setup();
}

/** For `node --test --test-global-setup`. */
export async function globalTeardown() {
  await teardown?.();
}

/**
 * @param {string} command
 * @param {string} home
 */
function run(command, home) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith(PREFIX));
  const options = ["--json", "--foreground", "--auto-approve", "--stop-with-parent"];
  const child = spawn(command, ["--profile", PROFILE, "sandbox", "up", ...options], {
    // Its standard input is a pipe, which closes however this process ends. Then it stops everything.
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...Object.fromEntries(inherited), [`${PREFIX}HOME`]: home },
    windowsHide: true,
    // Ctrl-C in the terminal ends the tests first: they may still need the sandbox to clean up.
    detached: process.platform !== "win32",
  });
  child.stdin.on("error", () => {});
  // A test run that forgets to stop the sandbox can still end.
  for (const it of [child, child.stdin, child.stdout, child.stderr]) /** @type {{ unref?(): void }} */ (it).unref?.();
  return child;
}

/** Wait until a process has ended. @param {import("node:child_process").ChildProcess} child */
async function ended(child) {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const watch = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await new Promise((done) => child.once("exit", done));
  clearTimeout(watch);
}

/**
 * Return what the command prints once the sandbox is ready.
 *
 * @param {import("node:child_process").ChildProcessWithoutNullStreams} child
 * @param {number} timeout
 * @returns {Promise<{ daemon: { base_url: string }, upstream: { api_url: string }, env: Record<string, string> }>}
 */
function firstLine(child, timeout) {
  let output = "";
  let errors = "";
  return new Promise((resolve, reject) => {
    // Not unref'ed: while the sandbox starts, only this keeps the process alive.
    const watch = setTimeout(() => reject(new Error(`The sandbox did not start within ${timeout} ms.`)), timeout);
    const end = (/** @type {() => void} */ settle) => {
      clearTimeout(watch);
      settle();
    };
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (!output.includes("\n")) return;
      try {
        const started = JSON.parse(output.slice(0, output.indexOf("\n")));
        end(() => resolve(started));
      } catch {
        end(() => reject(new Error("The command that was started is not upstash-helper: it does not print JSON.")));
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      errors += text;
    });
    child.once("error", (error) => end(() => reject(new Error(`upstash-helper cannot be started: ${error.message}`))));
    child.once("close", () => end(() => reject(new Error(errors.trim() || "The sandbox did not start."))));
  });
}

/**
 * @typedef {(method: string, path: string, options?: { token?: string, body?: object, key?: string }) => Promise<any>} Call
 */

/** @param {string} url @returns {Call} */
function caller(url) {
  return async (method, at, { token, body, key } = {}) => {
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers["content-type"] = "application/json";
    if (key) headers["idempotency-key"] = key;
    const response = await fetch(`${url}${at}`, { method, headers, body: body ? JSON.stringify(body) : undefined });
    const text = await response.text();
    const json = text ? JSON.parse(text) : null;
    if (!response.ok) throw new Error(`${method} ${at}: ${json?.detail ?? `status ${response.status}`}`);
    return json;
  };
}

/**
 * Get access as every app does. The request is approved immediately.
 *
 * @param {Call} call
 * @param {string} name
 * @returns {Promise<string>}
 */
async function accessToken(call, name) {
  const pairing = await call("POST", "/v1/pairings", { body: { name, scopes: SCOPES } });
  const { token } = await call("POST", `/v1/pairings/${pairing.id}/token`, { token: pairing.poll_secret });
  return token;
}

/**
 * @param {Call} call
 * @param {string} token
 * @param {DatabaseOptions} [options]
 * @returns {Promise<SandboxDatabase>}
 */
async function createDatabase(call, token, { name = `test-${randomUUID().slice(0, 13)}`, tls = false } = {}) {
  const body = { name, primary_region: REGION, tls };
  const { id } = await call("POST", "/v1/databases", { token, body, key: randomUUID() });
  const found = await call("GET", `/v1/databases/${encodeURIComponent(id)}/credentials`, { token });
  return {
    id,
    name,
    url: found.redis_url,
    restUrl: found.rest_url,
    restToken: found.rest_token,
    readOnlyRestToken: found.read_only_rest_token,
    env: found.env,
  };
}
