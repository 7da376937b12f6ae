// Generated from web/connect; do not edit. CONTRIBUTING.md says how to build it.
/** The types of connect.js. For TypeScript, keep this file beside your copy of it. */

type Scope =
  | "connection:read"
  | "connection:write"
  | "databases:read"
  | "databases:write"
  | "databases:delete"
  | "databases:credentials"
  | "databases:commands"
  | "upstash:read"
  | "upstash:write";
/** Keeps the page's token: localStorage, sessionStorage, or anything like them. Its methods may be asynchronous. */
type TokenStorage = {
  getItem: (key: string) => string | null | Promise<string | null>;
  setItem: (key: string, value: string) => unknown;
  removeItem: (key: string) => unknown;
};
type UserCode = {
  /** The code that upstash-helper shows with the request, such as `WDJB-MJHT`. */
  userCode: string;
  /** When the request expires. */
  expiresAt: Date;
};
/**
 * The steps of `connectUpstash`. Steps may be left out: `connecting` can come first.
 *
 * - `checking`: looking for the helper.
 * - `permission`: the browser asks the user whether the page may reach this device (Local Network Access).
 * - `approval`: the user has to approve the page in upstash-helper.
 * - `sign-in`: a window shows Upstash's sign-in page.
 * - `sign-in-bridge`: the helper's own window, which relays the requests, offers the sign-in.
 * - `sign-in-elsewhere`: a sign-in was started in another app or in upstash-helper, and is finished there.
 * - `window-closed`: the window seems to be closed. It may not be: a strict sign-in page cuts it off from this one.
 *   Waiting continues; offer the address again, and a way to cancel (`signal`).
 * - `connecting`: the user has signed in, and the helper stores the credential.
 * - `decision`: another account is connected meanwhile, and upstash-helper asks the user whether to replace it.
 */
type Progress =
  | {
      step: "checking";
    }
  | {
      step: "permission";
    }
  | ({
      step: "approval";
    } & UserCode)
  | {
      step: "sign-in";
      url: string;
    }
  | {
      step: "sign-in-bridge";
      url: string;
    }
  | {
      step: "sign-in-elsewhere";
    }
  | {
      step: "window-closed";
      url: string;
    }
  | {
      step: "connecting";
      url: string;
    }
  | {
      step: "decision";
      url: string;
    }
  | {
      step: "connected";
      email: string | null;
    };
type ConnectOptions = {
  /** What the page calls itself. The user sees its origin first, which the browser vouches for. */
  name: string;
  /**
   * What the page would like to do, as an array or separated by spaces.
   * By default `databases:read`, `databases:write` and `databases:credentials`. `connection:read` is always requested,
   * and `connection:write` only if no account is connected, so that the page can start the sign-in. The user may grant
   * fewer: see `client.scopes`.
   */
  scopes?: string | readonly Scope[] | undefined;
  /** Why, in a sentence that the user reads. */
  reason?: string | undefined;
  /** Called with the code to show to the user. */
  onCode?: ((code: UserCode) => void) | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Called if the browser blocks the window, with the address to show
   * as a link; waiting continues. Without it, `PopupBlocked` is thrown.
   */
  onPopupBlocked?: ((url: string) => void) | undefined;
  /**
   * Opens the sign-in page in another way than in a window:
   * `(url) => chrome.tabs.create({ url })` in an extension.
   */
  open?: ((url: string) => unknown) | undefined;
  /**
   * Cancels: the request to the user is withdrawn, and a sign-in that this call started
   * is canceled.
   */
  signal?: AbortSignal | undefined;
  /**
   * Where the page's token is kept. By default in localStorage, which every script of
   * the origin can read.
   */
  storage?: TokenStorage | undefined;
  /**
   * Where the helper is. By default where this module was loaded from, if that is a helper;
   * otherwise it is looked for at `http://localhost:3000` and `http://localhost:26300` to `:26302`, starting with the
   * address that worked last. A page with a Content-Security-Policy lists these in `connect-src`.
   */
  url?: string | undefined;
  /**
   * Always relay requests through a window of the helper. By default that is done only where
   * the browser lets no https page reach `http://localhost` (Safari).
   */
  bridge?: boolean | undefined;
};
type ResumeOptions = {
  storage?: TokenStorage | undefined;
  url?: string | undefined;
  signal?: AbortSignal | undefined;
};
type RunningOptions = {
  /** Milliseconds. 3000 by default. */
  timeout?: number | undefined;
  url?: string | undefined;
  /** If false, the answer is false where the browser would have to ask the user first. */
  ask?: boolean | undefined;
};
type CallOptions = {
  signal?: AbortSignal | undefined;
};
type ReconnectOptions = Pick<ConnectOptions, "open" | "signal" | "onProgress" | "onPopupBlocked">;
type ConnectionState =
  | "disconnected"
  | "connecting"
  | "connected"
  | "needs_email"
  | "reconnect_required"
  | "keyring_locked"
  | "keyring_unavailable"
  | "port_conflict";
