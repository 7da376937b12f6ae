/** The apps that are let in, and who may not ask any more. */

import { call } from "./api.js";
import { confirm, open } from "./dialogs.js";
import { fill, h, icon, keyed } from "./dom.js";
import { exact, IDENTITIES, relative } from "./format.js";
import { field, form, input } from "./forms.js";
import { head } from "./shell.js";
import { badge, button, claimed, empty, notice, skeletonList, slotted, time } from "./ui.js";

export const apps = {
  id: "apps",
  title: "Apps",
  icon: "apps",

  /** @param {HTMLElement} root */
  show(root, { store, signal }) {
    const place = h("div", {});
    const list = h("div", { class: "cards" });
    const blocked = h("section", { class: "below", "aria-labelledby": "blocked-title", hidden: true });
    root.append(head("Apps", "Each has a token of its own, for what you granted and nothing else."), place, blocked);

    store.watch(["apps"], () => slotted(place, store.get("apps"), () => store.load("apps"), (all, trouble) => {
      if (all.length === 0) fill(place, trouble, empty("apps", "No app is let in", "When one asks, it appears at the top of this page, and nothing happens before you have decided."));
      else {
        if (list.parentElement !== place || trouble || place.childElementCount > 1) fill(place, trouble, list);
        keyed(list, all, (it) => it.id, (it) => card(it, store));
      }
    }, () => skeletonList(3)), signal);
    store.watch(["blocks"], () => {
      const { data } = store.get("blocks");
      blocked.hidden = !data?.length;
      if (data?.length) fill(blocked, h("h2", { id: "blocked-title" }, "Blocked"), h("p", { class: "lead" }, "They cannot ask to be let in."), h("ul", { class: "list" }, ...data.map((it) => block(it, store))));
    }, signal);
    void store.load("apps", "blocks"); // when an app was last used is told by no event
  },
};

function card(it, store) {
  const kind = IDENTITIES[it.identity.kind];
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
        h("p", { class: "eyebrow" }, icon("shield"), kind.what),
        h("h2", { class: "wrap" }, it.identity.name || it.identity.shown),
        h("p", { class: "claims" }, h("span", { class: "claims-of" }, "named"), claimed(`“${it.name}”`)),
      ),
    ),
    it.mismatches > 0 && h("p", {}, badge(`Its token came from elsewhere ${it.mismatches === 1 ? "once" : `${it.mismatches} times`}`, "bad", "warning")),
    h("div", {}, h("p", { class: "label" }, "It may"), h("ul", { class: "granted" }, ...granted(it).map((text) => h("li", {}, icon("check"), h("span", {}, text))))),
    h(
      "div",
      { class: "app-foot" },
      h(
        "p",
        { class: "hint grow" },
        "Last used ", time(it.last_used_at), ". Let in ", time(it.created_at), ". ",
        it.expires_at ? h("span", { title: exact(it.expires_at) }, `Expires ${relative(it.expires_at)}.`) : "Expires when not used for 90 days.",
      ),
      h(
        "div",
        { class: "row" },
        button("Rename", { icon: "edit", action: "rename", hidden: it.identity.shown, onclick: () => rename(it, store) }),
        button("Revoke…", { kind: "danger-plain", action: "revoke", hidden: it.identity.shown, onclick: () => revoke(it, store) }),
      ),
    ),
  );
}

function granted(it) {
  const all = it.all_databases ? ["Read the passwords and tokens of all your databases, not only of those that it created"] : [];
  return [...it.scopes.map(({ meaning }) => meaning), ...all];
}

function rename(it, store) {
  const name = input({ required: true, maxlength: 256, value: it.name, autofocus: true, autocomplete: "off" });
  const submit = button("Rename", { kind: "primary", type: "submit", action: "submit" });
  const dialog = open({
    title: "Rename the app",
    body: [
      form({
        fields: [field("name", "Name that you see", name, "The app itself is not told.")],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          await call("PATCH", `/v1/apps/${encodeURIComponent(it.id)}`, { name: name.value.trim() });
          await store.load("apps");
          dialog.close();
          notice("The app is renamed.");
        },
      }),
    ],
  });
  name.select();
}

async function revoke(it, store) {
  const done = await confirm({
    title: "Revoke this app?",
    text: [h("p", {}, h("strong", { class: "wrap" }, it.identity.shown), " loses its access at once. It can ask again.")],
    label: "Revoke",
    action: async () => {
      await call("DELETE", `/v1/apps/${encodeURIComponent(it.id)}`);
    },
  });
  if (!done) return;
  await store.load("apps");
  notice("The app is no longer let in.");
}

function block(it, store) {
  const lift = button("Unblock", {
    action: "unblock",
    hidden: it.identity.shown,
    onclick: async () => {
      try {
        await call("DELETE", `/v1/blocks/${encodeURIComponent(it.id)}`);
        await store.load("blocks");
        notice("It may ask again.");
        /** @type {HTMLElement | null} */ (document.querySelector("#main h1"))?.focus();
      } catch (error) {
        notice(error.message, "bad");
      }
    },
  });
  return h(
    "li",
    { class: "list-row blocked-row" },
    h("span", { class: "mark small" }, icon("block")),
    h("span", { class: "grow" }, h("span", { class: "wrap list-title" }, it.identity.shown), h("span", { class: "hint" }, IDENTITIES[it.identity.kind].what, ", blocked ", time(it.blocked_at))),
    lift,
  );
}
