/** Making a database. */

import { call } from "./api.js";
import { details } from "./details.js";
import { open } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { field, form, input, select } from "./forms.js";
import { PLANS, PLATFORMS } from "./format.js";
import { map } from "./map.js";
import { button, notice, skeleton, slotted, toggle } from "./ui.js";

/** Open the form. @param {import("./store.js").Store} store */
export function create(store) {
  const watching = new AbortController();
  const place = h("div", {});
  const dialog = open({ title: "New database", shape: "wide", body: [place], closed: () => watching.abort() });
  let drawn = false;
  if (store.get("regions").data === null) void store.load("regions");
  store.watch(["regions"], () => {
    if (drawn) return;
    slotted(place, store.get("regions"), () => store.load("regions"), (regions) => {
      drawn = true;
      fill(place, makeForm(store, regions, dialog.close));
      place.querySelector("input")?.focus();
    }, () => skeleton(5));
  }, watching.signal);
}

function makeForm(store, regions, close) {
  const once = new Once();
  const name = input({ required: true, maxlength: 64, autocomplete: "off", pattern: "[\\w .:@+\\-]+", title: "Letters, digits, spaces and . : @ + - _", placeholder: "orders" });
  const primary = select(groups(regions.filter((it) => it.primary)), { onchange: () => draw() });
  const plan = select([h("option", { value: "" }, "As Upstash chooses"), ...Object.entries(PLANS).map(([value, label]) => h("option", { value }, label))]);
  const eviction = toggle("Eviction", "When it is full, the entries used least make room.", { name: "eviction" });
  const tls = toggle("TLS", "Connections are encrypted. It cannot be turned off later.", { name: "tls", checked: true });
  const reads = h("div", { class: "choices columns" });
  const world = map((id) => {
    if (!regions.find((it) => it.id === id)?.primary) return;
    primary.value = id;
    draw();
  });
  const chosen = () => [...reads.querySelectorAll("input:checked")].map((box) => box.value);
  const readable = h("details", { class: "more" }, h("summary", {}, "Read regions"), h("p", { class: "hint" }, "Copies that are read from nearby. They may cost extra."), h("div", { role: "group", "aria-label": "Read regions" }, reads));

  function draw() {
    const at = regions.find((it) => it.id === primary.value);
    const kept = new Set(chosen());
    const near = regions.filter((it) => it.platform === at.platform);
    fill(reads, near.filter((it) => it.read && it.id !== at.id).map((it) => h("label", { class: "choice" }, h("input", { type: "checkbox", value: it.id, checked: kept.has(it.id), onchange: () => paint() }), h("span", {}, it.name))));
    readable.hidden = reads.childElementCount === 0;
    paint();
  }
  function paint() {
    const at = regions.find((it) => it.id === primary.value);
    world.show(regions.filter((it) => it.platform === at.platform), primary.value, chosen());
  }
  draw();

  const submit = button("Create database", { kind: "primary", type: "submit", action: "submit" });
  return form({
    fields: [
      field("name", "Name", name),
      field("primary_region", "Primary region", primary, "Where it is written to. Choose one near your app."),
      h("div", { class: "map-frame" }, world.element),
      readable,
      field("plan", "Plan", plan),
      h("div", { class: "toggles" }, eviction, tls),
    ],
    foot: [button("Cancel", { onclick: close }), submit],
    submit,
    send: async (element) => {
      const at = regions.find((it) => it.id === primary.value);
      const body = {
        name: name.value.trim(),
        primary_region: at.id,
        platform: at.platform,
        read_regions: chosen(),
        eviction: element.elements.eviction.checked,
        tls: element.elements.tls.checked,
        ...(plan.value ? { plan: plan.value } : {}),
      };
      const made = await call("POST", "/v1/databases", body, { "Idempotency-Key": once.key(body) });
      close();
      await store.load("databases");
      notice(`${made.name} is ready.`);
      details(store, made.id);
    },
  });
}

/** One idempotency key for one wish: sent again after a failure it makes no second database; changed, it is another. */
class Once {
  #wish = "";
  #key = "";

  key(body) {
    const wish = JSON.stringify(body);
    if (wish !== this.#wish) this.#key = crypto.randomUUID();
    this.#wish = wish;
    return this.#key;
  }
}

function groups(regions) {
  return Object.entries(PLATFORMS).map(([platform, label]) =>
    h("optgroup", { label }, ...regions.filter((it) => it.platform === platform).map((it) => h("option", { value: it.id }, `${it.name} (${it.id})`))),
  );
}
