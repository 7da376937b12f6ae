/** The ways to connect: signing in, an API key, and the two things that a sign-in may still need. */

import { call } from "./api.js";
import { open } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { field, form, input } from "./forms.js";
import { busy, button, callout, failed, notice } from "./ui.js";

/** @import { Attempt, StartedAttempt } from "./openapi.js" */
/** @import { Store } from "./store.js" */

/** The page of the console on which API keys are created and deleted. */
export const CONSOLE = "https://console.upstash.com/account/api";

const POPUP = "popup,width=520,height=760";

/**
 * Return the button that signs in.
 *
 * @param {string} label
 * @param {HTMLElement} place Where errors are shown.
 * @param {Store} store
 * @param {{ force?: boolean, kind?: "primary" | "plain" }} options
 */
export function connectButton(label, place, store, { force = false, kind }) {
  const start = () => busy(element, () => signIn(place, store, force));
  const element = button(label, { kind, icon: "link", action: "connect", onclick: start });
  return element;
}

/**
 * Start a sign-in and show it in a window.
 *
 * @param {HTMLElement} place
 * @param {Store} store
 * @param {boolean} force
 */
async function signIn(place, store, force) {
  fill(place);
  // Opened within the click and before anything is awaited: later, the browser treats it as an unwanted popup.
  const popup = window.open("about:blank", "upstash-sign-in", POPUP);
  try {
    /** @type {Partial<StartedAttempt>} */
    const { authorization_url: url } = await call("POST", "/v1/connection", { open_browser: false, force });
    if (!url || !/^https?:/.test(url)) {
      popup?.close(); // an account is connected already
      await store.load("connection");
    } else if (popup && !popup.closed) {
      // The sign-in returns to an address where another program may have left something. That must not get hold of this tab.
      popup.opener = null;
      popup.location.replace(url);
    } else showLink(place, url);
  } catch (error) {
    popup?.close();
    fill(place, failed(error, null));
  }
}

/**
 * Show a link in place of the window that the browser blocked.
 *
 * @param {HTMLElement} place
 * @param {string} url
 */
function showLink(place, url) {
  // The card is redrawn when the sign-in has started; the link goes to where the place is then.
  setTimeout(() => {
    const card = document.querySelector(".connection");
    const target = place.isConnected || !(card instanceof HTMLElement) ? place : card;
    const link = h("a", { href: url, target: "_blank", rel: "noopener" }, "Sign in to Upstash ", icon("external"));
    target.append(
      callout("warn", h("p", {}, "Your browser blocked the window. Open the sign-in page yourself:"), link),
    );
  }, 300);
}

/** Ask whether to sign in. The click is the user's, and so is the sign-in. @param {Store} store */
export function askToSignIn(store) {
  const place = h("div", {});
  const start = button("Sign in to Upstash", {
    kind: "primary",
    icon: "link",
    autofocus: true,
    action: "connect",
    onclick: () =>
      busy(start, async () => {
        const { data: connection } = store.get("connection");
        const isConnected = ["connected", "needs_email", "reconnect_required"].includes(connection?.state ?? "");
        await signIn(place, store, isConnected);
        if (place.childElementCount === 0) dialog.close();
      }),
  });
  const dialog = open({
    title: "Sign in to Upstash?",
    body: [
      h("p", {}, "A window opens in which you sign in. Apps with access can then use the account."),
      place,
      h("div", { class: "dialog-foot" }, button("Cancel", { onclick: () => dialog.close() }), start),
    ],
  });
}

/** Ask for an API key that was created in the console. @param {Store} store */
export function useKey(store) {
  const submit = button("Connect", { kind: "primary", type: "submit", action: "submit" });
  // As text: the helper removes what came along with a pasted address, and explains what is still wrong.
  const email = input({ inputmode: "email", required: true, autocomplete: "email", autofocus: true });
  const key = input({ type: "password", required: true, autocomplete: "off" });
  const toConsole = { href: CONSOLE, target: "_blank", rel: "noreferrer" };
  const dialog = open({
    title: "Use an API key",
    body: [
      h(
        "p",
        {},
        "Create one in the Upstash console under Account, Management API. The helper checks it with Upstash and keeps it in the keyring.",
      ),
      h("p", {}, h("a", toConsole, "Open the page for API keys in the console ", icon("external"))),
      form({
        fields: [
          field("email", "Account email", email),
          field("api_key", "API key", key, "It is not shown again, here or anywhere else."),
        ],
        foot: [button("Cancel", { onclick: () => dialog.close() }), submit],
        submit,
        send: async () => {
          const body = { email: email.value, api_key: key.value };
          store.set("connection", await call("PUT", "/v1/connection/api-key", body));
          void store.load("databases");
          dialog.close();
          notice("The account is connected.");
        },
      }),
    ],
  });
}

/** Ask for the email address that the sign-in did not provide. @param {Store} store */
export function emailForm(store) {
  const submit = button("Save", { kind: "primary", type: "submit", action: "submit" });
  const email = input({ inputmode: "email", required: true, autocomplete: "email" });
  return form({
    fields: [field("email", "Account email", email)],
    foot: [submit],
    submit,
    send: async () => {
      store.set("connection", await call("PUT", "/v1/connection/email", { email: email.value }));
      void store.load("databases");
      notice("The account is connected.");
    },
  });
}

/** Ask for the address that the browser ended at, where it did not return to the helper. @param {Attempt} attempt */
export function addressForm(attempt) {
  const submit = button("Finish the sign-in", { kind: "primary", type: "submit", action: "submit" });
  // It contains a code, so the browser must not remember it.
  const address = input({ type: "password", required: true, autocomplete: "off", maxlength: 12_288 });
  return form({
    fields: [
      field(
        "address",
        "Address from the other window",
        address,
        "Everything in its address bar. It starts with http://localhost.",
      ),
    ],
    foot: [submit],
    submit,
    send: async () => {
      const path = `/v1/connection/attempts/${encodeURIComponent(attempt.attempt_id)}/redirect`;
      await call("POST", path, { address: address.value.trim() });
    },
  });
}
