/**
 * Preloaded into Upstash's command line, whose address of the Developer API is fixed: sends its requests to
 * `DEVELOPER_API_URL`, unchanged.
 */

import { variable } from "./environment.js";

const address = variable("DEVELOPER_API_URL");
const send = globalThis.fetch;

/** @type {typeof fetch} */
globalThis.fetch = (url, init) => send(String(url).replace("https://api.upstash.com", address), init);
