/**
 * Preloaded into the conformance suite, which has no option for it: adds the token `BEARER` to its requests to the server
 * at `BEARER_FOR`. Those of `fetch` and of the package `undici` go through the dispatcher of the latter, and some scenarios
 * use Node's own client.
 */

import http from "node:http";
import { createRequire } from "node:module";
import { variable } from "./environment.js";

/** @typedef {{ origin?: string | URL, headers?: any }} Options */
/** @typedef {(options: Options, handler: unknown) => boolean} Dispatch */
/** @typedef {{ compose: (interceptor: (dispatch: Dispatch) => Dispatch) => Dispatcher }} Dispatcher */
/** @typedef {{ getGlobalDispatcher: () => Dispatcher, setGlobalDispatcher: (dispatcher: Dispatcher) => void }} Undici */

const server = new URL(variable("BEARER_FOR")).origin;
const authorization = `Bearer ${variable("BEARER")}`;
/** @type {Undici} */
const undici = createRequire(process.argv[1])("undici");

/** @param {any} headers A flat list, an object, or nothing: what the package takes. */
function withToken(headers) {
  return Array.isArray(headers) ? [...headers, "authorization", authorization] : { ...headers, authorization };
}

/** @param {Dispatch} dispatch @returns {Dispatch} */
const withBearer = (dispatch) => (options, handler) => {
  const isOurs = String(options.origin) === server;
  return dispatch({ ...options, headers: isOurs ? withToken(options.headers) : options.headers }, handler);
};
undici.setGlobalDispatcher(undici.getGlobalDispatcher().compose(withBearer));

const send = http.request;
/** @type {any} */ (http).request = (/** @type {[any, any, any]} */ ...given) => {
  const request = send(...given);
  if (`http://${request.getHeader("host")}` === server) request.setHeader("authorization", authorization);
  return request;
};
