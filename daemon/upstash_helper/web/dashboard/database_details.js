/** The details of a database: what it is, how to connect to it, and its settings. */

import { call, messageOf } from "./api.js";
import { Credentials } from "./credentials.js";
import { confirm, open } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { capitalized, exact, PLANS } from "./format.js";
import { field, form, input } from "./forms.js";
import { map } from "./map.js";
import { badge, button, empty, facts, notice, toggle } from "./ui.js";

/** @import { Database } from "./openapi.js" */
/** @import { Store } from "./store.js" */

export const DATABASE_NAME = {
  required: true,
  maxlength: 64,
  pattern: "[\\w .:@+\\-]+",
  title: "Letters, digits, spaces and . : @ + - _",
  autocomplete: "off",
};

/**
 * Open the panel of a database.
 *
 * @param {Store} store
 * @param {string} id
 */
export function showDetails(store, id) {
  const watching = new AbortController();
  const path = `/v1/databases/${encodeURIComponent(id)}`;
  const current = () => store.get("databases").data?.find((it) => it.id === id);
  const credentials = new Credentials(path);
  const summary = h("div", {});
  const regions = map();
  const settings = h("div", { class: "stack" });
  const dialog = open({
    title: current()?.name ?? "Database",
    shape: "drawer",
    body: [
      summary,
      h("section", {}, h("h3", {}, "Connect to it"), credentials.element),
      h("section", {}, h("h3", {}, "Location"), h("div", { class: "map-frame" }, regions.element)),
      h("section", {}, h("h3", {}, "Settings"), settings),
    ],
    closed: () => watching.abort(),
  });

  const draw = () => {
    const it = current();
    if (!it) {
      if (store.get("databases").data === null) return;
      fill(dialog.body, empty("trash", "This database was deleted", "It no longer exists in your Upstash account."));
      return;
    }
    fill(dialog.title, it.name);
    dialog.title.title = it.name;
    credentials.about(it);
    fill(summary, about(it, store));
    const shown = [it.primary_region, ...it.read_regions];
    regions.show(
      (store.get("regions").data ?? []).filter((region) => shown.includes(region.id)),
      it.primary_region,
      it.read_regions,
    );
    // A control that is being used stays.
    if (!settings.contains(document.activeElement)) {
      fill(settings, ...controls(it, path, store, credentials, dialog.close));
    }
  };
  store.watch(["databases", "regions"], draw, watching.signal);
}

/**
 * @param {Database} it
 * @param {Store} store
 */
function about(it, store) {
  const names = new Map((store.get("regions").data ?? []).map((region) => [region.id, region.name]));
  /** @param {string} id */
  const name = (id) => names.get(id) ?? id;
  return facts([
    ["State", badge(capitalized(it.state), it.state === "active" ? "ok" : "warn")],
    ["Primary region", name(it.primary_region)],
    ["Read regions", it.read_regions.length ? it.read_regions.map(name).join(", ") : null],
    ["Plan", PLANS[it.plan] ?? it.plan],
    ["Endpoint", h("code", { class: "wrap" }, `${it.host}:${it.port}`)],
    ["TLS", it.tls ? "On" : "Off"],
    ["Budget", it.budget ? `$${it.budget} a month` : null],
    ["Created", exact(it.created_at)],
  ]);
}

export const EVICTION_HINT = "When the database is full, the least recently used entries are removed.";

/**
 * @param {Database} it
 * @param {string} path
 * @param {Store} store
 * @param {Credentials} credentials
 * @param {() => void} close
 */
function controls(it, path, store, credentials, close) {
  const onchange = async () => {
    const { input: box } = eviction;
    try {
      await call("PATCH", path, { eviction: box.checked });
      notice(box.checked ? "Eviction is on." : "Eviction is off.");
    } catch (error) {
      box.checked = !box.checked;
      notice(messageOf(error), "bad");
    }
    await store.load("databases");
  };
  const eviction = toggle("Eviction", EVICTION_HINT, { checked: it.eviction, onchange });
  return [
    eviction.element,
    h(
      "div",
      { class: "row" },
      button("Rename", { icon: "edit", action: "rename", onclick: () => rename(it, path, store) }),
      button("Reset password", { icon: "refresh", action: "reset", onclick: () => reset(it, path, credentials) }),
      button("Delete…", {
        kind: "danger-plain",
        icon: "trash",
        action: "delete",
        onclick: () => remove(it, path, store, close),
      }),
    ),
  ];
}

/**
 * @param {Database} it
 * @param {string} path
 * @param {Store} store
 */
function rename(it, path, store) {
  const name = input({ ...DATABASE_NAME, value: it.name, autofocus: true });
  const submit = button("Rename", { kind: "primary", type: "submit", action: "submit" });
  const dialog = open({
    title: "Rename the database",
    body: [
      form({
        fields: [field("name", "Name", name)],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          await call("PATCH", path, { name: name.value.trim() });
          await store.load("databases");
          dialog.close();
          notice("The database was renamed.");
        },
      }),
    ],
  });
  name.select();
}

/**
 * @param {Database} it
 * @param {string} path
 * @param {Credentials} credentials
 */
async function reset(it, path, credentials) {
  const isDone = await confirm({
    title: "Reset the password?",
    text: [
      h(
        "p",
        {},
        h("strong", { class: "wrap" }, it.name),
        " gets a new password and new tokens. Everything that uses the old ones stops working immediately.",
      ),
    ],
    label: "Reset password",
    action: () => call("POST", `${path}/reset-password`),
  });
  if (!isDone) return;
  await credentials.refresh();
  notice("The password and the tokens were reset.");
}

/**
 * @param {Database} it
 * @param {string} path
 * @param {Store} store
 * @param {() => void} close
 */
async function remove(it, path, store, close) {
  const isDone = await confirm({
    title: "Delete the database?",
    text: [h("p", {}, "Everything in it is deleted. This cannot be undone.")],
    label: "Delete database",
    typed: it.name,
    action: () => call("DELETE", path),
  });
  if (!isDone) return;
  close();
  await store.load("databases");
  notice(`${it.name} was deleted.`);
}
