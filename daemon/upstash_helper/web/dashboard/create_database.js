/** The form for a new database. */

import { call } from "./api.js";
import { DATABASE_NAME, EVICTION_HINT, showDetails } from "./database_details.js";
import { open } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { PLANS, PLATFORMS } from "./format.js";
import { field, form, input, select } from "./forms.js";
import { map } from "./map.js";
import { button, notice, showSlot, skeleton, toggle } from "./ui.js";

/** @import { CreateDatabase, Database, Region } from "./openapi.js" */
/** @import { Store } from "./store.js" */

const TLS_HINT = "Encrypt connections. This cannot be turned off later.";
const CA_HINT = "Clients must then trust the sandbox's CA file.";

/** Open the form. @param {Store} store */
export function createDatabase(store) {
  const watching = new AbortController();
  const place = h("div", {});
  const dialog = open({ title: "New database", shape: "wide", body: [place], closed: () => watching.abort() });
  let isDrawn = false;
  /** @param {Region[]} regions */
  const draw = (regions) => {
    isDrawn = true;
    fill(place, makeForm(store, regions, dialog.close));
    place.querySelector("input")?.focus();
  };
  if (store.get("regions").data === null) void store.load("regions");
  store.watch(
    ["regions"],
    () => {
      const reload = () => store.load("regions");
      if (!isDrawn) showSlot(place, store.get("regions"), reload, draw, () => skeleton(5));
    },
    watching.signal,
  );
}

/**
 * @param {Store} store
 * @param {Region[]} regions
 * @param {() => void} close
 */
function makeForm(store, regions, close) {
  const idempotency = new IdempotencyKey();
  const name = input({ ...DATABASE_NAME, placeholder: "orders" });
  const location = regionFields(regions);
  const plan = select([
    h("option", { value: "" }, "Upstash's default"),
    ...Object.entries(PLANS).map(([value, label]) => h("option", { value }, label)),
  ]);
  const eviction = toggle("Eviction", EVICTION_HINT, { name: "eviction" });
  const hasTls = !isSandbox(store);
  const tls = toggle("TLS", hasTls ? TLS_HINT : `${TLS_HINT} ${CA_HINT}`, { name: "tls", checked: hasTls });
  const submit = button("Create database", { kind: "primary", type: "submit", action: "submit" });
  return form({
    fields: [
      field("name", "Name", name),
      ...location.fields,
      field("plan", "Plan", plan),
      h("div", { class: "toggles" }, eviction.element, tls.element),
    ],
    foot: [button("Cancel", { onclick: close }), submit],
    submit,
    send: async () => {
      /** @type {CreateDatabase} */
      const body = {
        name: name.value.trim(),
        ...location.chosen(),
        eviction: eviction.input.checked,
      };
      if (tls.input.checked || hasTls) body.tls = tls.input.checked;
      if (plan.value) body.plan = /** @type {NonNullable<CreateDatabase["plan"]>} */ (plan.value);
      const headers = { "Idempotency-Key": idempotency.keyFor(body) };
      /** @type {Database} */
      const database = await call("POST", "/v1/databases", body, headers);
      close();
      await store.load("databases");
      notice(`${database.name} is ready.`);
      showDetails(store, database.id);
    },
  });
}

/**
 * Return whether databases are created in a sandbox. There, TLS is off unless the user turns it on: Redis clients do not
 * trust the sandbox's certificate authority.
 *
 * @param {Store} store
 */
function isSandbox(store) {
  const daemon = store.get("daemon").data;
  return daemon !== null && !daemon.console_url;
}

/**
 * Return the fields for the primary region and the read regions, with a map on which the primary one can be chosen.
 *
 * @param {Region[]} regions
 */
function regionFields(regions) {
  const byId = new Map(regions.map((it) => [it.id, it]));
  const primaries = regions.filter((it) => it.primary);
  const primary = select(grouped(primaries), { onchange: () => draw() });
  const reads = h("div", { class: "choices columns" });
  const world = map((id) => {
    if (!byId.get(id)?.primary) return;
    primary.value = id;
    draw();
  });
  const readDetails = h(
    "details",
    { class: "more" },
    h("summary", {}, "Read regions"),
    h("p", { class: "hint" }, "Copies for reads from nearby. They may cost extra."),
    h("div", { role: "group", "aria-label": "Read regions" }, reads),
  );
  const selected = () => byId.get(primary.value) ?? primaries[0];
  const nearby = () => regions.filter((it) => it.platform === selected().platform);
  const chosenReads = () => {
    /** @type {NodeListOf<HTMLInputElement>} */
    const boxes = reads.querySelectorAll("input:checked");
    return [...boxes].map((box) => box.value);
  };
  const paint = () => world.show(nearby(), primary.value, chosenReads());

  function draw() {
    const checked = new Set(chosenReads());
    const offered = nearby().filter((it) => it.read && it.id !== primary.value);
    /** @param {Region} it */
    const choice = (it) => {
      const box = h("input", { type: "checkbox", value: it.id, checked: checked.has(it.id), onchange: paint });
      return h("label", { class: "choice" }, box, h("span", {}, it.name));
    };
    fill(reads, offered.map(choice));
    readDetails.hidden = offered.length === 0;
    paint();
  }
  draw();

  return {
    fields: [
      field("primary_region", "Primary region", primary, "Where writes go. Choose one near your app."),
      h("div", { class: "map-frame" }, world.element),
      readDetails,
    ],
    chosen: () => ({
      primary_region: selected().id,
      platform: selected().platform,
      read_regions: chosenReads(),
    }),
  };
}

/**
 * One idempotency key for each different request: repeated after a failure, a request creates no second database;
 * changed, it is another request.
 */
export class IdempotencyKey {
  #request = "";
  #key = "";

  /** @param {object} body */
  keyFor(body) {
    const request = JSON.stringify(body);
    if (request !== this.#request) this.#key = crypto.randomUUID();
    this.#request = request;
    return this.#key;
  }
}

/** @param {Region[]} regions */
function grouped(regions) {
  /** @param {Region} it */
  const option = (it) => h("option", { value: it.id }, `${it.name} (${it.id})`);
  return Object.entries(PLATFORMS).map(([platform, label]) =>
    h("optgroup", { label }, ...regions.filter((it) => it.platform === platform).map(option)),
  );
}
