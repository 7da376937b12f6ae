/** The ways to connect: signing in, an API key, and the two things that a sign-in may still need. */

import { call } from "./api.js";
import { open } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { field, form, input } from "./forms.js";
import { busy, button, callout, failed, notice } from "./ui.js";

const WINDOW = "popup,width=520,height=760";

/**
 * Return the button that signs in.
 *
 * @param {string} label
 * @param {HTMLElement} place Where it is told what goes wrong.
 * @param {import("./store.js").Store} store
 * @param {{force?: boolean, kind?: "primary" | "plain"}} options
 */
export function connectButton(label, place, store, options) {
  const element = button(label, { kind: options.kind, icon: "link", action: "connect", onclick: () => busy(element, () => signIn(place, store, options.force ?? false)) });
  return element;
}

/** Start a sign-in and show it in a window of its own. */
async function signIn(place, store, force) {
  fill(place);
  // Opened within the click, before anything is waited for: what comes later is held to be an unwanted popup.
  const popup = window.open("about:blank", "upstash-sign-in", WINDOW);
  try {
    const started = await call("POST", "/v1/connection", { open_browser: false, force });
    if (!/^https?:/.test(started.authorization_url ?? "")) {
      popup?.close(); // there is nothing to do
      await store.load("connection");
    } else if (popup && !popup.closed) popup.location.replace(started.authorization_url);
    else blocked(place, started.authorization_url);
  } catch (error) {
    popup?.close();
    fill(place, failed(error, null));
  }
}

function blocked(place, url) {
  // The card is drawn anew when the sign-in has begun; the link is put where it then is.
  setTimeout(() => {
    const target = place.isConnected ? place : document.querySelector(".connection");
    target?.append(
      callout("warn", h("p", {}, "The browser has blocked the window. Open the sign-in yourself:"), h("a", { href: url, target: "_blank", rel: "noopener" }, "Sign in to Upstash ", icon("external"))),
    );
  }, 300);
}

/** Ask for an API key that was made in the console. */
export function useKey(store) {
  const submit = button("Connect", { kind: "primary", type: "submit", action: "submit" });
  const email = input({ type: "email", required: true, autocomplete: "email", autofocus: true, maxlength: 254 });
  const key = input({ type: "password", required: true, autocomplete: "off", maxlength: 512 });
  const dialog = open({
    title: "Use an API key",
    body: [
      h("p", {}, "Make one in the Upstash console under Account, Management API. The helper asks Upstash whether it works, and keeps it in the keyring."),
      form({
        fields: [field("email", "E-mail of the account", email), field("api_key", "API key", key, "It is never shown again, here or anywhere else.")],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          store.set("connection", await call("PUT", "/v1/connection/api-key", { email: email.value.trim(), api_key: key.value.trim() }));
          void store.load("databases");
          dialog.close();
          notice("The account is connected.");
        },
      }),
    ],
  });
}

/** Ask for the e-mail that the sign-in did not tell. */
export function emailForm(store) {
  const submit = button("Save", { kind: "primary", type: "submit", action: "submit" });
  const email = input({ type: "email", required: true, autocomplete: "email", maxlength: 254 });
  return form({
    fields: [field("email", "E-mail of the account", email)],
    foot: [submit],
    submit,
    send: async () => {
      store.set("connection", await call("PUT", "/v1/connection/email", { email: email.value.trim() }));
      void store.load("databases");
      notice("The account is connected.");
    },
  });
}

/** Ask for the address that the browser ended at, where it did not come back to the helper. */
export function addressForm(attempt) {
  const submit = button("Finish the sign-in", { kind: "primary", type: "submit", action: "submit" });
  // It holds a code, so the browser is not to remember it.
  const address = input({ type: "password", required: true, autocomplete: "off", maxlength: 12_288 });
  return form({
    fields: [field("address", "Address from the other window", address, "All of its address bar. It begins with http://localhost.")],
    foot: [submit],
    submit,
    send: async () => {
      await call("POST", `/v1/connection/attempts/${encodeURIComponent(attempt.attempt_id)}/redirect`, { address: address.value.trim() });
    },
  });
}
