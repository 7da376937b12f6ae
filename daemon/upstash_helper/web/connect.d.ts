/**
 * The types of connect.js: the Upstash account of a page's user, through upstash-helper on the user's computer.
 *
 * For TypeScript, keep this file beside your copy of connect.js.
 */

export type Scope =
  | 'connection:read'
  | 'connection:write'
  | 'databases:read'
  | 'databases:write'
  | 'databases:delete'
  | 'databases:credentials'
  | 'upstash:read'
  | 'upstash:write';

/** Keeps the page's token: localStorage, sessionStorage, or anything like them. It may be asynchronous. */
export interface TokenStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): unknown;
  removeItem(key: string): unknown;
}

export interface UserCode {
  /** The user sees the same one where the request is approved, such as `WDJB-MJHT`. */
  userCode: string;
  /** Until when the user can decide. */
  expiresAt: Date;
}

/** What is going on, step by step. Steps may be left out, and `connecting` may come at once. */
export type Progress =
  | { step: 'checking' }
  /** The browser asks the user whether the page may reach this device (Local Network Access). */
  | { step: 'permission' }
  /** The user is to approve the page. */
  | ({ step: 'approval' } & UserCode)
  /** A window shows Upstash's sign-in. */
  | { step: 'sign-in'; url: string }
  /** The helper's own window, which carries the requests, offers the sign-in. */
  | { step: 'sign-in-bridge'; url: string }
  /**
   * The window seems to be closed. It may not be: a strict sign-in page cuts it off from this one. Waiting goes on;
   * offer the address again, and a way to cancel (`signal`).
   */
  | { step: 'window-closed'; url: string }
  /** Upstash has signed the user in, and the helper makes and stores the key. */
  | { step: 'connecting'; url: string }
  | { step: 'connected'; email: string | null };

export interface ConnectOptions {
  /** What the page calls itself. The user is shown its origin first, for which the browser vouches. */
  name: string;
  /**
   * What it would like to do; a string has them with spaces between. By default `databases:read`, `databases:write` and
   * `databases:credentials`. `connection:read` and `connection:write` are always asked for. The user may grant fewer:
   * see `client.scopes`.
   */
  scopes?: readonly Scope[] | string;
  /** What for, in a sentence; the user reads it. */
  reason?: string;
  /** Is called with the code to show to the user. */
  onCode?: (code: UserCode) => void;
  onProgress?: (progress: Progress) => void;
  /**
   * Is called if the browser blocks the window, with the address to show as a link; waiting goes on. Without it,
   * `PopupBlocked` is thrown.
   */
  onPopupBlocked?: (url: string) => void;
  /** Opens the sign-in in another way than by a window: `(url) => chrome.tabs.create({ url })` in an extension. */
  open?: (url: string) => unknown;
  /** Gives up: the request to the user is withdrawn, and a sign-in that was begun here is cancelled. */
  signal?: AbortSignal;
  /** Where the page's token is kept; by default in localStorage, where every script of the origin can read it. */
  storage?: TokenStorage;
  /**
   * Where the helper is. By default where this module came from; else it is looked for at `http://localhost:3000` and
   * `http://localhost:26300` to `:26302`, the address that worked last in front. A page with a
   * Content-Security-Policy lists these in `connect-src`.
   */
  url?: string;
  /**
   * Go by a window of the helper in any case. By default that is done where the browser lets no https page reach
   * `http://localhost` (Safari).
   */
  bridge?: boolean;
}

/**
 * Let the page in and connect the user's account, whatever of that is left to do. Call it from a click: browsers open
 * windows then only.
 *
 * @throws {UpstashHelperError} Its subclasses say why; `message` and `help` are for a person.
 */
export function connectUpstash(options: ConnectOptions): Promise<UpstashClient>;

/** The client, if the page has been let in before and still is; else null. Nobody is asked for anything. */
export function resumeUpstash(options?: {
  storage?: TokenStorage;
  url?: string;
  signal?: AbortSignal;
}): Promise<UpstashClient | null>;

/**
 * Whether the helper is there. The browser may first ask the user whether the page may reach this device; `ask: false`
 * answers false instead.
 */
export function isHelperRunning(options?: {
  /** Milliseconds; by default 3000. */
  timeout?: number;
  url?: string;
  ask?: boolean;
}): Promise<boolean>;

export interface CallOptions {
  signal?: AbortSignal;
}