type Connection = {
  state: ConnectionState;
  /** The state in a few words for a person. */
  title?: string | undefined;
  /** What is wrong, in sentences for a person; absent if nothing is. */
  detail?: string | undefined;
  /** What the user can do, the most helpful first. */
  next_steps?:
    | {
        text: string;
        command?: string;
      }[]
    | undefined;
  /**
   * `team_id` is null for
   * the personal account.
   */
  account: {
    email: string;
    team_id?: string | null;
    team_role?: string | null;
  } | null;
  /** With `read_only`, the helper refuses changes. Null if it is not known. */
  access: "full" | "read_only" | null;
  method: "oauth" | "grant" | "api_key" | null;
  /** RFC 3339, UTC. */
  since: string | null;
};
type Database = {
  id: string;
  name: string;
  state: string;
  host: string;
  port: number;
  tls: boolean;
  rest_url: string;
  plan: string;
  primary_region: string;
  read_regions: string[];
  eviction: boolean;
  auto_upgrade: boolean;
  daily_backup: boolean;
  budget: number | null;
  created_at: string;
};
type Plan =
  | "free"
  | "payg"
  | "fixed_250mb"
  | "fixed_1gb"
  | "fixed_5gb"
  | "fixed_10gb"
  | "fixed_50gb"
  | "fixed_100gb"
  | "fixed_500gb";
type NewDatabase = {
  name: string;
  /** See `client.regions()`. */
  primary_region: string;
  read_regions?: string[] | undefined;
  platform?: "aws" | "gcp" | undefined;
  plan?: Plan | undefined;
  /** Monthly, in US dollars. */
  budget?: number | undefined;
  eviction?: boolean | undefined;
  tls?: boolean | undefined;
};
type DatabaseChanges = {
  name?: string | undefined;
  eviction?: boolean | undefined;
  auto_upgrade?: boolean | undefined;
  daily_backup?: boolean | undefined;
  read_regions?: string[] | undefined;
  plan?: Plan | undefined;
  budget?: number | undefined;
  tls?: true | undefined;
};
type DatabaseCredentials = {
  id: string;
  name: string;
  host: string;
  port: number;
  tls: boolean;
  username: string;
  password: string;
  redis_url: string;
  rest_url: string;
  rest_token: string;
  read_only_rest_token: string;
  env: Record<string, string>;
  /**
   * The certificate file that Redis clients must trust, for a database with TLS in a
   * sandbox on this machine. It is also `REDIS_CA_FILE` in `env`.
   */
  ca_file?: string | null | undefined;
  /** How Redis clients use `REDIS_CA_FILE`, by client. */
  ca_usage?: Record<string, string> | undefined;
};
type Region = {
  id: string;
  name: string;
  platform: "aws" | "gcp";
  primary: boolean;
  read: boolean;
};
type TokenInfo = {
  kind: "app";
  app_id: string;
  name: string;
  identity: {
    kind: "web" | "extension" | "native";
    name: string;
    shown: string;
  };
  scopes: Scope[];
  /**
   * Whether `databases:credentials` covers all databases, and not only those that this
   * app created.
   */
  all_databases: boolean;
  expires_at: string | null;
};
/** An event of `client.events`. After `reset`, events were missed: reload what you show. */
type HelperEvent = {
  id: string;
} & (
  | {
      type: "connection";
      data: Connection;
    }
  | {
      type: "attempt";
      data: {
        attempt_id: string;
        state: string;
        title?: string;
        reason?: string;
        detail?: string;
      };
    }
  | {
      type: "database";
      data: {
        change: "created" | "changed" | "deleted";
        id: string;
        name: string | null;
      };
    }
  | {
      type: "reset";
      data: object;
    }
);
type ServerSentEvent = {
  type: string;
  data: unknown;
  id: string;
};
/** Problem details (RFC 9457). */
type Problem = {
  status: number;
  code: string;
  title: string;
  detail: string;
  errors?:
    | {
        pointer: string;
        detail: string;
      }[]
    | undefined;
  /** Seconds. */
  retry_after?: number | undefined;
};

