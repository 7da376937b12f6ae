/** The types of upstash-sandbox.mjs. Keep this file next to it. */

export interface StartOptions {
  /** The program. Default: `upstash-helper`, from the `PATH`. */
  command?: string;
  /** How long the start may take, in milliseconds. Default: two minutes. */
  timeout?: number;
  /** The name of the app as which the tests get access. Default: `Tests`. */
  name?: string;
}

export interface DatabaseOptions {
  /** The name of the database. Default: a new one. */
  name?: string;
  /** Whether clients must use TLS. If so, they need the file `REDIS_CA_FILE` in `env`. */
  tls?: boolean;
}

/** A database, with what a client needs to connect. */
export interface SandboxDatabase {
  readonly id: string;
  readonly name: string;
  /** The Redis URL, with the password. */
  readonly url: string;
  readonly restUrl: string;
  readonly restToken: string;
  readonly readOnlyRestToken: string;
  /** The variables of a `.env` file, such as `UPSTASH_REDIS_REST_URL`. */
  readonly env: Record<string, string>;
}

/** A running sandbox. Its helper approves every access request. */
export interface Sandbox {
  /** The helper's address, for `connectUpstash({ url })` and for API calls with `token`. */
  readonly url: string;
  /** The sandbox's Developer API, without `/v2`. */
  readonly apiUrl: string;
  /** A token for the helper's API. It has full access to the databases that were created with it. */
  readonly token: string;
  /** The variables for a database that exists from the start. */
  readonly env: Record<string, string>;
  /** Variables with which `upstash-helper` and its Python client use this sandbox. */
  readonly environment: Record<string, string>;
  /** Create an empty database. */
  createDatabase(options?: DatabaseOptions): Promise<SandboxDatabase>;
  deleteDatabase(id: string): Promise<void>;
  /** Stop the sandbox, and delete its data. */
  stop(): Promise<void>;
}

/** Start a sandbox in a temporary folder, on free ports. It stops with this process at the latest. */
export function startSandbox(options?: StartOptions): Promise<Sandbox>;

/** For Vitest's `globalSetup`: start a sandbox, and put its variables into `process.env`. */
export default function setup(): Promise<() => Promise<void>>;

/** For `node --test --test-global-setup`. */
export function globalSetup(): Promise<void>;
/** For `node --test --test-global-setup`. */
export function globalTeardown(): Promise<void>;
