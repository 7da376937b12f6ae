/** One database: what it is, how to get in, and what can be done with it. */

import { call } from "./api.js";
import { Credentials } from "./credentials.js";
import { confirm, open } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { exact, PLANS } from "./format.js";
import { field, form, input } from "./forms.js";
import { map } from "./map.js";
import { badge, button, empty, facts, notice, toggle } from "./ui.js";

/** Open the panel of a database. @param {import("./store.js").Store} store @param {string} id */
export function details(store, id) {
  const watching = new AbortController();
  const at = `/v1/databases/${encodeURIComponent(id)}`;
  const find = () => store.get("databases").data?.find((it) => it.id === id);
  const first = find();
  const credentials = new Credentials(at);
  const top = h("div", {});
  const world = map();
  const actions = h("div", { class: "stack" });
  const dialog = open({
    title: first?.name ?? "Database",
    shape: "drawer",
    body: [
      top,
      h("section", {}, h("h3", {}, "Connect to it"), credentials.element),
      h("section", {}, h("h3", {}, "Where it is"), h("div", { class: "map-frame" }, world.element)),
      h("section", {}, h("h3", {}, "Settings"), actions),
    ],
    closed: () => watching.abort(),
  });

  const draw = () => {
    const it = find();
    if (!it) {
      if (store.get("databases").data === null) return;
      fill(dialog.element.querySelector(".dialog-body"), empty("trash", "This database is gone", "It was deleted, here or elsewhere."));
      return;
    }
    fill(dialog.title, it.name);
    dialog.title.title = it.name;
    credentials.about(it);
    fill(top, about(it, store));
    world.show((store.get("regions").data ?? []).filter(({ id: region }) => region === it.primary_region || it.read_regions.includes(region)), it.primary_region, it.read_regions);
    if (!actions.contains(document.activeElement)) fill(actions, ...settings(it, at, store, credentials, dialog.close));
  };
  store.watch(["databases", "regions"], draw, watching.signal);
}

function about(it, store) {
  const names = new Map((store.get("regions").data ?? []).map((region) => [region.id, region.name]));
  const name = (id) => names.get(id) ?? id;
  return facts([
    ["State", badge(it.state.replace(/^./, (letter) => letter.toUpperCase()), it.state === "active" ? "ok" : "warn")],
    ["Primary region", name(it.primary_region)],
    ["Read regions", it.read_regions.length ? it.read_regions.map(name).join(", ") : null],
    ["Plan", PLANS[it.plan] ?? it.plan],
    ["Endpoint", h("code", { class: "wrap" }, `${it.host}:${it.port}`)],
    ["TLS", it.tls ? "On" : "Off"],
    ["Budget", !it.budget ? null : `$${it.budget} a month`],
    ["Created", exact(it.created_at)],
  ]);
}

function settings(it, at, store, credentials, close) {
  const evict = toggle("Eviction", "When it is full, the entries used least make room.", {
    checked: it.eviction,
    onchange: async (event) => {
      const box = event.target;
      try {
        await call("PATCH", at, { eviction: box.checked });
        notice(box.checked ? "Eviction is on." : "Eviction is off.");
      } catch (error) {
        box.checked = !box.checked;
        notice(error.message, "bad");
      }
      await store.load("databases");
    },
  });
  return [
    evict,
    h(
      "div",
      { class: "row" },
      button("Rename", { icon: "edit", action: "rename", onclick: () => rename(it, at, store) }),
      button("Reset password", { icon: "refresh", action: "reset", onclick: () => reset(it, at, credentials) }),
      button("Delete…", { kind: "danger-plain", icon: "trash", action: "delete", onclick: () => remove(it, at, store, close) }),
    ),
  ];
}

function rename(it, at, store) {
  const name = input({ required: true, maxlength: 64, value: it.name, pattern: "[\\w .:@+\\-]+", title: "Letters, digits, spaces and . : @ + - _", autofocus: true, autocomplete: "off" });
  const submit = button("Rename", { kind: "primary", type: "submit", action: "submit" });
  const dialog = open({
    title: "Rename the database",
    body: [
      form({
        fields: [field("name", "Name", name)],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          await call("PATCH", at, { name: name.value.trim() });
          await store.load("databases");
          dialog.close();
          notice("The database is renamed.");
        },
      }),
    ],
  });
  name.select();
}

async function reset(it, at, credentials) {
  const done = await confirm({
    title: "Reset the password?",
    text: [h("p", {}, h("strong", { class: "wrap" }, it.name), " gets a new password and new tokens. Whatever uses the old ones stops working at once.")],
    label: "Reset password",
    action: async () => {
      await call("POST", `${at}/reset-password`);
    },
  });
  if (!done) return;
  await credentials.anew();
  notice("There are a new password and new tokens.");
}

async function remove(it, at, store, close) {
  const done = await confirm({
    title: "Delete the database?",
    text: [h("p", {}, "All that is in it is lost. This cannot be taken back.")],
    label: "Delete database",
    typed: it.name,
    action: async () => {
      await call("DELETE", at);
    },
  });
  if (!done) return;
  close();
  await store.load("databases");
  notice(`${it.name} is deleted.`);
}
