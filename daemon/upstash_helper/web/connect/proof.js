/**
 * Proof that a server knows the page's token, before the token is sent to it: another program may have taken the
 * helper's port. The helper's side is `protocol/proof.py`.
 */

import { ApiError, HelperOutdated, TokenRevoked } from "./errors.js";
import { randomKey } from "./transport.js";

/** @import { Send } from "./transport.js" */

/**
 * Return whether the server proves that it knows the token.
 *
 * @param {Send} send
 * @param {string} url The address of the server.
 * @param {string} token
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<boolean>}
 * @throws {TokenRevoked} If the server answers that it does not know the token.
 * @throws {HelperOutdated} If it is a helper of an earlier version, or claims to be one.
 * @throws {ApiError} If another program has the same port of the other loopback address.
 */
export async function provesToKnow(send, url, token, signal) {
  const digest = await sha256(encode(token));
  const keyId = (await hex(sha256(concat(encode("upstash-helper key id v1\n"), digest)))).slice(0, 32);
  const nonce = randomKey();
  const response = await send(`/v1/proof?key=${keyId}&nonce=${nonce}`, { method: "GET", headers: {}, signal });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer?.proof === null) throw new TokenRevoked();
  if (answer?.code === "not_found") throw new HelperOutdated(url);
  if (answer?.code === "port_conflict") throw new ApiError(answer);
  return answer?.proof === (await hmac(digest, `upstash-helper proof v1\n${new URL(url).host}\n${nonce}`));
}

/** @param {string} text */
const encode = (text) => new TextEncoder().encode(text);

/** @param {Uint8Array<ArrayBuffer>} bytes */
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {string} text
 */
async function hmac(key, text) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return hex(crypto.subtle.sign("HMAC", imported, encode(text)));
}

/** @param {Promise<ArrayBuffer | Uint8Array<ArrayBuffer>>} bytes */
async function hex(bytes) {
  return [...new Uint8Array(await bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} first
 * @param {Uint8Array} second
 */
function concat(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
