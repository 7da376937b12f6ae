/** Times, plans and actions as text. */

/** @import { IconName } from "./dom.js" */

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** Return a moment in the user's own time zone. @param {string} moment */
export function exact(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? moment : EXACT.format(date);
}

/** Return how long ago, or in how long. @param {string} moment */
export function relative(moment) {
  const seconds = (new Date(moment).getTime() - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return moment;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return seconds > 0 ? "in less than a minute" : "just now";
}

/** Return the time until a moment as minutes and seconds. @param {string} moment */
export function timeLeft(moment) {
  const seconds = Math.max(0, Math.ceil((new Date(moment).getTime() - Date.now()) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @type {Record<string, string>} */
export const PLANS = {
  free: "Free",
  payg: "Pay as you go",
  fixed_250mb: "Fixed, 250 MB",
  fixed_1gb: "Fixed, 1 GB",
  fixed_5gb: "Fixed, 5 GB",
  fixed_10gb: "Fixed, 10 GB",
  fixed_50gb: "Fixed, 50 GB",
  fixed_100gb: "Fixed, 100 GB",
  fixed_500gb: "Fixed, 500 GB",
};

/** @type {Record<string, string>} */
export const PLATFORMS = { aws: "Amazon Web Services", gcp: "Google Cloud" };

/**
 * The kinds of identities: their icon, what they are called, and who vouches for them.
 *
 * @type {Record<"web" | "extension" | "native", { icon: IconName, label: string, verified: string }>}
 */
export const IDENTITIES = {
  web: { icon: "globe", label: "Web page", verified: "Verified by the browser that is named below." },
  extension: {
    icon: "extension",
    label: "Browser extension",
    verified: "Verified by the browser that is named below.",
  },
  native: { icon: "terminal", label: "Program", verified: "Verified by the operating system." },
};

/** @type {Record<string, string>} */
const ACTIONS = {
  "app.agree_folder": "Received permission to write .env files in",
  "app.let_in": "Received its token",
  "app.rename": "Renamed an app",
  "app.revoke": "Revoked an app",
  "app.rotate": "Rotated its token",
  "app.sign_out": "Signed out",
  "audit.not_recorded": "Entries that could not be recorded",
  "backup.create": "Created a backup",
  "backup.delete": "Deleted a backup",
  "backup.restore": "Restored a backup",
  "block.remove": "Unblocked an app",
  "confirmation.allow": "Allowed what an app asked",
  "confirmation.allow_in_client": "Allowed in the app itself, according to the app",
  "confirmation.allow_automatically": "Allowed automatically",
  "confirmation.denied": "Asked, and was denied",
  "confirmation.deny": "Denied what an app asked",
  "confirmation.deny_in_client": "Denied in the app itself, according to the app",
  "connection.api_key": "Connected with an API key",
  "connection.cancel": "Canceled a sign-in",
  "connection.confirm": "Replaced the account",
  "connection.connect": "Started a sign-in",
  "connection.disconnect": "Disconnected the account",
  "connection.email": "Entered the account's email",
  "connection.paste": "Pasted a sign-in address",
  "daemon.stop": "Stopped the helper",
  "dashboard.close": "Ended a dashboard session",
  "dashboard.open": "Opened the dashboard",
  "database.change": "Changed a database",
  "database.commands": "Ran Redis commands",
  "database.create": "Created a database",
  "database.credentials": "Read credentials",
  "database.delete": "Deleted a database",
  "database.reset_password": "Reset a password",
  "env.write": "Wrote credentials to a file",
  "index.change": "Changed an index",
  "index.create": "Created an index",
  "index.credentials": "Read the tokens of an index",
  "index.delete": "Deleted an index",
  "index.reset_password": "Reset the tokens of an index",
  "pairing.approve": "Approved an app",
  "pairing.approve_automatically": "Approved automatically",
  "pairing.ask": "Requested access",
  "pairing.block": "Blocked an app",
  "pairing.deny": "Denied an app",
  "qstash.credentials": "Read QStash tokens",
  "token.misused": "Token used by another app",
};

/** Return the text for an action in the audit log. @param {string} code */
export function actionText(code) {
  const method = /^upstash\.([a-z]+)$/.exec(code)?.[1];
  if (method) return `Used Upstash's API (${method.toUpperCase()})`;
  return ACTIONS[code] ?? code;
}

/** Return the text for a result in the audit log. @param {string} code */
export function resultText(code) {
  if (code === "ok") return "Done";
  if (code === "started") return "Started";
  return capitalized(code.replaceAll("_", " "));
}

/**
 * Return at most `limit` characters of a text. An origin loses labels at the front, and any other text its middle: the
 * end of a domain decides who owns it. The same as `protocol/shorten.py`.
 *
 * @param {string} text
 * @param {number} limit At least 3.
 */
export function shorten(text, limit) {
  if (text.length <= limit) return text;
  const host = /^https?:\/\/([^/\s]+)$/.exec(text)?.[1];
  return host === undefined ? cutMiddle(text, limit) : shortenHost(host, limit);
}

/** @param {string} host @param {number} limit */
function shortenHost(host, limit) {
  if (host.length <= limit) return host;
  const rest = host.split(".");
  /** @type {string[]} */
  const kept = [];
  while (rest.length && ["…", rest.at(-1), ...kept].join(".").length <= limit) kept.unshift(rest.pop() ?? "");
  if (kept.length < 3 && rest.length) {
    // The beginning of the next label shows that what follows is only its end.
    const room = limit - ["…", "", ...kept].join(".").length;
    if (room >= 3) kept.unshift(cutMiddle(rest.pop() ?? "", room));
  }
  if (!kept.length) return cutMiddle(host, limit);
  return (rest.length ? ["…", ...kept] : kept).join(".");
}

/** @param {string} text @param {number} limit */
function cutMiddle(text, limit) {
  if (text.length <= limit) return text;
  const tail = Math.floor(limit / 2);
  return `${text.slice(0, limit - tail - 1).trimEnd()}…${text.slice(text.length - tail).trimStart()}`;
}

/** @param {string} text */
export function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
