/** Times, plans and actions in words. */

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60]];

/** Return a moment in the user's own time. @param {string} moment */
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

/** Return how much time is left, as a clock shows it. @param {string} moment */
export function left(moment) {
  const seconds = Math.max(0, Math.ceil((new Date(moment).getTime() - Date.now()) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

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

export const PLATFORMS = { aws: "Amazon Web Services", gcp: "Google Cloud" };

/** What kind of identity it is, who vouches for it, and its icon. */
export const IDENTITIES = {
  web: { icon: "globe", what: "Web page", vouched: "As the program below says; a browser can be believed." },
  extension: { icon: "extension", what: "Browser extension", vouched: "As the program below says; a browser can be believed." },
  native: { icon: "terminal", what: "Program", vouched: "As the operating system says." },
};

const ACTIONS = {
  "app.let_in": "Fetched its token",
  "app.rename": "Renamed an app",
  "app.revoke": "Revoked an app",
  "app.rotate": "Changed its token",
  "app.sign_out": "Signed out",
  "block.remove": "Lifted a block",
  "connection.api_key": "Connected with an API key",
  "connection.cancel": "Cancelled a sign-in",
  "connection.connect": "Started a sign-in",
  "connection.disconnect": "Disconnected the account",
  "connection.email": "Named the account",
  "connection.paste": "Pasted a sign-in address",
  "daemon.stop": "Stopped the helper",
  "dashboard.close": "Ended a dashboard session",
  "dashboard.open": "Opened the dashboard",
  "database.change": "Changed a database",
  "database.create": "Created a database",
  "database.credentials": "Read credentials",
  "database.delete": "Deleted a database",
  "database.reset_password": "Reset a password",
  "pairing.approve": "Let an app in",
  "pairing.ask": "Asked to be let in",
  "pairing.block": "Blocked an app",
  "pairing.deny": "Denied an app",
  "token.misused": "Token sent from elsewhere",
};

/** Return what an entry of the audit says was done. @param {string} action */
export function action(action) {
  return ACTIONS[action] ?? action;
}

/** Return how an entry of the audit ended. @param {string} result */
export function result(result) {
  if (result === "ok") return "Done";
  if (result === "started") return "Started";
  return result.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