/** The user's account, within what the user granted to this page. Each call throws `UpstashHelperError`. */
declare class UpstashClient {
  private constructor();
  readonly databases: Databases;
  /** What the user granted, which may be less than was requested. */
  get scopes(): Scope[];
  /** Return the state of the connection to the account. Scope: `connection:read`. */
  connection(options?: CallOptions): Promise<Connection>;
  /**
   * Connect an account where none is connected (any more). Call it from a click. Scopes: `connection:read` and
   * `connection:write`, which `connectUpstash` requests if it is needed. Null if the page may not read the connection.
   */
  connect({ open, signal, onProgress, onPopupBlocked }?: ReconnectOptions): Promise<Connection | null>;
  /** Return the regions in which a database can be created. */
  regions(options?: CallOptions): Promise<Region[]>;
  /**
   * Follow what happens until `signal` aborts; an interrupted stream resumes where it broke. Scope: `connection:read`;
   * changes of databases come with `databases:read`.
   * @throws {TokenRevoked} When the user revokes the page's access.
   */
  events(
    callback: (event: HelperEvent) => void,
    {
      signal,
      lastEventId,
    }?: CallOptions & {
      lastEventId?: string;
    },
  ): Promise<void>;
  /** Return what the page's token is: the app's id, identity, scopes and expiry. */
  token(options?: CallOptions): Promise<TokenInfo>;
  /** Replace the token with a new one. The old one stops working. */
  rotate(): Promise<void>;
  /** Give the token back. The account stays connected for other apps. */
  signOut(): Promise<void>;
  #private;
}
/** The databases of the account. Fields are named as in the API: `primary_region`, `rest_url`. */
declare class Databases {
  private constructor();
  /**
   * Return all databases, by name. Scope: `databases:read`.
   * @param options `refresh`: ask Upstash, and not the helper's cache.
   */
  list({
    refresh,
    signal,
  }?: CallOptions & {
    refresh?: boolean;
  }): Promise<Database[]>;
  /**
   * Create a database. If the answer is lost, the request is repeated with the same idempotency key, so that there is
   * never a second one. Scope: `databases:write`.
   */
  create(
    wanted: NewDatabase,
    {
      idempotencyKey,
      signal,
    }?: CallOptions & {
      idempotencyKey?: string;
    },
  ): Promise<Database>;
  /** Scope: `databases:read`. */
  get(id: string, { signal }?: CallOptions): Promise<Database>;
  /** Scope: `databases:write`. */
  change(
    id: string,
    changes: DatabaseChanges,
    {
      ifMatch,
      signal,
    }?: CallOptions & {
      ifMatch?: string;
    },
  ): Promise<Database>;
  /** Scope: `databases:delete`. */
  delete(
    id: string,
    {
      ifMatch,
      signal,
    }?: CallOptions & {
      ifMatch?: string;
    },
  ): Promise<null>;
  /** Return the URLs, the tokens and the password, which are secrets. Scope: `databases:credentials`. */
  credentials(id: string, { signal }?: CallOptions): Promise<DatabaseCredentials>;
  /** Return the variables for a `.env` file. Scope: `databases:credentials`. */
  env(id: string, options?: CallOptions): Promise<Record<string, string>>;
  #private;
}

