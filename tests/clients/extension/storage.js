// The extension's storage, in the form that connect.js takes.
/** @type {import('./connect.js').TokenStorage} */
export const storage = {
  getItem: async (key) => /** @type {Record<string, string>} */ (await chrome.storage.local.get(key))[key] ?? null,
  setItem: (key, value) => chrome.storage.local.set({ [key]: value }),
  removeItem: (key) => chrome.storage.local.remove(key),
};
