/**
 * connect-core.js: connect.js without the button `<upstash-connect>`, for pages and extensions that draw their own. It
 * gives a web page or a browser extension access to its user's Upstash account, through upstash-helper, the program on
 * the user's computer that keeps the account's API key. Load it from the helper
 * (`http://localhost:3000/connect-core.js`), or copy this file into your project. The types are in `connect-core.d.ts`.
 *
 *     import { connectUpstash } from "./connect-core.js";
 *     const upstash = await connectUpstash({ name: "Orders", scopes: ["databases:read"], onCode: show });
 *     for (const database of await upstash.databases.list()) …
 *
 * The page's token. When the user approves the page, it gets a token that is valid for its exact origin and the granted
 * scopes, until the user revokes it. By default it is kept in the origin's localStorage, where every script of that
 * origin can read it, as it could use the page itself. Pass `storage` to keep it elsewhere: sessionStorage for a token
 * that ends with the tab, or your own `{ getItem, setItem, removeItem }`, which may be asynchronous.
 *
 * The helper's address. It is where this module was loaded from, if that is a helper; otherwise `http://localhost:3000`
 * or, where the user leaves that port to other programs, `http://localhost:26300`, `:26301` or `:26302`. A program that
 * answers there must prove that it is the helper before anything is sent to it, since many programs use port 3000. A
 * token is sent only to the address that issued it. A page with a Content-Security-Policy lists all four in
 * `connect-src`.
 */

export { UpstashClient } from "./client.js";
export { connectUpstash, isHelperRunning, resumeUpstash } from "./connect.js";
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
  UpstashHelperError,
} from "./errors.js";
export { serverSentEvents } from "./events.js";
export * from "./types.js";