/** What every function here throws. */
declare class UpstashHelperError extends Error {
  constructor(code: string, message: string, help?: string, options?: ErrorOptions);
  /** Stable: programs distinguish errors by it. */
  readonly code: string;
  /** What to do about it, for a person. May be empty. */
  readonly help: string;
}
/** `helper_not_running`: the helper does not respond where it should be. */
declare class HelperNotRunning extends UpstashHelperError {
  /** @param more Further help. */
  constructor(urls: string[], cause?: unknown, next?: string, more?: string);
  readonly url: string;
  /** Where the next attempt looks, if that is another address: the bridge tries one address per click. */
  readonly next: string | undefined;
}
/** `helper_outdated`: the helper is of a version that cannot prove that it is the helper. */
declare class HelperOutdated extends UpstashHelperError {
  constructor(url: string);
}
/** `helper_busy`: the user cannot be asked now, or this page sends too many requests. */
declare class HelperBusy extends UpstashHelperError {
  constructor(problem: Problem, retryAfter: number | null);
  /** Seconds. */
  readonly retryAfter: number | null;
  readonly problem: Problem;
}
/** `permission_denied`: the browser blocks the page from reaching programs on this device (Local Network Access). */
declare class PermissionDenied extends UpstashHelperError {
  constructor();
}
/** `mixed_content_blocked`: the browser lets no https page reach http://localhost (Safari). From a click, the bridge helps. */
declare class MixedContentBlocked extends UpstashHelperError {
  constructor();
}
/** `popup_blocked`: the browser did not open the window. */
declare class PopupBlocked extends UpstashHelperError {
  constructor(url: string);
  /** Show it as a link, and call again afterwards. */
  readonly url: string;
}
/** `bridge_closed`: the helper's window that relayed the requests was closed. */
declare class BridgeClosed extends UpstashHelperError {
  constructor();
}
/** `pairing_denied`: the user denied the request. */
declare class PairingDenied extends UpstashHelperError {
  constructor();
}
/** `pairing_expired`: the user did not answer the request in time. */
declare class PairingExpired extends UpstashHelperError {
  constructor();
}
/** `pairing_replaced`: another tab or window of this site has requested access, which replaced the request of this page. */
declare class PairingReplaced extends UpstashHelperError {
  constructor();
}
/** `app_blocked`: the user blocked requests from this origin. */
declare class Blocked extends UpstashHelperError {
  constructor();
}
/** `token_revoked`: the user revoked the page's access. The token is deleted; connect again to request a new one. */
declare class TokenRevoked extends UpstashHelperError {
  constructor();
}
/** `connect_failed`: the account was not connected. The message and the help are the helper's own texts. */
declare class ConnectFailed extends UpstashHelperError {
  constructor(
    reason: string,
    {
      title,
      detail,
    }?: {
      title?: string;
      detail?: string;
    },
  );
  /** Stable, such as `access_denied`, `expired`, `helper_restarted`. */
  readonly reason: string;
}
/** `answer_lost`: the request was sent but its answer was lost, so it is not known whether it took effect. */
declare class AnswerLost extends UpstashHelperError {
  constructor();
}
/** `aborted`: canceled by `signal`, or by the button's Cancel. */
declare class Aborted extends UpstashHelperError {
  constructor();
}
/** Any other refusal; `code` is that of the problem. */
declare class ApiError extends UpstashHelperError {
  constructor(problem: Problem, retryAfter?: number | null);
  readonly status: number;
  readonly problem: Problem;
  /** Seconds. */
  readonly retryAfter: number | null;
}

