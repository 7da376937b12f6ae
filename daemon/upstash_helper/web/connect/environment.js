/** What the browser lets the page do, and where its windows go. */

const LOOPBACK = /^(?:(?:.+\.)?localhost|127\.0\.0\.1|\[::1\])$/;

/** @param {string} hostname */
export function isLoopback(hostname) {
  return LOOPBACK.test(hostname);
}

/** Return whether the browser may ask the user before it sends a request of this page to this computer. */
export function mayPrompt() {
  const page = globalThis.location;
  return page?.protocol === "https:" || (page?.protocol === "http:" && !isLoopback(page.hostname));
}

/**
 * Return the state of the Local Network Access permission, whose name depends on the version of the browser.
 *
 * @returns {Promise<PermissionState | "unknown">}
 */
export async function networkPermission() {
  for (const name of ["loopback-network", "local-network-access", "local-network"]) {
    try {
      return (await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) })).state;
    } catch {
      // This browser does not know the name.
    }
  }
  return "unknown";
}

/** Only WebKit treats http://localhost as mixed content, and it reports no more than that the request failed. */
export function blocksMixedContent() {
  return globalThis.location?.protocol === "https:" && (navigator.vendor ?? "").startsWith("Apple");
}

/**
 * Return the features of a popup window in the middle of the page's own.
 *
 * @param {{ width: number, height: number }} size
 * @returns {string}
 */
export function popupFeatures({ width, height }) {
  const left = Math.round((globalThis.screenX ?? 0) + ((globalThis.outerWidth ?? width) - width) / 2);
  const top = Math.round((globalThis.screenY ?? 0) + ((globalThis.outerHeight ?? height) - height) / 3);
  return `popup,width=${width},height=${height},left=${left},top=${top}`;
}
