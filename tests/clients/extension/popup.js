import { resumeUpstash, UpstashHelperError } from "./connect.js";
import { storage } from "./storage.js";

/** @import { Database, UpstashClient } from "./connect.js" */
/** @import { Shown } from "./background.js" */

/** @type {Record<string, string>} */
const TEXTS = {
  idle: "Connect your account to see its databases.",
  checking: "Looking for upstash-helper…",
  approval: "Approve this extension in upstash-helper, which shows the same code:",
  "sign-in": "Sign in to Upstash in the tab that has opened.",
  connecting: "Connecting your account…",
};
/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {HTMLFormElement} */ (find("create"));
const databaseName = /** @type {HTMLInputElement} */ (form.elements.namedItem("name"));
/** @type {UpstashClient | null} */
let upstash = null;

find("connect").addEventListener("click", () => chrome.runtime.sendMessage("connect"));
find("cancel").addEventListener("click", () => chrome.runtime.sendMessage("cancel"));
find("sign-out").addEventListener("click", () =>
  attempt(async () => {
    await upstash?.signOut();
    await chrome.storage.session.remove("progress");
  }),
);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(async () => {
    await upstash?.databases.create({ name: databaseName.value, primary_region: "us-east-1" });
    form.reset();
    await list();
  });
});

chrome.storage.session.onChanged.addListener(() => attempt(draw));
void attempt(draw);

// Show the account if it is connected; otherwise how far the worker has come.
async function draw() {
  /** @type {{ progress?: Shown }} */
  const { progress = { step: "idle" } } = await chrome.storage.session.get("progress");
  const isBusy = !["idle", "connected", "error"].includes(progress.step);
  upstash = isBusy ? null : await resumeUpstash({ storage });
  find("text").textContent = upstash ? "" : (progress.text ?? TEXTS[progress.step] ?? "");
  find("code").textContent = progress.userCode ?? "";
  find("code").hidden = !progress.userCode;
  find("connect").hidden = Boolean(upstash) || isBusy;
  find("cancel").hidden = !isBusy;
  for (const id of ["sign-out", "create", "databases"]) find(id).hidden = !upstash;
  if (upstash) await list();
  else find("env").hidden = true;
}

async function list() {
  const databases = (await upstash?.databases.list()) ?? [];
  find("databases").replaceChildren(...databases.map(row));
  find("text").textContent = databases.length ? "" : "No databases yet.";
}

/** @param {Database} database */
function row({ id, name, primary_region: region }) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.textContent = "Credentials";
  button.setAttribute("aria-label", `Credentials of ${name}`);
  button.addEventListener("click", () => attempt(() => show(id)));
  const text = document.createElement("span");
  text.textContent = `${name} · ${region}`;
  item.append(text, button);
  return item;
}

/** @param {string} id */
async function show(id) {
  const env = (await upstash?.databases.env(id)) ?? {};
  find("env").textContent = Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
  find("env").hidden = false;
}

/** @param {() => Promise<void>} work */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof UpstashHelperError)) throw error;
    find("text").textContent = `${error.message} ${error.help}`;
  }
}