/**
 * `<upstash-connect name="Orders" scopes="databases:read databases:write">`: the button, and what comes after it.
 * Importing the module defines it.
 *
 * Attributes: `name`, `scopes` and `reason` as in `connectUpstash`; `label` for the text on the button; `help-url` for
 * a page on how to get the helper, in place of the default one (empty: no link); `url` and `bridge`, for tests. Events:
 * see `UpstashConnectEvents`. Colors: the custom properties `--upstash-accent`, `--upstash-on-accent`,
 * `--upstash-text`, `--upstash-quiet`, `--upstash-card`, `--upstash-line`, `--upstash-well`, `--upstash-bad`; also
 * `--upstash-radius` and `--upstash-font`. Light or dark as the page's own `color-scheme`.
 */
declare class UpstashConnectElement extends HTMLElement {
  /** Where the token is kept, as in `connectUpstash`. Set it before the element is in the page. */
  storage: TokenStorage | undefined;
  /** The client, once the account is connected. */
  get client(): UpstashClient | null;
  /** Why the last attempt failed. */
  get error(): UpstashHelperError | null;
  /** The current step. It is also an attribute, for styles. */
  get state(): ButtonState["step"];
  /** Do what a click on the button does. */
  connect(): Promise<void>;
  /** Cancel what is under way. */
  cancel(): void;
  /** Give the page's token back. */
  signOut(): Promise<void>;
  #private;
}
/** What the button shows: a step of `connectUpstash`, or one of its own. */
type ButtonState =
  | Progress
  | {
      step: "idle";
    }
  | {
      step: "missing";
    }
  | {
      step: "error";
    }
  | {
      step: "sign-in-link";
      url: string;
    };

/** Read a stream of server-sent events (HTML standard, section 9.2.6). The data of each is JSON. */
declare function serverSentEvents(body: ReadableStream<Uint8Array> | null): AsyncGenerator<ServerSentEvent, void, void>;

/**
 * Return whether the helper is running. The browser may first ask the user whether the page may reach this device;
 * `ask: false` answers false instead.
 */
declare function isHelperRunning({ timeout, url, ask }?: RunningOptions): Promise<boolean>;
/**
 * Request access for the page and connect the user's account, unless that is already done, and return the client. Call
 * it from a click: only then does the browser open windows.
 * @throws {UpstashHelperError} The subclass says why; `message` and `help` are for a person.
 */
declare function connectUpstash(options: ConnectOptions): Promise<UpstashClient>;
/** Return the client if the page was given access before and still has it, otherwise null. The user is asked nothing. */
declare function resumeUpstash({ storage, url, signal }?: ResumeOptions): Promise<UpstashClient | null>;

/** The events of `<upstash-connect>`. They bubble. */
interface UpstashConnectEvents {
  "upstash-connected": CustomEvent<{ client: UpstashClient; email: string | null }>;
  "upstash-error": CustomEvent<{ error: UpstashHelperError }>;
  "upstash-signed-out": CustomEvent<object>;
}

declare global {
  interface HTMLElementTagNameMap {
    "upstash-connect": UpstashConnectElement;
  }
  interface HTMLElementEventMap extends UpstashConnectEvents {}
}

export {
  Aborted,
  AnswerLost,
  ApiError,
  Blocked,
  BridgeClosed,
  ConnectFailed,
  HelperBusy,
  HelperNotRunning,
  HelperOutdated,
  MixedContentBlocked,
  PairingDenied,
  PairingExpired,
  PairingReplaced,
  PermissionDenied,
  PopupBlocked,
  TokenRevoked,
  UpstashClient,
  UpstashConnectElement,
  UpstashHelperError,
  connectUpstash,
  isHelperRunning,
  resumeUpstash,
  serverSentEvents,
};
export type {
  Databases,
  CallOptions,
  ConnectOptions,
  Connection,
  ConnectionState,
  Database,
  DatabaseChanges,
  DatabaseCredentials,
  HelperEvent,
  NewDatabase,
  Plan,
  Problem,
  Progress,
  ReconnectOptions,
  Region,
  ResumeOptions,
  RunningOptions,
  Scope,
  ServerSentEvent,
  TokenInfo,
  TokenStorage,
  UpstashConnectEvents,
  UserCode,
};
