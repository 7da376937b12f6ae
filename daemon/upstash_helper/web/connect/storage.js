/** Where the page's token and the helper's last address are kept. */

/** @import { TokenStorage } from "./types.js" */

/** The key, beside the token, for the address of the helper, if it had to be discovered. */
export const ADDRESS_KEY = "upstash-helper:at";

/** For pages without a storage (blocked by the user, or a worker): lasts as long as the page. @returns {TokenStorage} */
function inMemory() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => {
      kept.set(key, value);
    },
    removeItem: (key) => {
      kept.delete(key);
    },
  };
}

const MEMORY = inMemory();

/** @returns {TokenStorage} */
export function defaultStorage() {
  try {
    return globalThis.localStorage ?? MEMORY;
  } catch {
    return MEMORY;
  }
}

/**
 * Return what is kept under `key`; null also where the storage fails.
 *
 * @param {TokenStorage} storage
 * @param {string} key
 * @returns {Promise<string | null>}
 */
export async function read(storage, key) {
  try {
    return (await storage.getItem(key)) ?? null;
  } catch {
    return null;
  }
}

/**
 * As `read`, without waiting; null for an asynchronous storage.
 *
 * @param {TokenStorage} storage
 * @param {string} key
 */
export function readNow(storage, key) {
  try {
    const found = storage.getItem(key);
    return typeof found === "string" ? found : null;
  } catch {
    return null;
  }
}