/** The user's account, as far as the user lets this page. Each call throws `UpstashHelperError`. */
export class UpstashClient {
  private constructor(session: unknown);
  readonly databases: Databases;
  /** What the user granted. */
  readonly scopes: Scope[];
  /** What the connection to the account is. Scope: `connection:read`. */
  connection(options?: CallOptions): Promise<Connection>;
  /**
   * Connect an account where none is, or no longer; from a click. Scopes: `connection:read` and `connection:write`.
   * Null if the page may not know of the connection.
   */
  connect(
    options?: Pick<ConnectOptions, 'open' | 'signal' | 'onProgress' | 'onPopupBlocked'>,
  ): Promise<Connection | null>;
  regions(options?: CallOptions): Promise<Region[]>;
  /**
   * Follow what happens until `signal` says stop; what breaks is resumed where it broke. Scope: `connection:read`;
   * changes of databases come with `databases:read`.
   *
   * @throws {TokenRevoked} When the user shuts the page out.
   */
  events(callback: (event: HelperEvent) => void, options?: CallOptions & { lastEventId?: string }): Promise<void>;
  /** What the page's token is. */
  token(options?: CallOptions): Promise<TokenInfo>;
  /** Take a new token in place of the old one, which stops working. */
  rotate(): Promise<void>;
  /** Give the token up. The account stays connected, for other apps. */
  signOut(): Promise<void>;
}

export interface Databases {
  /** All, by name. Scope: `databases:read`. */
  list(options?: CallOptions & { refresh?: boolean }): Promise<Database[]>;
  /**
   * Make one. Where the answer is lost it is asked for again with the same key, so that there is never a second one.
   * Scope: `databases:write`.
   */
  create(wanted: NewDatabase, options?: CallOptions & { idempotencyKey?: string }): Promise<Database>;
  get(id: string, options?: CallOptions): Promise<Database>;
  /** Scope: `databases:write`. */
  change(id: string, changes: DatabaseChanges, options?: CallOptions & { ifMatch?: string }): Promise<Database>;
  /** Scope: `databases:delete`. */
  delete(id: string, options?: CallOptions & { ifMatch?: string }): Promise<null>;
  /** Scope: `databases:credentials`. They are secrets. */
  credentials(id: string, options?: CallOptions): Promise<DatabaseCredentials>;
  /** The variables for a `.env` file. Scope: `databases:credentials`. */
  env(id: string, options?: CallOptions): Promise<Record<string, string>>;
}

// --- what the helper answers. Fields are named as in its API (/openapi.json) ---

export interface Connection {
  state:
    | 'disconnected'
    | 'connecting'
    | 'connected'
    | 'needs_email'
    | 'reconnect_required'
    | 'keyring_locked'
    | 'keyring_unavailable'
    | 'port_conflict';
  /** What to do, where there is something to do. */
  detail?: string;
  account: { email: string } | null;
  method: 'oauth' | 'api_key' | null;
  /** RFC 3339, UTC. */
  since: string | null;
}

export interface Database {
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
}

export type Plan =
  | 'free'
  | 'payg'
  | `fixed_${'250mb' | '1gb' | '5gb' | '10gb' | '50gb' | '100gb' | '500gb'}`;

export interface NewDatabase {
  name: string;
  /** See `client.regions()`. */
  primary_region: string;
  read_regions?: string[];
  platform?: 'aws' | 'gcp';
  plan?: Plan;
  /** Monthly, in US dollars. */
  budget?: number;
  eviction?: boolean;
  tls?: boolean;
}

export interface DatabaseChanges {
  name?: string;
  eviction?: boolean;
  auto_upgrade?: boolean;
  daily_backup?: boolean;
  read_regions?: string[];
  plan?: Plan;
  budget?: number;
  tls?: true;
}

export interface DatabaseCredentials {
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
}

export interface Region {
  id: string;
  name: string;
  platform: 'aws' | 'gcp';
  primary: boolean;
  read: boolean;
}

export interface TokenInfo {
  kind: 'app';
  app_id: string;
  name: string;
  identity: { kind: 'web' | 'extension' | 'native'; name: string; shown: string };
  scopes: Scope[];
  /** Whether `databases:credentials` is for all databases, and not only for those that this app created. */
  all_databases: boolean;
  expires_at: string | null;
}

export type HelperEvent = { id: string } & (
  | { type: 'connection'; data: Connection }
  | { type: 'attempt'; data: { attempt_id: string; state: string; reason?: string; detail?: string } }
  | { type: 'database'; data: { change: 'created' | 'changed' | 'deleted'; id: string; name: string | null } }
  /** Events were missed: read anew what you show. */
  | { type: 'reset'; data: object }
);

