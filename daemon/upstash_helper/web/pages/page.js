/**
 * The pages of a sign-in: tell whoever waits for it, follow it to its end, close the window.
 *
 * The page says all of it without this module as well. What it is told stands in the data attributes of <main>: the
 * attempt (which is no secret), its state, the origins of the apps that asked, and after how many seconds it may close.
 */

const CHANNEL = "upstash-helper";
const UNSETTLED = new Set(["pending", "exchanging"]);
const FIRST_WAIT = 250;
const LONGEST_WAIT = 2000;
const QUIET_TRIES = 4;

const main = document.querySelector("main");
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Make an element; text goes in as text. */
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Have a screen reader say it. */
function say(text) {
  document.querySelector(".said").textContent = text;
}

// --- telling ---------------------------------------------------------------------------------------------------------

/** Tell the opener, and the helper's own pages: a hint to ask the daemon, with nothing in it that could be misused. */
function tell() {
  const { attempt, state } = main.dataset;
  if (!attempt) return;
  const message = { type: "upstash-helper", attempt, state };
  for (const origin of openerOrigins()) window.opener.postMessage(message, origin);
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(message);
  channel.close();
}

/** Return which origins the opener may have: our own if we can see that it is, else those of the apps that asked. */
function openerOrigins() {
  if (!window.opener) return [];
  try {
    return [window.opener.location.origin].filter((origin) => origin === location.origin);
  } catch {
    return (main.dataset.openers ?? "").split(" ").filter(Boolean);
  }
}

// --- following -------------------------------------------------------------------------------------------------------

/** Turn into the page of what comes next, again and again until it is settled. */
async function follow() {
  let failures = 0;
  for (let wait = FIRST_WAIT; UNSETTLED.has(main.dataset.state); wait = Math.min(wait * 1.3, LONGEST_WAIT)) {
    await pause(wait);
    const { attempt, state } = main.dataset;
    try {
      const answer = await fetch(`/attempts/${encodeURIComponent(attempt)}/state`);
      if (!answer.ok || (await answer.text()) !== state) await turn(attempt);
      if (failures >= QUIET_TRIES) closing().replaceChildren();
      failures = 0;
    } catch {
      failures += 1;
      if (failures === QUIET_TRIES) closing().replaceChildren("The helper does not answer. Is it running?");
    }
  }
}

/** Put the page of the attempt, as it is now, in place of this one. */
async function turn(attempt) {
  const answer = await fetch(`/?attempt=${encodeURIComponent(attempt)}`);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = next.querySelector("main");
  for (const name of Object.keys(main.dataset)) delete main.dataset[name];
  Object.assign(main.dataset, fresh.dataset);
  const notices = main.querySelectorAll(".notice");
  main.replaceChildren(...fresh.children);
  closing().before(...notices);
  document.title = next.title;
  say(`${main.querySelector("h1").textContent}. ${main.querySelector(".lead").textContent}`);
  dress();
}

// --- closing ---------------------------------------------------------------------------------------------------------

const closing = () => main.querySelector(".closing");
let keepOpen = () => {};

/**
 * Close the window when its time is over, unless the user wants to keep it.
 *
 * A window is closed for its script only if a script opened it or if it has been nowhere before. Behind a sign-in page
 * that cuts the opener off, the browser knows that a script opened it and the script does not: then it is tried, and
 * nothing is promised.
 */
function closeSoon() {
  let left = Number(main.dataset.closes);
  if (!left || main.querySelector(".notice")) return; // a notice takes longer to read
  const promised = window.opener !== null || history.length === 1;
  if (promised) {
    const number = element("b", String(left), { "aria-hidden": "true" });
    const line = element("span", "This window closes by itself in ");
    line.append(number, element("span", " s", { "aria-hidden": "true" }));
    const keep = element("button", "Keep it open", { type: "button" });
    closing().replaceChildren(line, keep);
    say(`${main.querySelector("h1").textContent}. This window closes in ${left} seconds. Press any key to keep it open.`);
  }
  const ticking = setInterval(() => {
    left -= 1;
    const number = closing().querySelector("b");
    if (number) number.textContent = String(Math.max(left, 0));
    if (left > 0) return;
    stop();
    window.close();
  }, 1000);

  // Whoever does anything here is still here: by the button, or by any other key or press.
  function stop() {
    clearInterval(ticking);
    for (const name of ["click", "keydown", "pointerdown"]) removeEventListener(name, stop);
    closing().replaceChildren("You can close this window.");
  }
  for (const name of ["click", "keydown", "pointerdown"]) addEventListener(name, stop);
  keepOpen = stop;
}

// --- help ------------------------------------------------------------------------------------------------------------

/** Give each command a button that copies it. */
function offerCopies() {
  for (const command of main.querySelectorAll(".command")) {
    const text = command.querySelector("code").textContent;
    const button = element("button", "Copy", { type: "button", "aria-label": `Copy ${text}` });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text).then(
        () => button.replaceChildren("Copied"),
        () => getSelection().selectAllChildren(command.querySelector("code")),
      );
      await pause(2000);
      button.replaceChildren("Copy");
    });
    command.append(button);
  }
}

/**
 * Remove the service workers of others from our origin, and say so.
 *
 * We have none. An app that ran at this address before may have left one, and it stands between the browser and the
 * daemon: it would answer for us, and the sign-in would end at a page of that app.
 */
async function evict() {
  const left = (await navigator.serviceWorker?.getRegistrations()) ?? [];
  if (!left.length) return;
  const scripts = left.map((one) => (one.active ?? one.waiting ?? one.installing)?.scriptURL ?? one.scope);
  const gone = await Promise.all(left.map((one) => one.unregister().catch(() => false)));
  const names = scripts.map((script) => new URL(script).pathname).join(", ");
  const removed = gone.every(Boolean);
  const notice = element("div", "", { class: "notice" });
  const text = element("div");
  text.append(
    element("h2", removed ? "Another app was in the way" : "Another app is in the way"),
    element(
      "p",
      `An app that ran at ${location.host} before has left a service worker there (${names}), which answers in the ` +
        "helper's place. " +
        (removed
          ? "The helper has removed it. That app brings it back when it runs at this address again."
          : "It could not be removed: delete the data of this site in the browser's settings."),
    ),
  );
  notice.append(sign(), text);
  closing().before(notice);
  keepOpen();
  say(text.textContent);
}

/** Draw the sign of a warning. */
function sign() {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", "0 0 24 24");
  drawn.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M12 4.5 21 19.5H3zM12 10v4.5M12 17v.01");
  drawn.append(path);
  return drawn;
}

/** Do what each page needs. */
function dress() {
  offerCopies();
  tell();
  closeSoon();
}

dress();
evict();
follow();
