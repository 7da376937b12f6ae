/** The apps that have access, and those that are blocked. */

import { call, messageOf } from "./api.js";
import { ClickGuard } from "./click_guard.js";
import { confirm, open } from "./dialogs.js";
import { fill, h, icon, keyed } from "./dom.js";
import { capitalized, exact, IDENTITIES, relative } from "./format.js";
import { field, form, input } from "./forms.js";
import { head } from "./shell.js";
import { badge, button, empty, inLines, notice, showSlot, skeletonList, time, untrusted } from "./ui.js";

/** @import { App, Blocked } from "./openapi.js" */
/** @import { View } from "./shell.js" */
/** @import { Store } from "./store.js" */

/** @type {View} */
export const apps = {
  id: "apps",
  title: "Apps",
  icon: "apps",

  show(root, { store, signal }) {
    const place = h("div", {});
    const list = h("div", { class: "cards" });
    const blocked = h("section", { class: "below", "aria-labelledby": "blocked-title", hidden: true });
    root.append(head("Apps", "Each app has its own token, which allows only what you granted."), place, blocked);
    // A request that arrives or goes moves them, and Unblock asks no second question.
    const guard = new ClickGuard(blocked);
    signal.addEventListener("abort", () => guard.stop());

    /** @param {App[]} all @param {HTMLElement | null} error */
    const draw = (all, error) => {
      if (all.length === 0) fill(place, error, noApps());
      else {
        if (list.parentElement !== place || error || place.childElementCount > 1) fill(place, error, list);
        keyed(
          list,
          all,
          (it) => it.id,
          (it) => card(it, store),
        );
      }
    };
    const load = () => store.load("apps");
    store.watch(["apps"], () => showSlot(place, store.get("apps"), load, draw, () => skeletonList(3)), signal);
    store.watch(
      ["blocks"],
      () => {
        const blocks = store.get("blocks").data ?? [];
        blocked.hidden = blocks.length === 0;
        if (blocks.length === 0) return;
        fill(
          blocked,
          h("h2", { id: "blocked-title" }, "Blocked"),
          h("p", { class: "lead" }, "These apps and sites cannot request access."),
          h("ul", { class: "list" }, ...blocks.map((it) => blockedRow(it, store))),
        );
      },
      signal,
    );
    void store.load("apps", "blocks"); // no event says when an app was last used
  },
};

function noApps() {
  const text =
    "When an app requests access, the request appears at the top of this page. It gets none until you allow it.";
  return empty("apps", "No apps connected yet", text);
}

/**
 * @param {App} it
 * @param {Store} store
 */
function card(it, store) {
  const kind = IDENTITIES[it.identity.kind];
  const mismatches = it.mismatches === 1 ? "once" : `${it.mismatches} times`;
  return h(
    "article",
    { class: "card app" },
    h(
      "div",
      { class: "app-head" },
      h("div", { class: "mark" }, icon(kind.icon)),
      h(
        "div",
        { class: "grow" },
        h("p", { class: "eyebrow" }, icon("verified"), kind.label),
        h("h2", { class: "wrap" }, inLines(it.identity.shown_without_process || it.identity.shown)),
        h("p", { class: "claims" }, h("span", { class: "claims-of" }, "named "), untrusted(`“${it.name}”`)),
      ),
    ),
    it.mismatches > 0 && h("p", {}, badge(`Its token was used by another app ${mismatches}`, "bad", "warning")),
    h(
      "div",
      {},
      h("p", { class: "label" }, "Allowed to"),
      h("ul", { class: "granted" }, ...granted(it).map((text) => h("li", {}, icon("check"), h("span", {}, text)))),
    ),
    it.folders?.length
      ? h(
          "div",
          {},
          h("p", { class: "label" }, "May write .env files in"),
          h(
            "ul",
            { class: "granted" },
            ...it.folders.map((text) => h("li", { class: "wrap" }, icon("check"), h("span", {}, inLines(text)))),
          ),
        )
      : null,
    h(
      "div",
      { class: "app-foot" },
      h(
        "p",
        { class: "hint grow" },
        "Last used ",
        time(it.last_used_at),
        ". Approved ",
        time(it.created_at),
        ". ",
        expiry(it),
      ),
      h(
        "div",
        { class: "row" },
        button("Rename", {
          icon: "edit",
          action: "rename",
          hidden: it.identity.shown,
          onclick: () => rename(it, store),
        }),
        button("Revoke…", {
          kind: "danger-plain",
          action: "revoke",
          hidden: it.identity.shown,
          onclick: () => revoke(it, store),
        }),
      ),
    ),
  );
}

/** @param {App} it */
function expiry({ expires_at: at }) {
  return at ? h("span", { title: exact(at) }, `Expires ${relative(at)}.`) : "Expires after 90 days without use.";
}

/** @param {App} it */
function granted(it) {
  const all = it.all_databases_meaning;
  return [...it.scopes.map(({ meaning }) => meaning), ...(all ? [all] : [])];
}

/**
 * @param {App} it
 * @param {Store} store
 */
function rename(it, store) {
  const name = input({ required: true, maxlength: 256, value: it.name, autofocus: true, autocomplete: "off" });
  const submit = button("Rename", { kind: "primary", type: "submit", action: "submit" });
  const dialog = open({
    title: "Rename the app",
    body: [
      form({
        fields: [field("name", "Name", name, "Only you see this name.")],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          await call("PATCH", `/v1/apps/${encodeURIComponent(it.id)}`, { name: name.value.trim() });
          await store.load("apps");
          dialog.close();
          notice("The app was renamed.");
        },
      }),
    ],
  });
  name.select();
}

/**
 * @param {App} it
 * @param {Store} store
 */
async function revoke(it, store) {
  const name = h("strong", { class: "wrap" }, inLines(it.identity.shown_without_process || it.identity.shown));
  const isDone = await confirm({
    title: "Revoke this app's access?",
    text: [h("p", {}, name, " loses access immediately. It can request access again.")],
    label: "Revoke",
    action: () => call("DELETE", `/v1/apps/${encodeURIComponent(it.id)}`),
  });
  if (!isDone) return;
  await store.load("apps");
  notice("Access was revoked.");
}

/**
 * @param {Blocked} it
 * @param {Store} store
 */
function blockedRow(it, store) {
  const shown = it.site?.shown ?? (it.identity.shown_without_process || it.identity.shown);
  const kind = it.site ? "Site" : IDENTITIES[it.identity.kind].label;
  const unblock = button("Unblock", {
    action: "unblock",
    hidden: shown,
    onclick: async () => {
      try {
        await call("DELETE", `/v1/blocks/${encodeURIComponent(it.id)}`);
        await store.load("blocks");
        notice(`Unblocked. ${it.site ? "It" : "The app"} can request access again.`);
        /** @type {HTMLElement | null} */ (document.querySelector("#main h1"))?.focus();
      } catch (error) {
        notice(messageOf(error), "bad");
      }
    },
  });
  return h(
    "li",
    { class: "list-row blocked-row" },
    h("span", { class: "mark small" }, icon("block")),
    h(
      "span",
      { class: "grow" },
      h("span", { class: "wrap list-title" }, it.site ? capitalized(shown) : shown),
      h("span", { class: "hint" }, kind, ", blocked ", time(it.blocked_at)),
    ),
    unblock,
  );
}
