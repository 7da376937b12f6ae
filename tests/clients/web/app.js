// The whole tool. <upstash-connect> requests access for the page and connects the account; the client that it provides
// does the rest.

/** @import { Database, UpstashClient } from "./connect.js" */

const connect = /** @type {HTMLElementTagNameMap["upstash-connect"]} */ (document.querySelector("upstash-connect"));
/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {HTMLFormElement} */ (find("create"));
const databaseName = /** @type {HTMLInputElement} */ (form.elements.namedItem("name"));
const region = /** @type {HTMLSelectElement} */ (form.elements.namedItem("region"));
const secrets = /** @type {HTMLDialogElement} */ (find("secrets"));
const template = /** @type {HTMLTemplateElement} */ (find("row"));
/** @type {UpstashClient} */
let upstash;
/** @type {AbortController | undefined} */
let following;

connect.addEventListener("upstash-connected", ({ detail }) => start(detail.client));
connect.addEventListener("upstash-signed-out", stop);

/** @param {UpstashClient} client */
async function start(client) {
  upstash = client;
  following = new AbortController();
  find("welcome").hidden = true;
  find("tool").hidden = false;
  // Databases that others create or delete appear here immediately.
  const { signal } = following;
  const refresh = () => attempt(list);
  upstash.events(({ type }) => type === "database" && refresh(), { signal }).catch(failed);
  await refresh();
  await attempt(offerRegions);
}

function stop() {
  following?.abort();
  find("welcome").hidden = false;
  find("tool").hidden = true;
  find("databases").replaceChildren();
}

async function list() {
  const databases = await upstash.databases.list();
  find("databases").replaceChildren(...databases.map(row));
  if (!databases.length) say("No databases yet. Create the first one.");
}

/** @param {Database} database */
function row(database) {
  const item = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const [name, about, button] = item.querySelectorAll("strong, .quiet, button");
  name.textContent = database.name;
  about.textContent = `${database.primary_region} · ${database.plan}`;
  button.setAttribute("aria-label", `Credentials of ${database.name}`);
  button.addEventListener("click", () => attempt(() => show(database)));
  return item;
}

/** @param {Database} database */
async function show(database) {
  const env = await upstash.databases.env(database.id);
  find("secrets-title").textContent = database.name;
  find("env").textContent = Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
  secrets.showModal();
}

async function offerRegions() {
  const regions = (await upstash.regions()).filter((it) => it.primary);
  region.replaceChildren(...regions.map((it) => new Option(`${it.name} (${it.id})`, it.id)));
}

find("new").addEventListener("click", () => {
  form.hidden = false;
  databaseName.focus();
});

find("not-now").addEventListener("click", () => {
  form.hidden = true;
  find("new").focus();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = databaseName.value;
  void attempt(async () => {
    say("Creating…");
    await upstash.databases.create({ name, primary_region: region.value });
    form.reset();
    form.hidden = true;
    await list();
    say(`Created ${name}.`);
  });
});

find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(find("env").textContent ?? "");
  find("copy").textContent = "Copied";
});
secrets.addEventListener("close", () => {
  find("env").textContent = "";
  find("copy").textContent = "Copy";
});

/** @param {() => Promise<void>} work */
async function attempt(work) {
  try {
    say("");
    await work();
  } catch (error) {
    failed(error);
  }
}

// Every error of connect.js has a message for a person, and most have a `help` that says what to do. One needs nothing
// here: after `token_revoked` the button is a button again, and sends `upstash-signed-out`.
/** @param {unknown} error */
function failed(error) {
  const { code, message, help } = /** @type {import("./connect.js").UpstashHelperError} */ (error);
  if (code !== "aborted") say([message, help].filter(Boolean).join(" "));
}

/** @param {string} text */
function say(text) {
  find("notice").textContent = text;
}
