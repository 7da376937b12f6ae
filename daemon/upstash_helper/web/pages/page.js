/**
 * The result pages of a sign-in: notify the app that waits for it, follow the attempt, close the window.
 *
 * The page is complete without this module. The data attributes of <main> have what the module needs: the attempt (whose
 * ID is no secret), the key in the page's own address, the state, the origins of the apps that asked for the sign-in, and
 * after how many seconds the window may close.
 */

const CHANNEL = "upstash-helper";
const UNSETTLED = new Set(["pending", "exchanging", "confirmation_required"]);
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 2000;
/** After how many failed requests in a row the page shows that the helper does not respond. */
const QUIET_FAILURES = 4;

const main = find("main");

/**
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement}
 */
function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`The page has no ${selector}.`);
  return found;
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * Make an element; text goes in as text.
 *
 * @param {string} name
 * @param {string} [text]
 * @param {Record<string, string>} [attributes]
 */
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Have a screen reader read a text. @param {string} text */
function announce(text) {
  find(".announcer").textContent = text;
}

// --- messages --------------------------------------------------------------------------------------------------------

/** Notify the opener and the helper's own pages of the state. The message has nothing that could be misused. */
function notify() {
  const { attempt, state } = main.dataset;
  if (!attempt) return;
  const message = { type: "upstash-helper", attempt, state };
  for (const origin of openerOrigins()) window.opener.postMessage(message, origin);
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(message);
  channel.close();
}

/**
 * Return the origins that the opener may have: our own if the browser lets us see that, otherwise those of the apps that
 * asked for the sign-in.
 *
 * @returns {string[]}
 */
function openerOrigins() {
  if (!window.opener) return [];
  try {
    return [window.opener.location.origin].filter((origin) => origin === location.origin);
  } catch {
    return (main.dataset.openers ?? "").split(" ").filter(Boolean);
  }
}

// --- following -------------------------------------------------------------------------------------------------------

/** Show the page of each next state, until the attempt is settled. */
async function follow() {
  let failures = 0;
  let wait = FIRST_WAIT_MS;
  while (UNSETTLED.has(main.dataset.state ?? "")) {
    await pause(wait);
    wait = Math.min(wait * 1.3, LONGEST_WAIT_MS);
    const { page = "", state } = main.dataset;
    try {
      const answer = await fetch(`/attempts/${encodeURIComponent(page)}/state`);
      // Before the next page is shown, which has its own text there.
      if (failures >= QUIET_FAILURES) closing().replaceChildren();
      failures = 0;
      if (!answer.ok || (await answer.text()) !== state) await turn(page);
    } catch {
      failures += 1;
      if (failures === QUIET_FAILURES) closing().replaceChildren("The helper is not responding. Is it running?");
    }
  }
}

/** Replace this page by that of the attempt's current state. @param {string} page */
async function turn(page) {
  const answer = await fetch(`/?attempt=${encodeURIComponent(page)}`);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = find("main", next);
  for (const name of Object.keys(main.dataset)) delete main.dataset[name];
  Object.assign(main.dataset, fresh.dataset);
  const notices = main.querySelectorAll(".notice");
  main.replaceChildren(...fresh.children);
  closing().before(...notices);
  document.title = next.title;
  announce(`${heading()}. ${find(".lead", main).textContent}`);
  enhance();
}

function heading() {
  return find("h1", main).textContent;
}

// --- closing ---------------------------------------------------------------------------------------------------------

function closing() {
  return find(".closing", main);
}

let keepOpen = () => {};

/**
 * Close the window when its time is up, unless the user wants to keep it.
 *
 * A script can close a window only if a script opened it or if it has no history. Behind a sign-in page that cuts the
 * opener off, the browser knows that a script opened the window and this script does not: then it tries, and promises
 * nothing.
 */
function closeSoon() {
  let seconds = Number(main.dataset.closes);
  if (!seconds || main.querySelector(".notice")) return; // a notice takes longer to read
  if (window.opener !== null || history.length === 1) {
    const countdown = element("b", String(seconds), { "aria-hidden": "true" });
    const line = element("span", "This window closes in ");
    line.append(countdown, element("span", " s", { "aria-hidden": "true" }));
    closing().replaceChildren(line, element("button", "Keep it open", { type: "button" }));
    announce(`${heading()}. This window closes in ${seconds} seconds. Press any key to keep it open.`);
  }
  const timer = setInterval(() => {
    seconds -= 1;
    const countdown = closing().querySelector("b");
    if (countdown) countdown.textContent = String(Math.max(seconds, 0));
    if (seconds > 0) return;
    stop();
    window.close();
  }, 1000);

  // Any key or press shows that the user is still here, not only the button.
  const events = ["click", "keydown", "pointerdown"];
  function stop() {
    clearInterval(timer);
    for (const name of events) removeEventListener(name, stop);
    closing().replaceChildren("You can close this window.");
  }
  for (const name of events) addEventListener(name, stop);
  keepOpen = stop;
}