export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  errors?: { pointer: string; detail: string }[];
  retry_after?: number;
}

// --- errors ---

/** What every function here throws. */
export class UpstashHelperError extends Error {
  constructor(code: string, message: string, help?: string, options?: ErrorOptions);
  /** Stable: programs tell errors apart by it. */
  readonly code: string;
  /** What to do about it, for a person; may be empty. */
  readonly help: string;
}
/** `helper_not_running`: nothing answers where the helper should be. */
export class HelperNotRunning extends UpstashHelperError {
  readonly url: string;
  /** Where the next try looks, if that is elsewhere: the bridge tries one address with each click. */
  readonly next?: string;
}
/** `helper_busy`: the user cannot be asked now, or this page asks too often. */
export class HelperBusy extends UpstashHelperError {
  /** Seconds. */
  readonly retryAfter: number | null;
  readonly problem: Problem;
}
/** `permission_denied`: the browser keeps the page from programs on this device. */
export class PermissionDenied extends UpstashHelperError {}
/** `mixed_content_blocked`: the browser lets no https page reach http://localhost; from a click, the bridge helps. */
export class MixedContentBlocked extends UpstashHelperError {}
/** `popup_blocked` */
export class PopupBlocked extends UpstashHelperError {
  /** Show it as a link, and call again afterwards. */
  readonly url: string;
}
/** `bridge_closed`: the helper's window that carried the requests is closed. */
export class BridgeClosed extends UpstashHelperError {}
/** `pairing_denied`: the user said no. */
export class PairingDenied extends UpstashHelperError {}
/** `pairing_expired`: the user did not decide in time. */
export class PairingExpired extends UpstashHelperError {}
/** `app_blocked`: the user does not want to be asked by this origin. */
export class Blocked extends UpstashHelperError {}
/** `token_revoked`: the user has shut the page out. The token is forgotten. */
export class TokenRevoked extends UpstashHelperError {}
/** `connect_failed`: the account was not connected. */
export class ConnectFailed extends UpstashHelperError {
  /** Stable, such as `access_denied`, `expired`, `helper_restarted`. */
  readonly reason: string;
}
/** `answer_lost`: the request was sent, and whether it took effect is not known. */
export class AnswerLost extends UpstashHelperError {}
/** `aborted`: by `signal`. */
export class Aborted extends UpstashHelperError {}
/** Any other refusal; `code` is that of the problem. */
export class ApiError extends UpstashHelperError {
  readonly status: number;
  readonly problem: Problem;
  readonly retryAfter: number | null;
}

// --- the button ---

/**
 * `<upstash-connect>`, the button and what comes after it; importing the module defines it.
 *
 * Attributes: `name`, `scopes` and `reason` as in `connectUpstash`; `label` for the words on the button; `help-url` for
 * how your users get the helper; `url` and `bridge`, for tests. Colors: the custom properties `--upstash-accent`,
 * `--upstash-on-accent`, `--upstash-text`, `--upstash-quiet`, `--upstash-card`, `--upstash-line`, `--upstash-well`,
 * `--upstash-bad`; also `--upstash-radius` and `--upstash-font`. Light or dark as the page's own `color-scheme`.
 */
export class UpstashConnectElement extends HTMLElement {
  /** Where the token is kept, as in `connectUpstash`. Set it before the element is in the page. */
  storage: TokenStorage | undefined;
  readonly client: UpstashClient | null;
  readonly error: UpstashHelperError | null;
  /** Also an attribute, for styles. */
  readonly state: 'idle' | 'missing' | 'error' | 'sign-in-link' | Progress['step'];
  /** As a click on the button. */
  connect(): Promise<void>;
  cancel(): void;
  signOut(): Promise<void>;
}

export interface UpstashConnectEvents {
  'upstash-connected': CustomEvent<{ client: UpstashClient; email: string | null }>;
  'upstash-error': CustomEvent<{ error: UpstashHelperError }>;
  'upstash-signed-out': CustomEvent<object>;
}

declare global {
  interface HTMLElementTagNameMap {
    'upstash-connect': UpstashConnectElement;
  }
  interface HTMLElementEventMap extends UpstashConnectEvents {}
}

/** Read a stream of server-sent events. */
export function serverSentEvents(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<{ type: string; data: unknown; id: string }>;
