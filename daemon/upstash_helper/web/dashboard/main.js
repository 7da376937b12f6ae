/** The dashboard: the session, the sections, and the event stream that keeps them up to date. */

import { activity } from "./activity.js";
import {
  ApiError,
  exchangeTicket,
  forgetCopiedSession,
  forgetSession,
  messageOf,
  session,
  whenNotRecorded,
  whenSessionEnds,
} from "./api.js";
import { Approvals } from "./approvals.js";
import { apps } from "./apps.js";
import { databases } from "./databases.js";
import { fill, find, h } from "./dom.js";
import { overview } from "./overview.js";
import { Questions } from "./questions.js";
import { ReplacementQuestion } from "./replacement.js";
import { settings } from "./settings.js";
import { SharedStream } from "./shared_stream.js";
import { banner, frame, markCurrent, modeBanner, opening, welcome } from "./shell.js";
import { askToSignIn, useKey } from "./sign_in.js";
import { Store } from "./store.js";
import { notice } from "./ui.js";

/** @import { Attempt, Connection } from "./openapi.js" */
/** @import { StreamEvent } from "./stream.js" */

const VIEWS = [overview, databases, apps, activity, settings];
/**
 * Dialogs that the tray menu and the result page of a sign-in open, by fragment. Each of them waits for a click.
 *
 * @type {Record<string, (store: Store) => void>}
 */
const DIALOGS = { "#key": useKey, "#connect": askToSignIn };
const RESTARTED = "The helper was restarted, or this page was not used for a long time. Open the dashboard again.";
const ENDED = "You ended this session. Close this tab, or open the dashboard again.";

/** Why an app lost its access, if not by the user's hand. */
const REVOKED = {
  app: "it signed out",
  expired: "it expired",
  misused: "its token was used by another app",
};

const root = find("#app");

class Dashboard {
  #store = new Store();
  #parts = frame(root, VIEWS);
  #approvals = new Approvals(this.#parts.approvals, this.#store);
  #questions = new Questions(this.#parts.approvals, this.#store);
  #question = new ReplacementQuestion(this.#parts.approvals, this.#store);
  #stream = new SharedStream({
    event: (event) => this.#handle(event),
    changed: (kind) => this.#changed(kind),
    reload: () => this.#reload(),
    up: () => banner(this.#parts.banner, false, () => {}),
    down: () => banner(this.#parts.banner, true, () => this.#stream.reconnect()),
  });
  /** Aborts when another section is shown. */
  #shown = new AbortController();
  #stopped = new AbortController();
  #title = "";
  #isSandbox = false;

  start() {
    const { signal } = this.#stopped;
    window.addEventListener("hashchange", () => this.#route(true), { signal });
    this.#route(false);
    this.#store.watch(["pairings", "confirmations"], () => this.#showCount(), signal);
    this.#store.watch(["daemon"], () => this.#showUpstream(), signal);
    const showMode = () => modeBanner(this.#parts.mode, this.#store.get("daemon").data?.auto_approve === true);
    this.#store.watch(["daemon"], showMode, signal);
    this.#stream.start();
  }

  stop() {
    this.#stopped.abort();
    this.#shown.abort();
    this.#stream.stop();
    this.#approvals.stop();
    this.#questions.stop();
    this.#question.stop();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  /** Load everything that is shown. */
  #reload() {
    const loaded = this.#store.load("pairings", "confirmations", "connection", "apps", "blocks", "daemon");
    void loaded.then(() => this.#loadDatabases());
  }

  #loadDatabases() {
    if (this.#store.get("connection").data?.state === "connected") void this.#store.load("databases");
    else this.#store.set("databases", null);
  }

  /** @param {StreamEvent} event */
  #handle({ kind, data }) {
    switch (kind) {
      case "reset":
        this.#reload();
        break;
      case "connection":
        this.#setConnection(data);
        break;
      case "attempt":
        this.#setAttempt(data);
        break;
      case "database":
        this.#loadDatabases();
        break;
      case "pairing":
        this.#approvals.handle(data);
        break;
      case "confirmation":
        this.#questions.handle(data);
        break;
      case "revoked":
        void this.#store.load("apps");
        if (data.reason !== "owner") notice(`${data.name} no longer has access: ${REVOKED[data.reason]}.`, "info");
        break;
      default:
      // Of a later version of the helper.
    }
  }

  /** Load what has changed: another tab has the event stream, and sends only the kind of the event. @param {string} kind */
  #changed(kind) {
    switch (kind) {
      case "connection":
      case "attempt":
        void this.#store.load("connection").then(() => this.#loadDatabases());
        break;
      case "database":
        this.#loadDatabases();
        break;
      case "pairing":
        void this.#store.load("pairings", "apps", "blocks");
        break;
      case "confirmation":
        void this.#store.load("confirmations");
        break;
      case "revoked":
        void this.#store.load("apps");
        break;
      default:
      // Of a later version of the helper.
    }
  }

  /** @param {Attempt} attempt */
  #setAttempt(attempt) {
    const { data: connection } = this.#store.get("connection");
    if (connection) this.#store.set("connection", { ...connection, attempt });
    else void this.#store.load("connection");
  }