// --- help ------------------------------------------------------------------------------------------------------------

/** Give each command a button that copies it. */
function offerCopies() {
  for (const command of main.querySelectorAll(".command")) {
    const code = find("code", command);
    const text = code.textContent;
    const button = element("button", "Copy", { type: "button", "aria-label": `Copy ${text}` });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text).then(
        () => button.replaceChildren("Copied"),
        () => getSelection()?.selectAllChildren(code),
      );
      await pause(2000);
      button.replaceChildren("Copy");
    });
    command.append(button);
  }
}

/**
 * Show that a service worker of another program was at the redirect URI, if the page there has found one.
 *
 * An app that used that address before has left it. It sits between the browser and the daemon, and could answer in our
 * place, so that the sign-in would end at a page of that app. Anyone can open this page with such a fragment, so it is
 * shown only if it looks like the path of a script.
 */
function showForeignWorkers() {
  const found = new URLSearchParams(location.hash.slice(1));
  const paths = (found.get("worker") ?? "").split(" ");
  if (!paths.every((path) => /^\/[\w./-]{1,100}$/.test(path)) || paths.length > 5) return;
  history.replaceState(null, "", location.pathname + location.search);
  const names = paths.join(", ");
  const isRemoved = found.get("removed") === "true";
  const shared = `localhost${location.port && `:${location.port}`}`;
  const text = element("div");
  text.append(
    element("h2", isRemoved ? "Another app was in the way" : "Another app is in the way"),
    element(
      "p",
      `An app that used ${shared} before left a service worker there (${names}), which can answer in the ` +
        `helper's place. ${
          isRemoved
            ? "The helper has removed it. The app adds it again when it next runs at this address."
            : "It could not be removed. Delete this site's data in the browser's settings."
        }`,
    ),
  );
  const notice = element("div", "", { class: "notice" });
  const warning = document.querySelector("template#warning");
  if (warning instanceof HTMLTemplateElement) notice.append(warning.content.cloneNode(true));
  notice.append(text);
  closing().before(notice);
  keepOpen();
  announce(text.textContent ?? "");
}

/** The buttons of a sign-in that has failed, by the section of the dashboard that they open. */
const ACTIONS = { connect: "Try again", key: "Use an API key", overview: "Open dashboard" };

/**
 * Offer what the user can do, who may have come from a web page and have no terminal.
 *
 * All of it is in the dashboard, which the helper opens in the user's browser: this page has no rights, because the app
 * that started the sign-in may see it. There, the user starts a sign-in of their own.
 */
function offerActions() {
  const { actions = "", page = "" } = main.dataset;
  const buttons = element("div", "", { class: "buttons" });
  const outcome = element("p", "", { class: "outcome", role: "status" });
  for (const [section, label] of Object.entries(ACTIONS)) {
    if (!actions.split(" ").includes(section)) continue;
    const button = element("button", label, { type: "button" });
    button.addEventListener("click", async () => {
      outcome.textContent = await showDashboard(page, section);
    });
    if (actions.startsWith(section)) buttons.prepend(button);
    else buttons.append(button);
  }
  if (buttons.firstElementChild) find(".lead", main).after(buttons, outcome);
}

/** Have the helper open the dashboard, and return what to tell the user. @param {string} page @param {string} section */
async function showDashboard(page, section) {
  try {
    const answer = await fetch(`/attempts/${encodeURIComponent(page)}/dashboard`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ section }),
    });
    const { opened, detail, code } = await answer.json();
    if (opened) return "The dashboard is opening in your browser.";
    if (code === "rate_limited") return `${detail} Look for its window, or wait a minute.`;
    return `${detail ?? "No browser could be opened."} Choose Dashboard in the tray menu, or run: upstash-helper open`;
  } catch {
    return "The helper is not responding. Is it running?";
  }
}

/** Add what each page can do with a script. */
function enhance() {
  offerCopies();
  offerActions();
  notify();
  closeSoon();
}

enhance();
showForeignWorkers();
void follow();
