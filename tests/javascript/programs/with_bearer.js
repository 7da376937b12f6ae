/**
 * Preloaded into the conformance suite, which has no option for it: adds the token `BEARER` to its requests to the server
 * at `BEARER_FOR`. All of them, also those of `fetch`, go through the dispatcher of the package `undici`.
 */

import { createRequire } from "node:module";
import { variable } from "./environment.js";

/** @typedef {{ origin?: string | URL, headers?: string[] | Iterable<[string, string]> | Record<string, string> | null }} Options */
/** @typedef {(options: Options, handler: unknown) => boolean} Dispatch */
/** @typedef {{ compose: (interceptor: (dispatch: Dispatch) => Dispatch) => Dispatcher }} Dispatcher */
/** @typedef {{ getGlobalDispatcher: () => Dispatcher, setGlobalDispatcher: (dispatcher: Dispatcher) => void }} Undici */

const server = new URL(variable("BEARER_FOR")).origin;
const authorization = `Bearer ${variable("BEARER")}`;
/** @type {Undici} */
const undici = createRequire(process.argv[1])("undici");

/** @param {Options["headers"]} headers */
function withToken(headers) {
  if (!headers) return { authorization };
  if (Array.isArray(headers) && typeof headers[0] === "string") return [...headers, "authorization", authorization];
  const pairs = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  const given = pairs.some(([name]) => String(name).toLowerCase() === "authorization");
  return Object.fromEntries(given ? pairs : [...pairs, ["authorization", authorization]]);
}

/** @param {Dispatch} dispatch @returns {Dispatch} */
const withBearer = (dispatch) => (options, handler) => {
  const isOurs = String(options.origin) === server;
  const headers = /** @type {any} */ (isOurs ? withToken(options.headers) : options.headers);
  return dispatch({ ...options, headers }, handler);
};
undici.setGlobalDispatcher(undici.getGlobalDispatcher().compose(withBearer));
