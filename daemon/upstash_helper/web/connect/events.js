/** Server-sent events, read by fetch: an EventSource cannot send an Authorization header. */

/** @import { ServerSentEvent } from "./types.js" */

/**
 * Read a stream of server-sent events (HTML standard, section 9.2.6). The data of each is JSON.
 *
 * @param {ReadableStream<Uint8Array> | null} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
export async function* serverSentEvents(body) {
  if (!body) return;
  const decoder = /** @type {ReadableWritablePair<string, Uint8Array>} */ (new TextDecoderStream());
  const reader = body.pipeThrough(decoder).getReader();
  try {
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {ServerSentEvent | null} */
function parseEvent(block) {
  const found = { type: "message", data: "", id: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (field === "data") found.data += (found.data && "\n") + value;
    else if (field === "event") found.type = value;
    else if (field === "id") found.id = value;
  }
  return found.data ? { ...found, data: JSON.parse(found.data) } : null;
}
