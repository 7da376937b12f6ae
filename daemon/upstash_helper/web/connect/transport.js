/** Requests that go straight to the helper; bridge.js has the alternative. */

/** @typedef {(path: string, init: RequestInit) => Promise<Response>} Send */

/** @param {string} url @returns {Send} */
export function directly(url) {
  return (path, init) =>
    fetch(url + path, {
      ...init,
      mode: "cors",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      redirect: "error",
    });
}

/** Return 128 random bits. Not by randomUUID, which pages without TLS do not have. @returns {string} */
export function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
