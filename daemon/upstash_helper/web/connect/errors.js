/** The errors that callers catch, and which of the helper's problems becomes which of them. */

/** @import { Problem } from "./types.js" */

/** What every function here throws. */
export class UpstashHelperError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [help]
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, help = "", options = undefined) {
    super(message, options);
    this.name = new.target.name;
    /** Stable: programs distinguish errors by it. @readonly @type {string} */
    this.code = code;
    /** What to do about it, for a person. May be empty. @readonly @type {string} */
    this.help = help;
  }
}

/** `helper_not_running`: the helper does not respond where it should be. */
export class HelperNotRunning extends UpstashHelperError {
  /** @param {string[]} urls @param {unknown} [cause] @param {string} [next] @param {string} [more] Further help. */
  constructor(urls, cause, next, more = "") {
    const start = "start it on this computer with: upstash-helper start. If it is not installed, install it first.";
    super(
      "helper_not_running",
      `upstash-helper is not responding at ${urls.join(" or ")}.`,
      (next === undefined
        ? `S${start.slice(1)}`
        : `If it is running, another program is using that address: try again to check ${next}. Otherwise, ${start}`) +
        more,
      { cause },
    );
    /** @readonly @type {string} */
    this.url = urls[0];
    /**
     * Where the next attempt looks, if that is another address: the bridge tries one address per click.
     *
     * @readonly @type {string | undefined}
     */
    this.next = next;
  }
}

/**
 * `helper_not_running`, for the bridge: its window did not open the helper's page. A page cannot see whether the helper
 * is not there or the browser does not find it.
 */
export class BridgeNotOpened extends HelperNotRunning {
  /** @param {string} url @param {string} bridge @param {string} [next] */
  constructor(url, bridge, next) {
    const { host, hostname } = new URL(bridge);
    super(
      [url],
      undefined,
      next,
      ` If the window showed that ${hostname} cannot be found, this browser does not open addresses at *.localhost: ` +
        `use Chrome, Edge, Firefox, or another browser that opens http://${host}.`,
    );
  }
}

/** `helper_outdated`: the helper is of a version that cannot prove that it is the helper. */
export class HelperOutdated extends UpstashHelperError {
  /** @param {string} url */
  constructor(url) {
    super(
      "helper_outdated",
      `The upstash-helper at ${url} is too old for this page.`,
      "Update it on this computer, then restart it with: upstash-helper restart",
    );
  }
}

/** `helper_busy`: the user cannot be asked now, or this page sends too many requests. */
export class HelperBusy extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} retryAfter */
  constructor(problem, retryAfter) {
    const wait = retryAfter === null ? "a moment" : `${retryAfter} seconds`;
    const isPending = problem.code === "pairing_pending";
    super(
      "helper_busy",
      problem.detail,
      isPending
        ? `Answer the request that is pending in upstash-helper, or try again in ${wait}.`
        : `Try again in ${wait}.`,
    );
    /** Seconds. @readonly @type {number | null} */
    this.retryAfter = retryAfter;
    /** @readonly @type {Problem} */
    this.problem = problem;
  }
}

/** `permission_denied`: the browser blocks the page from reaching programs on this device (Local Network Access). */
export class PermissionDenied extends UpstashHelperError {
  constructor() {
    super(
      "permission_denied",
      "Your browser does not allow this page to reach apps on this device.",
      "Open the site settings next to the address bar, allow “Apps on device” (or “Local network access”), and try again.",
    );
  }
}

/** `mixed_content_blocked`: the browser lets no https page reach http://localhost (Safari). From a click, the bridge helps. */
export class MixedContentBlocked extends UpstashHelperError {
  constructor() {
    super(
      "mixed_content_blocked",
      "This browser does not allow https pages to reach apps on this device directly.",
      "Try again from a button: upstash-helper then opens a window that relays the requests.",
    );
  }
}

/** `popup_blocked`: the browser did not open the window. */
export class PopupBlocked extends UpstashHelperError {
  /** @param {string} url */
  constructor(url) {
    super(
      "popup_blocked",
      "Your browser blocked the window.",
      "Open the link yourself, or allow pop-ups for this page.",
    );
    /** Show it as a link, and call again afterwards. @readonly @type {string} */
    this.url = url;
  }
}

