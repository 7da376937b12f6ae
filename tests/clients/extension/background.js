// Connecting takes minutes and other windows, and a popup goes away as soon as another window has the focus. So it is
// done here, and the popup shows how far it is.
//
// The token is kept in the extension's own storage, which no page can read.

import { connectUpstash } from './connect.js';
import { storage } from './storage.js';

let run = null;

chrome.runtime.onMessage.addListener((message, _sender, answer) => {
  if (message === 'connect') connect();
  if (message === 'cancel') run?.abort();
  answer();
});

async function connect() {
  run?.abort();
  run = new AbortController();
  const { signal } = run;
  // A worker that does nothing but wait for answers of the network is stopped after half a minute.
  const awake = setInterval(() => chrome.runtime.getPlatformInfo(), 20_000);
  try {
    const upstash = await connectUpstash({
      name: 'Upstash databases (extension)',
      scopes: ['databases:read', 'databases:write', 'databases:credentials'],
      reason: 'To list your databases and make new ones',
      open: (url) => chrome.tabs.create({ url }),
      onProgress: ({ step, userCode }) => show({ step, userCode }),
      storage,
      signal,
    });
    await count(upstash);
  } catch (error) {
    const isOver = error.code === 'aborted';
    await show(isOver ? { step: 'idle' } : { step: 'error', text: `${error.message} ${error.help ?? ''}` });
  } finally {
    clearInterval(awake);
  }
}

// Whatever a page of the extension can do, the worker can as well.
async function count(upstash) {
  const databases = await upstash.databases.list();
  await chrome.action.setBadgeText({ text: String(databases.length) });
}

// What the popup shows; kept until the browser ends, also when this worker is stopped meanwhile.
function show(progress) {
  return chrome.storage.session.set({ progress });
}
