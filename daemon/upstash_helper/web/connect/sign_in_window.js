/** The window in which the user signs in. */

import { popupFeatures } from "./environment.js";

const SIZE = { width: 480, height: 720 };

const WAITING_CSS = `
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; box-sizing: border-box; padding: 1.5rem;
    background: light-dark(#f6f7f8, #101513); color: light-dark(#17211d, #e8eeeb);
    font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; text-align: center; }
  h1 { margin: 0 0 1.5rem; font-size: 1.375rem; line-height: 1.25; letter-spacing: -.01em; text-wrap: balance; }
  p { margin: 0; color: light-dark(#56635d, #9fb0a8); text-wrap: pretty; }
  .step { margin-bottom: .75rem; font-size: .875rem; }
  .code { margin: .5rem 0 1.5rem; font: 600 2rem/1.2 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; color: light-dark(#17211d, #e8eeeb); }
  .quiet { font-size: .875rem; }
`;

/**
 * It is opened while the click still counts, which is before its address is known, and shows the code until then.
 */
export class SignInWindow {
  #openElsewhere;
  /** @type {Window | null} */
  #popup = null;
  /** Whether it was sent to the sign-in page. */
  hasNavigated = false;

  /** @param {((url: string) => unknown) | undefined} openElsewhere Opens an address in another way than in a window. */
  constructor(openElsewhere) {
    this.#openElsewhere = openElsewhere;
  }

  /** Open it empty, if the click still counts. */
  prepare() {
    if (this.#openElsewhere || this.#isOpen || !globalThis.navigator?.userActivation?.isActive) return;
    this.#popup = globalThis.open?.("", "_blank", popupFeatures(SIZE)) ?? null;
  }

  get #isOpen() {
    return this.#popup !== null && !this.#popup.closed;
  }

  /** Whether it was opened, and seems closed. */
  get seemsClosed() {
    return this.#popup?.closed ?? false;
  }

  /** @param {string} userCode */
  showCode(userCode) {
    if (!this.#isOpen || !this.#popup) return;
    try {
      writeWaiting(this.#popup, userCode);
    } catch {
      // It was navigated elsewhere. The page shows the code, too.
    }
  }

  /**
   * Go to the sign-in page.
   *
   * @param {string} url
   * @returns {Promise<boolean>} Whether a window shows it.
   */
  async navigate(url) {
    this.hasNavigated = true;
    if (this.#openElsewhere) {
      await this.#openElsewhere(url);
      return true;
    }
    if (this.#isOpen && this.#popup) this.#popup.location.replace(url);
    else this.#popup = globalThis.open?.(url, "_blank", popupFeatures(SIZE)) ?? null;
    return this.#popup !== null;
  }

  /** @param {number} [ms] After how long. */
  close(ms = 0) {
    const popup = this.#popup;
    if (ms === 0) popup?.close();
    else setTimeout(() => popup?.close(), ms);
  }
}

/**
 * @param {Window} popup
 * @param {string} userCode
 */
function writeWaiting(popup, userCode) {
  const { document } = popup;
  // Constructed by the window itself, so that a page whose policy allows no inline styles can show it as well.
  const sheet = new /** @type {Window & typeof globalThis} */ (popup).CSSStyleSheet();
  sheet.replaceSync(WAITING_CSS);
  document.adoptedStyleSheets = [sheet];
  document.title = "Connect Upstash";
  document.documentElement.lang = "en";
  /** @param {string} name @param {string} text @param {string} [className] */
  const element = (name, text, className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const main = document.createElement("main");
  main.append(
    element("p", "Waiting for you", "step"),
    element("h1", "Approve this request in upstash-helper"),
    element("p", "It shows the same code:"),
    element("p", userCode, "code"),
    element("p", "If your account is not connected yet, you then sign in to Upstash here.", "quiet"),
  );
  document.body.replaceChildren(main);
}
