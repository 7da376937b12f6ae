/** The dashboard: a session by the ticket in the address, the sections, and what happens, live. */

import { forget, handIn, Problem, session, whenOver } from "./api.js";
import { Approvals } from "./approvals.js";
import { apps } from "./apps.js";
import { audit } from "./audit.js";
import { databases } from "./databases.js";
import { fill } from "./dom.js";
import { overview } from "./overview.js";
import { settings } from "./settings.js";
import { banner, current, frame, opening, welcome } from "./shell.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { notice } from "./ui.js";

const VIEWS = [overview, databases, apps, audit, settings];
const RESTARTED = "The helper was restarted, or this page was not used for long. Open the dashboard anew.";

const root = document.getElementById("app");

class Dashboard {
  store = new Store();
  #shown = new AbortController();
  #parts = frame(root, VIEWS);
  #title = "";

  constructor() {
    this.approvals = new Approvals(this.#parts.approvals, this.store);
    this.stream = new Stream({
      event: (kind, data) => this.#event(kind, data),
      up: (missed) => this.#up(missed),
      down: () => banner(this.#parts.banner, true, () => this.stream.hurry()),
    });
    this.routed = () => this.#route(true);
  }

  start() {
    window.addEventListener("hashchange", this.routed);
    this.#route(false);
    this.store.watch(["pairings"], () => this.#count("overview", this.approvals.waiting.length), new AbortController().signal);
    this.reload();
    this.stream.start();
  }

  stop() {
    window.removeEventListener("hashchange", this.routed);
    this.#shown.abort();
    this.stream.stop();
    this.approvals.stop();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  /** Read all that is shown. */
  reload() {
    void this.store.load("pairings", "connection", "apps", "blocks", "daemon").then(() => this.#databases());
  }

  #databases() {
    const connection = this.store.get("connection").data;
    if (connection?.state === "connected") void this.store.load("databases");
    else this.store.set("databases", null);
  }

  #up(missed) {
    banner(this.#parts.banner, false, () => {});
    if (missed) this.reload();
  }

  #event(kind, data) {
    const { store } = this;
    if (kind === "reset") this.reload();
    else if (kind === "connection") this.#connection(data);
    else if (kind === "attempt") this.#attempt(data);
    else if (kind === "database") this.#databases();
    else if (kind === "pairing") this.approvals.event(data);
    else if (kind === "revoked") {
      void store.load("apps");
      if (data.reason !== "owner") notice(`${data.name} is no longer let in (${data.reason}).`, "info");
    }
  }

  #attempt(data) {
    const { data: connection } = this.store.get("connection");
    if (connection) this.store.set("connection", { ...connection, attempt: data });
    else void this.store.load("connection");
  }

  #connection(data) {
    const before = this.store.get("connection").data;
    this.store.set("connection", { ...data, credential_store: data.credential_store ?? before?.credential_store });
    if (before?.state !== data.state || before?.account?.email !== data.account?.email) this.#databases();
  }

  #route(moved) {
    const view = VIEWS.find((it) => location.hash === `#${it.id}`) ?? VIEWS[0];
    this.#shown.abort();
    this.#shown = new AbortController();
    current(this.#parts.links, view.id);
    this.#title = `${view.title} · upstash-helper`;
    this.#entitle();
    fill(this.#parts.section);
    view.show(this.#parts.section, { store: this.store, signal: this.#shown.signal });
    if (!moved) return;
    scrollTo(0, 0);
    this.#parts.section.querySelector("h1")?.focus({ preventScroll: true });
  }

  #count(id, count) {
    const place = this.#parts.links.find((link) => link.dataset.view === id).querySelector(".count");
    place.hidden = count === 0;
    fill(place, String(count), count === 0 ? "" : spoken(count));
    this.#entitle();
  }

  /** Say in the tab's title how many wait, for whoever looks at another tab. */
  #entitle() {
    const count = this.approvals.waiting.length;
    document.title = `${count ? `(${count}) ` : ""}${this.#title}`;
  }
}

function spoken(count) {
  const said = document.createElement("span");
  said.className = "unseen";
  said.textContent = count === 1 ? " app waits" : " apps wait";
  return said;
}

/** @type {Dashboard | null} */
let dashboard = null;

/** @param {string | null} reason @param {string} [title] */
function leave(reason, title = "This session is over") {
  dashboard?.stop();
  dashboard = null;
  welcome(root, reason, title);
}

async function open() {
  opening(root);
  try {
    await handIn();
  } catch (error) {
    forget();
    leave(error instanceof Problem ? error.message : String(error), "The dashboard cannot be opened");
    return;
  }
  dashboard?.stop();
  dashboard = null;
  if (!session()) {
    leave(null);
    return;
  }
  dashboard = new Dashboard();
  dashboard.start();
}

whenOver(() => leave(RESTARTED));
window.addEventListener("dashboard-ended", () => leave("You have ended it. Close this tab, or open the dashboard anew."));
// `upstash-helper open` may be given the tab that is open already: then only the fragment changes.
window.addEventListener("hashchange", () => location.hash.includes("ticket=") && void open());
void open();