  /** @param {Connection} connection */
  #setConnection(connection) {
    const before = this.#store.get("connection").data;
    const credentialStore = connection.credential_store ?? before?.credential_store ?? null;
    this.#store.set("connection", { ...connection, credential_store: credentialStore });
    const isSame = before?.state === connection.state && before?.account?.email === connection.account?.email;
    if (!isSame) this.#loadDatabases();
  }

  /** @param {boolean} moved Whether the user went from one section to another. */
  #route(moved) {
    const ask = DIALOGS[location.hash];
    if (ask) {
      // The dialog is no section: closing it, or going back, shows the overview.
      history.replaceState(null, "", `#${overview.id}`);
      setTimeout(() => ask(this.#store));
    }
    const view = VIEWS.find((it) => location.hash === `#${it.id}`) ?? VIEWS[0];
    this.#shown.abort();
    this.#shown = new AbortController();
    markCurrent(this.#parts.links, view.id);
    this.#title = `${view.title} · upstash-helper`;
    this.#showTitle();
    fill(this.#parts.section);
    view.show(this.#parts.section, { store: this.#store, signal: this.#shown.signal });
    if (!moved) return;
    scrollTo(0, 0);
    this.#parts.section.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** The number of requests and questions that wait for the user. */
  get #pending() {
    return this.#approvals.pending.length + this.#questions.pending.length;
  }

  /** Show the number of pending requests in the navigation and in the title. */
  #showCount() {
    const count = this.#pending;
    const place = find(`[data-view="${overview.id}"] .count`, root);
    const spoken = h("span", { class: "unseen" }, count === 1 ? " request" : " requests");
    place.hidden = count === 0;
    fill(place, String(count), count > 0 && spoken);
    this.#showTitle();
  }

  /** Show whether this is a sandbox, where nothing is real. */
  #showUpstream() {
    const { data: daemon } = this.#store.get("daemon");
    if (daemon === null) return; // it may come back
    this.#isSandbox = daemon.upstream === "sandbox";
    this.#parts.sandbox.hidden = !this.#isSandbox;
    this.#showTitle();
  }

  /** The number is in the tab's title, too. In a hidden tab, it is the one from when the tab was shown last. */
  #showTitle() {
    const count = this.#pending;
    document.title = `${count ? `(${count}) ` : ""}${this.#title}${this.#isSandbox ? " · Sandbox" : ""}`;
  }
}

/** @type {Dashboard | null} */
let dashboard = null;

function close() {
  dashboard?.stop();
  dashboard = null;
}

/**
 * @param {string | null} reason
 * @param {string} [title]
 */
function leave(reason, title = "This session is over") {
  close();
  welcome(root, reason, title);
}

async function open() {
  opening(root);
  try {
    await exchangeTicket();
  } catch (error) {
    forgetSession();
    leave(messageOf(error), error instanceof ApiError ? "The dashboard cannot be opened" : "Something went wrong");
    return;
  }
  close();
  if (!session()) {
    leave(null);
    return;
  }
  dashboard = new Dashboard();
  dashboard.start();
}

whenSessionEnds(() => leave(RESTARTED));
whenNotRecorded((text) => notice(text, "info"));
window.addEventListener("dashboard-ended", () => leave(ENDED));
// `upstash-helper open` may be given a tab that is already open: then only the fragment changes.
window.addEventListener("hashchange", () => {
  if (location.hash.includes("ticket=")) void open();
});
forgetCopiedSession();
void open();
