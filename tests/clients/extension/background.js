// The worker connects, and the popup shows the progress: connecting opens other windows, and a popup closes as soon as
// another window gets the focus.
//
// The token is stored in the extension's own storage, which pages cannot read.

import { connectUpstash, UpstashHelperError } from "./connect.js";
import { storage } from "./storage.js";

/** @import { Progress, UpstashClient } from "./connect.js" */

/**
 * What the popup shows.
 *
 * @typedef {{ step: Progress["step"] | "idle" | "error", userCode?: string, text?: string }} Shown
 */

/** @type {AbortController | null} */
let run = null;

chrome.runtime.onMessage.addListener((message, _sender, answer) => {
  if (message === "connect") void connect();
  if (message === "cancel") run?.abort();
  answer();
});

async function connect() {
  run?.abort();
  run = new AbortController();
  const { signal } = run;
  // The browser stops a worker that only waits for network responses after 30 seconds.
  const awake = setInterval(() => chrome.runtime.getPlatformInfo(), 20_000);
  try {
    const upstash = await connectUpstash({
      name: "Upstash databases (extension)",
      scopes: ["databases:read", "databases:write", "databases:credentials"],
      reason: "To list your databases and create new ones",
      open: (url) => chrome.tabs.create({ url }),
      onProgress: (progress) =>
        show({ step: progress.step, userCode: "userCode" in progress ? progress.userCode : undefined }),
      storage,
      signal,
    });
    await count(upstash);
  } catch (error) {
    if (!(error instanceof UpstashHelperError)) throw error;
    const isCanceled = error.code === "aborted";
    await show(isCanceled ? { step: "idle" } : { step: "error", text: `${error.message} ${error.help}` });
  } finally {
    clearInterval(awake);
  }
}

// The worker can use the account like a page of the extension.
/** @param {UpstashClient} upstash */
async function count(upstash) {
  const databases = await upstash.databases.list();
  await chrome.action.setBadgeText({ text: String(databases.length) });
}

// Stored until the browser exits, even if this worker is stopped in the meantime.
/** @param {Shown} progress */
function show(progress) {
  return chrome.storage.session.set({ progress });
}
