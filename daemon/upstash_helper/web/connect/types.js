/**
 * The types that callers of connect.js see. What the helper answers has the field names of its API (/openapi.json).
 */

/**
 * @typedef {"connection:read" | "connection:write" | "databases:read" | "databases:write" | "databases:delete"
 *   | "databases:credentials" | "databases:commands" | "upstash:read" | "upstash:write"} Scope
 */

/**
 * Keeps the page's token: localStorage, sessionStorage, or anything like them. Its methods may be asynchronous.
 *
 * @typedef {object} TokenStorage
 * @property {(key: string) => string | null | Promise<string | null>} getItem
 * @property {(key: string, value: string) => unknown} setItem
 * @property {(key: string) => unknown} removeItem
 */

/**
 * @typedef {object} UserCode
 * @property {string} userCode The code that upstash-helper shows with the request, such as `WDJB-MJHT`.
 * @property {Date} expiresAt When the request expires.
 */

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
 *
 * @typedef {{ step: "checking" }
 *   | { step: "permission" }
 *   | ({ step: "approval" } & UserCode)
 *   | { step: "sign-in", url: string }
 *   | { step: "sign-in-bridge", url: string }
 *   | { step: "sign-in-elsewhere" }
 *   | { step: "window-closed", url: string }
 *   | { step: "connecting", url: string }
 *   | { step: "decision", url: string }
 *   | { step: "connected", email: string | null }} Progress
 */

/**
 * @typedef {object} ConnectOptions
 * @property {string} name What the page calls itself. The user sees its origin first, which the browser vouches for.
 * @property {readonly Scope[] | string} [scopes] What the page would like to do, as an array or separated by spaces.
 *   By default `databases:read`, `databases:write` and `databases:credentials`. `connection:read` is always requested,
 *   and `connection:write` only if no account is connected, so that the page can start the sign-in. The user may grant
 *   fewer: see `client.scopes`.
 * @property {string} [reason] Why, in a sentence that the user reads.
 * @property {(code: UserCode) => void} [onCode] Called with the code to show to the user.
 * @property {(progress: Progress) => void} [onProgress]
 * @property {(url: string) => void} [onPopupBlocked] Called if the browser blocks the window, with the address to show
 *   as a link; waiting continues. Without it, `PopupBlocked` is thrown.
 * @property {(url: string) => unknown} [open] Opens the sign-in page in another way than in a window:
 *   `(url) => chrome.tabs.create({ url })` in an extension.
 * @property {AbortSignal} [signal] Cancels: the request to the user is withdrawn, and a sign-in that this call started
 *   is canceled.
 * @property {TokenStorage} [storage] Where the page's token is kept. By default in localStorage, which every script of
 *   the origin can read.
 * @property {string} [url] Where the helper is. By default where this module was loaded from, if that is a helper;
 *   otherwise it is looked for at `http://localhost:3000` and `http://localhost:26300` to `:26302`, starting with the
 *   address that worked last. A page with a Content-Security-Policy lists these in `connect-src`.
 * @property {boolean} [bridge] Always relay requests through a window of the helper. By default that is done only where
 *   the browser lets no https page reach `http://localhost` (Safari).
 */

/**
 * @typedef {object} ResumeOptions
 * @property {TokenStorage} [storage]
 * @property {string} [url]
 * @property {AbortSignal} [signal]
 */

/**
 * @typedef {object} RunningOptions
 * @property {number} [timeout] Milliseconds. 3000 by default.
 * @property {string} [url]
 * @property {boolean} [ask] If false, the answer is false where the browser would have to ask the user first.
 */

/**
 * @typedef {object} CallOptions
 * @property {AbortSignal} [signal]
 */

/** @typedef {Pick<ConnectOptions, "open" | "signal" | "onProgress" | "onPopupBlocked">} ReconnectOptions */

/**
 * @typedef {"disconnected" | "connecting" | "connected" | "needs_email" | "reconnect_required" | "keyring_locked"
 *   | "keyring_unavailable" | "port_conflict"} ConnectionState
 */

