/** The button `<upstash-connect>`, and the card that takes its place while it works. */

import { onSignedOut } from "./client.js";
import { connectUpstash, resumeUpstash } from "./connect.js";
import { Aborted, HelperNotRunning, UpstashHelperError } from "./errors.js";

/** @import { UpstashClient } from "./client.js" */
/** @import { Progress, TokenStorage } from "./types.js" */

/**
 * What the button shows: a step of `connectUpstash`, or one of its own.
 *
 * @typedef {Progress | { step: "idle" } | { step: "missing" } | { step: "error" } | { step: "sign-in-link", url: string }
 * } ButtonState
 */

const ELEMENT_CSS = `
  :host {
    --_accent: var(--upstash-accent, light-dark(#00875a, #2fd196));
    --_on-accent: var(--upstash-on-accent, light-dark(#ffffff, #06231a));
    --_text: var(--upstash-text, light-dark(#17211d, #e8eeeb));
    --_quiet: var(--upstash-quiet, light-dark(#56635d, #9fb0a8));
    --_card: var(--upstash-card, light-dark(#ffffff, #181f1c));
    --_line: var(--upstash-line, light-dark(#dbe2de, #2f3a35));
    --_well: var(--upstash-well, light-dark(#f3f6f4, #101513));
    --_bad: var(--upstash-bad, light-dark(#b3402e, #ff8f7a));
    --_radius: var(--upstash-radius, .625rem);
    display: inline-block; max-width: 100%; vertical-align: middle; color: var(--_text); text-align: start;
    font: 1rem/1.5 var(--upstash-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
  }
  :host([hidden]) { display: none; }
  * { box-sizing: border-box; }
  :where(button, .button) { display: inline-flex; align-items: center; justify-content: center; gap: .625rem;
    min-height: 2.75rem; padding: .5rem 1.125rem; border: 1px solid transparent; border-radius: var(--_radius);
    font: inherit; font-weight: 600; text-decoration: none; white-space: nowrap;
    cursor: pointer; transition: filter .15s, background .15s; }
  .primary { background: var(--_accent); color: var(--_on-accent); }
  .primary:hover { filter: brightness(1.08); }
  .primary:active { filter: brightness(.95); }
  .plain { background: transparent; color: var(--_text); border-color: var(--_line); }
  .plain:hover { background: var(--_well); }
  .link { min-height: 2rem; padding: .25rem .5rem; margin-inline-end: -.5rem; background: none; color: var(--_quiet);
    font-weight: 500; font-size: .875rem; }
  .link:hover { color: var(--_text); background: var(--_well); }
  :focus-visible { outline: .1875rem solid color-mix(in srgb, var(--_accent) 55%, transparent); outline-offset: 2px; }
  svg { flex: none; width: 1.25rem; height: 1.25rem; }
  .card { width: 25rem; max-width: 100%; padding: 1.25rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: calc(var(--_radius) * 1.5); }
  .head { display: flex; gap: .75rem; align-items: flex-start; }
  .head > div { flex: 1; min-width: 0; }
  .head svg, .head .spin { margin-top: .125rem; }
  .title { margin: 0; font-size: 1rem; font-weight: 600; line-height: 1.5; text-wrap: balance; }
  .text { margin: .25rem 0 0; color: var(--_quiet); font-size: .9375rem; text-wrap: pretty; overflow-wrap: anywhere; }
  .code { margin: 1rem 0 0; padding: .75rem; text-align: center; background: var(--_well);
    border-radius: var(--_radius); font: 600 1.625rem/1.3 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    letter-spacing: .08em; }
  .command { display: block; margin: .75rem 0 0; padding: .5rem .75rem; background: var(--_well);
    border-radius: var(--_radius); font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    overflow-wrap: anywhere; }
  .actions { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: 1rem; }
  .chip { display: flex; align-items: center; gap: .625rem; min-height: 2.75rem; max-width: 100%;
    padding: .375rem .75rem .375rem .875rem; background: var(--_card); border: 1px solid var(--_line);
    border-radius: var(--_radius); }
  .who { min-width: 0; line-height: 1.35; overflow-wrap: anywhere; }
  .good { color: var(--_accent); } .bad { color: var(--_bad); }
  .spin { flex: none; width: 1.25rem; height: 1.25rem; border: .1875rem solid var(--_line);
    border-top-color: var(--_accent); border-radius: 50%; animation: turn 1s linear infinite; }
  .card:focus { outline: none; }
  .aside { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
    white-space: nowrap; }
  @keyframes turn { to { transform: rotate(1turn); } }
  @media (prefers-reduced-motion: reduce) { .spin { animation-duration: 4s; } button { transition: none; } }
`;

