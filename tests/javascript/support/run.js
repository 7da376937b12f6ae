/** What a call of connectUpstash works with, without a browser. */

import { SignInWindow } from "../../../daemon/upstash_helper/web/connect/sign_in_window.js";

/** @import { Run } from "../../../daemon/upstash_helper/web/connect/pairing.js" */
/** @import { Progress } from "../../../daemon/upstash_helper/web/connect/types.js" */

/**
 * @param {{ open?: (url: string) => unknown, signal?: AbortSignal, onPopupBlocked?: (url: string) => void }} [options]
 * @returns {Run & { steps: Progress[] }}
 */
export function recordedRun({ open, signal, onPopupBlocked } = {}) {
  /** @type {Progress[]} */
  const steps = [];
  return {
    steps,
    window: new SignInWindow(open),
    signal,
    onProgress: (progress) => steps.push(progress),
    onCode: () => {},
    onPopupBlocked,
  };
}