/**
 * @typedef {object} Connection
 * @property {ConnectionState} state
 * @property {string} [title] The state in a few words for a person.
 * @property {string} [detail] What is wrong, in sentences for a person; absent if nothing is.
 * @property {{ text: string, command?: string }[]} [next_steps] What the user can do, the most helpful first.
 * @property {{ email: string, team_id?: string | null, team_role?: string | null } | null} account `team_id` is null for
 *   the personal account.
 * @property {"full" | "read_only" | null} access With `read_only`, the helper refuses changes. Null if it is not known.
 * @property {"oauth" | "grant" | "api_key" | null} method
 * @property {string | null} since RFC 3339, UTC.
 */

/**
 * @typedef {object} Database
 * @property {string} id
 * @property {string} name
 * @property {string} state
 * @property {string} host
 * @property {number} port
 * @property {boolean} tls
 * @property {string} rest_url
 * @property {string} plan
 * @property {string} primary_region
 * @property {string[]} read_regions
 * @property {boolean} eviction
 * @property {boolean} auto_upgrade
 * @property {boolean} daily_backup
 * @property {number | null} budget
 * @property {string} created_at
 */

/**
 * @typedef {"free" | "payg" | "fixed_250mb" | "fixed_1gb" | "fixed_5gb" | "fixed_10gb" | "fixed_50gb" | "fixed_100gb"
 *   | "fixed_500gb"} Plan
 */

/**
 * @typedef {object} NewDatabase
 * @property {string} name
 * @property {string} primary_region See `client.regions()`.
 * @property {string[]} [read_regions]
 * @property {"aws" | "gcp"} [platform]
 * @property {Plan} [plan]
 * @property {number} [budget] Monthly, in US dollars.
 * @property {boolean} [eviction]
 * @property {boolean} [tls]
 */

/**
 * @typedef {object} DatabaseChanges
 * @property {string} [name]
 * @property {boolean} [eviction]
 * @property {boolean} [auto_upgrade]
 * @property {boolean} [daily_backup]
 * @property {string[]} [read_regions]
 * @property {Plan} [plan]
 * @property {number} [budget]
 * @property {true} [tls]
 */

/**
 * @typedef {object} DatabaseCredentials
 * @property {string} id
 * @property {string} name
 * @property {string} host
 * @property {number} port
 * @property {boolean} tls
 * @property {string} username
 * @property {string} password
 * @property {string} redis_url
 * @property {string} rest_url
 * @property {string} rest_token
 * @property {string} read_only_rest_token
 * @property {Record<string, string>} env
 * @property {string | null} [ca_file] The certificate file that Redis clients must trust, for a database with TLS in a
 *   sandbox on this machine. It is also `REDIS_CA_FILE` in `env`.
 * @property {Record<string, string>} [ca_usage] How Redis clients use `REDIS_CA_FILE`, by client.
 */

/**
 * @typedef {object} Region
 * @property {string} id
 * @property {string} name
 * @property {"aws" | "gcp"} platform
 * @property {boolean} primary
 * @property {boolean} read
 */

/**
 * @typedef {object} TokenInfo
 * @property {"app"} kind
 * @property {string} app_id
 * @property {string} name
 * @property {{ kind: "web" | "extension" | "native", name: string, shown: string }} identity
 * @property {Scope[]} scopes
 * @property {boolean} all_databases Whether `databases:credentials` covers all databases, and not only those that this
 *   app created.
 * @property {string | null} expires_at
 */

/**
 * An event of `client.events`. After `reset`, events were missed: reload what you show.
 *
 * @typedef {{ id: string } & (
 *   | { type: "connection", data: Connection }
 *   | { type: "attempt", data: { attempt_id: string, state: string, title?: string, reason?: string, detail?: string } }
 *   | { type: "database", data: { change: "created" | "changed" | "deleted", id: string, name: string | null } }
 *   | { type: "reset", data: object }
 * )} HelperEvent
 */

/** @typedef {{ type: string, data: unknown, id: string }} ServerSentEvent */

/**
 * Problem details (RFC 9457).
 *
 * @typedef {object} Problem
 * @property {number} status
 * @property {string} code
 * @property {string} title
 * @property {string} detail
 * @property {{ pointer: string, detail: string }[]} [errors]
 * @property {number} [retry_after] Seconds.
 */

export {};