/** Where users get the helper, as in pyproject.toml. */
const HELP_URL = "https://upstash.com/docs";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  mark: ["M5 6v7a7 7 0 0 0 14 0V6", "M12 7.5v.01"],
  done: ["M4.5 12.5l5 5 10-11"],
  error: ["M12 7v6", "M12 17v.01", "M12 2.5a9.5 9.5 0 1 1 0 19 9.5 9.5 0 0 1 0-19z"],
};

/**
 * @param {keyof typeof ICONS} name
 * @param {string} [className]
 */
function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = {
    viewBox: "0 0 24 24",
    fill: "none",
    stroke: "currentColor",
    "stroke-width": name === "error" ? "2" : "2.75",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
    class: className,
  };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  for (const d of ICONS[name]) svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("d", d);
  return svg;
}

/**
 * Make an element. Functions among the attributes are event listeners; null is left out.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | null | (() => void)>} attributes
 * @param {...(Node | string | null)} children
 */
function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Title and text of the steps in which the button waits.
 *
 * @type {Record<Exclude<ButtonState["step"], "idle" | "connected" | "missing" | "error">, [string, string]>}
 */
const WAITING = {
  checking: ["Looking for upstash-helper", "It keeps your Upstash account on this computer."],
  permission: [
    "Your browser asks about this page",
    "Choose Allow, so that this page can reach upstash-helper on this device.",
  ],
  approval: [
    "Approve this page in upstash-helper",
    "Use its dashboard, its tray icon, or “upstash-helper approvals approve”. It shows the same code:",
  ],
  "sign-in": ["Sign in to Upstash", "A window has opened. This page continues when you are done."],
  "sign-in-bridge": ["Sign in to Upstash", "Use the button in the upstash-helper window, and leave that window open."],
  "sign-in-link": ["Sign in to Upstash", "Your browser blocked the sign-in window."],
  "sign-in-elsewhere": [
    "A sign-in is in progress elsewhere",
    "Finish it where it was started, or start your own in upstash-helper. This page continues when an account is connected.",
  ],
  "window-closed": [
    "Have you finished signing in?",
    "The window seems to be closed. If you are not done, open it again.",
  ],
  connecting: ["Connecting your account", "You are signed in to Upstash. Your key is being stored on this computer."],
  decision: [
    "Waiting for your decision",
    "Another account is connected. upstash-helper asks you whether to replace it, in its dashboard and its tray icon.",
  ],
};

// Outside of a page, in a worker for instance, there are no elements.
const ElementBase = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/**
 * `<upstash-connect name="Orders" scopes="databases:read databases:write">`: the button, and what comes after it.
 * Importing the module defines it.
 *
 * Attributes: `name`, `scopes` and `reason` as in `connectUpstash`; `label` for the text on the button; `help-url` for
 * a page on how to get the helper, in place of the default one (empty: no link); `url` and `bridge`, for tests. Events:
 * see `UpstashConnectEvents`. Colors: the custom properties `--upstash-accent`, `--upstash-on-accent`,
 * `--upstash-text`, `--upstash-quiet`, `--upstash-card`, `--upstash-line`, `--upstash-well`, `--upstash-bad`; also
 * `--upstash-radius` and `--upstash-font`. Light or dark as the page's own `color-scheme`.
 */