/** `bridge_closed`: the helper's window that relayed the requests was closed. */
export class BridgeClosed extends UpstashHelperError {
  constructor() {
    super(
      "bridge_closed",
      "The upstash-helper window was closed or stopped.",
      "This browser needs it. Connect again, and leave it open.",
    );
  }
}

/** `pairing_denied`: the user denied the request. */
export class PairingDenied extends UpstashHelperError {
  constructor() {
    super(
      "pairing_denied",
      "You denied this app's request.",
      "If that was a mistake, request access again in a minute.",
    );
  }
}

/** `pairing_expired`: the user did not answer the request in time. */
export class PairingExpired extends UpstashHelperError {
  constructor() {
    super(
      "pairing_expired",
      "The request was not approved in time.",
      "Request access again, and approve it within two minutes.",
    );
  }
}

/** `pairing_replaced`: another tab or window of this site has requested access, which replaced the request of this page. */
export class PairingReplaced extends UpstashHelperError {
  constructor() {
    super(
      "pairing_replaced",
      "Another tab or window of this app has requested access, which replaced this request.",
      "Continue there, or connect again here.",
    );
  }
}

/** `app_blocked`: the user blocked requests from this origin. */
export class Blocked extends UpstashHelperError {
  constructor() {
    super(
      "app_blocked",
      "This app is blocked in upstash-helper.",
      "To unblock it, find it with: upstash-helper approvals blocked",
    );
  }
}

/** `token_revoked`: the user revoked the page's access. The token is deleted; connect again to request a new one. */
export class TokenRevoked extends UpstashHelperError {
  constructor() {
    super("token_revoked", "This app's access was revoked in upstash-helper.", "Connect again to request access.");
  }
}

/** `connect_failed`: the account was not connected. The message and the help are the helper's own texts. */
export class ConnectFailed extends UpstashHelperError {
  /** @param {string} reason @param {{ title?: string, detail?: string }} [text] */
  constructor(reason, { title = "The account was not connected", detail } = {}) {
    super("connect_failed", `${title}.`, detail || "Try again.");
    /** Stable, such as `access_denied`, `expired`, `helper_restarted`. @readonly @type {string} */
    this.reason = reason;
  }
}

/** `answer_lost`: the request was sent but its answer was lost, so it is not known whether it took effect. */
export class AnswerLost extends UpstashHelperError {
  constructor() {
    super(
      "answer_lost",
      "The connection to upstash-helper was lost before it answered.",
      "Check whether the change was made before you try again.",
    );
  }
}

/** `aborted`: canceled by `signal`, or by the button's Cancel. */
export class Aborted extends UpstashHelperError {
  constructor() {
    super("aborted", "This was canceled.");
  }
}

/** Any other refusal; `code` is that of the problem. */
export class ApiError extends UpstashHelperError {
  /** @param {Problem} problem @param {number | null} [retryAfter] */
  constructor(problem, retryAfter = null) {
    super(problem.code, problem.detail);
    /** @readonly @type {number} */
    this.status = problem.status;
    /** @readonly @type {Problem} */
    this.problem = problem;
    /** Seconds. @readonly @type {number | null} */
    this.retryAfter = retryAfter;
  }
}

const BUSY = new Set(["pairing_pending", "too_many_pairings", "rate_limited"]);
const GONE = new Set(["pairing_expired", "pairing_not_found", "token_already_delivered"]);

/**
 * Return the error for a response whose status is not 2xx.
 *
 * @param {Response} response
 * @returns {Promise<UpstashHelperError>}
 */
export async function errorOf(response) {
  const problem = /** @type {Problem | null} */ (await response.json().catch(() => null));
  if (typeof problem?.code !== "string") {
    return new ApiError({
      status: response.status,
      code: "unexpected_answer",
      title: "Unexpected answer",
      detail: `This answer (${response.status}) is not from upstash-helper: another program is using its port.`,
    });
  }
  const retryAfter = problem.retry_after ?? null;
  if (response.status === 401) return new TokenRevoked();
  if (BUSY.has(problem.code)) return new HelperBusy(problem, retryAfter);
  if (problem.code === "pairing_replaced") return new PairingReplaced();
  if (GONE.has(problem.code)) return new PairingExpired();
  if (problem.code === "pairing_denied") return new PairingDenied();
  if (problem.code === "app_blocked") return new Blocked();
  return new ApiError(problem, retryAfter);
}
