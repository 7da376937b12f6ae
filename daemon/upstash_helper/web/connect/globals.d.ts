/** What importing the module adds to the page. JSDoc cannot declare globals, so this is TypeScript. */

import type { UpstashConnectElement } from "./button.js";
import type { UpstashClient } from "./client.js";
import type { UpstashHelperError } from "./errors.js";

/** The events of `<upstash-connect>`. They bubble. */
export interface UpstashConnectEvents {
  "upstash-connected": CustomEvent<{ client: UpstashClient; email: string | null }>;
  "upstash-error": CustomEvent<{ error: UpstashHelperError }>;
  "upstash-signed-out": CustomEvent<object>;
}

declare global {
  interface HTMLElementTagNameMap {
    "upstash-connect": UpstashConnectElement;
  }
  interface HTMLElementEventMap extends UpstashConnectEvents {}
}