export class UpstashConnectElement extends ElementBase {
  /**
   * Where the token is kept, as in `connectUpstash`. Set it before the element is in the page.
   *
   * @type {TokenStorage | undefined}
   */
  storage = undefined;
  /** @type {UpstashClient | null} */
  #client = null;
  /** @type {UpstashHelperError | null} */
  #error = null;
  /** @type {AbortController | null} */
  #run = null;
  /** @type {ButtonState} */
  #state = { step: "idle" };
  /** @type {HTMLElement} */
  #stage;
  /** @type {HTMLElement} */
  #announcer;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(ELEMENT_CSS);
    this.#stage = h("div", {});
    this.#announcer = h("div", { class: "aside", role: "status", "aria-live": "polite" });
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#stage, this.#announcer);
  }

  /** @internal */
  connectedCallback() {
    this.#show(this.#state);
    if (!this.#client && !this.#run) void this.#resume();
  }

  /** @internal */
  disconnectedCallback() {
    this.#run?.abort();
  }

  /** The client, once the account is connected. @returns {UpstashClient | null} */
  get client() {
    return this.#client;
  }

  /** Why the last attempt failed. @returns {UpstashHelperError | null} */
  get error() {
    return this.#error;
  }

  /** The current step. It is also an attribute, for styles. @returns {ButtonState["step"]} */
  get state() {
    return this.#state.step;
  }

  /** Do what a click on the button does. @returns {Promise<void>} */
  async connect() {
    if (this.#run) return;
    const run = new AbortController();
    this.#run = run;
    this.#error = null;
    /** @param {ButtonState} state */
    const onProgress = (state) => {
      if (this.#run === run) this.#show(state);
    };
    try {
      const client = await connectUpstash({
        ...this.#options,
        signal: run.signal,
        onProgress,
        onPopupBlocked: (url) => onProgress({ step: "sign-in-link", url }),
      });
      if (this.#run === run) this.#connected(client, "email" in this.#state ? this.#state.email : null);
    } catch (error) {
      if (this.#run === run) this.#failed(error);
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** Cancel what is under way. */
  cancel() {
    const run = this.#run;
    this.#run = null;
    this.#show({ step: "idle" });
    run?.abort();
  }

  /** Give the page's token back. @returns {Promise<void>} */
  async signOut() {
    await this.#client?.signOut();
  }

  get #options() {
    /** @param {string} name */
    const attribute = (name) => this.getAttribute(name) ?? undefined;
    return {
      name: attribute("name") || document.title || location.host,
      scopes: attribute("scopes"),
      reason: attribute("reason"),
      url: attribute("url"),
      bridge: this.hasAttribute("bridge"),
      storage: this.storage,
    };
  }

  /** Show at once that a page that was given access before still has it. */
  async #resume() {
    try {
      const { url, storage, bridge } = this.#options;
      const client = bridge ? null : await resumeUpstash({ url, storage });
      if (!client || this.#run || !this.isConnected) return;
      const connection = client.scopes.includes("connection:read") ? await client.connection() : null;
      if (this.#run || (connection && connection.state !== "connected")) return;
      this.#connected(client, connection?.account?.email ?? null);
    } catch {
      // Perhaps the helper is not running. The user finds out when connecting.
    }
  }

  /**
   * @param {UpstashClient} client
   * @param {string | null} email
   */
  #connected(client, email) {
    this.#client = client;
    onSignedOut(client, () => this.#signedOut(client));
    this.#show({ step: "connected", email });
    this.#dispatch("upstash-connected", { client, email });
  }

  /** @param {UpstashClient} client */
  #signedOut(client) {
    if (this.#client !== client) return;
    this.#client = null;
    this.#show({ step: "idle" });
    this.#dispatch("upstash-signed-out", {});
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof Aborted) {
      this.#show({ step: "idle" });
      return;
    }
    this.#error =
      error instanceof UpstashHelperError
        ? error
        : new UpstashHelperError("unexpected", "Something went wrong.", "Reload this page, and try again.", {
            cause: error,
          });
    this.#show({ step: error instanceof HelperNotRunning ? "missing" : "error" });
    this.#dispatch("upstash-error", { error: this.#error });
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** @param {ButtonState} state */
  #show(state) {
    this.#state = state;
    this.setAttribute("state", state.step);
    const hadFocus = this.shadowRoot?.activeElement != null;
    this.#stage.replaceChildren(this.#draw(state));
    this.#announcer.textContent = this.#announcement(state);
    if (hadFocus) /** @type {HTMLElement | null} */ (this.#stage.querySelector("[data-first]"))?.focus();
  }

  /** @param {ButtonState} state @returns {HTMLElement} */
  #draw(state) {
    switch (state.step) {
      case "idle":
        return h(
          "button",
          { type: "button", class: "primary", "data-first": "", click: () => this.connect() },
          icon("mark"),
          this.getAttribute("label") ?? "Connect Upstash",
        );
      case "connected":
        return h(
          "div",
          { class: "chip" },
          icon("done", "good"),
          h("span", { class: "who" }, state.email ? `Connected as ${state.email}` : "Connected"),
          h(
            "button",
            { type: "button", class: "link", "data-first": "", click: () => this.signOut().catch(() => {}) },
            "Sign out",
          ),
        );
      case "missing":
      case "error":
        return this.#drawError();
      default:
        return this.#drawWaiting(state);
    }
  }

  /** @param {Exclude<ButtonState, { step: "idle" | "connected" | "missing" | "error" }>} state */
  #drawWaiting(state) {
    const [title, text] = WAITING[state.step];
    const { step } = state;
    return card(
      h("span", { class: "spin", "aria-hidden": "true" }),
      title,
      text,
      step === "approval" ? h("p", { class: "code" }, state.userCode) : null,
      h(
        "div",
        { class: "actions" },
        step === "sign-in-link" || step === "window-closed"
          ? h(
              "a",
              { class: "button primary", href: state.url, target: "_blank", rel: "noopener noreferrer" },
              step === "sign-in-link" ? "Sign in to Upstash" : "Open it again",
            )
          : null,
        h("button", { type: "button", class: "plain", click: () => this.cancel() }, "Cancel"),
      ),
    );
  }

  #drawError() {
    const error = this.#error;
    const isMissing = error instanceof HelperNotRunning;
    const helpUrl = this.getAttribute("help-url") ?? HELP_URL;
    const retry = h("button", { type: "button", class: "primary", click: () => this.connect() }, "Try again");
    if (!isMissing) {
      const dismiss = h("button", { type: "button", class: "plain", click: () => this.cancel() }, "Dismiss");
      const actions = h("div", { class: "actions" }, retry, dismiss);
      return card(icon("error", "bad"), error?.message ?? "", error?.help ?? "", actions);
    }
    const [title, text] = error.next
      ? ["upstash-helper is not responding", error.help]
      : [
          "upstash-helper is not running",
          "It keeps your Upstash credential on this computer, so that pages never see it. If it is installed, start it in a terminal:",
        ];
    const help = helpUrl
      ? h("a", { class: "button plain", href: helpUrl, target: "_blank", rel: "noopener" }, "Get upstash-helper")
      : null;
    return card(
      icon("error", "bad"),
      title,
      text,
      h("code", { class: "command" }, "upstash-helper start"),
      h("div", { class: "actions" }, retry, help),
    );
  }

  /** What a screen reader says. @param {ButtonState} state */
  #announcement(state) {
    switch (state.step) {
      case "idle":
        return "";
      case "connected":
        return state.email ? `Connected as ${state.email}` : "Connected";
      case "missing":
        return "upstash-helper is not running.";
      case "error":
        return `${this.#error?.message} ${this.#error?.help}`;
      case "approval":
        return `${WAITING.approval.join(". ")} ${state.userCode}`;
      default:
        return WAITING[state.step].join(". ");
    }
  }
}

/**
 * @param {Element} sign
 * @param {string} title
 * @param {string} text
 * @param {...(Node | null)} more
 */
function card(sign, title, text, ...more) {
  return h(
    "div",
    { class: "card", role: "group", "aria-label": title, tabindex: "-1", "data-first": "" },
    h(
      "div",
      { class: "head" },
      sign,
      h("div", {}, h("p", { class: "title" }, title), text ? h("p", { class: "text" }, text) : null),
    ),
    ...more,
  );
}

if (globalThis.customElements && !customElements.get("upstash-connect")) {
  customElements.define("upstash-connect", UpstashConnectElement);
}
