/**
 * The page of an authorization request: reload it when the user has decided. The daemon then redirects to the program.
 *
 * The page is at an address that other programs have used, so this script has no rights, and receives only one word.
 */

const WAIT_MS = 1000;
/** After this many failed requests in a row, the page shows that the helper is not responding. */
const QUIET_FAILURES = 4;

const main = document.querySelector("main");
const sign = document.querySelector(".sign");
const outcome = document.querySelector(".outcome");
/** What the page says while the helper responds. */
const note = outcome?.textContent ?? "";

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * Return what the helper answers, or null if it does not. Without it, another program may be at its address.
 *
 * @param {string} address
 */
async function ask(address) {
  try {
    const response = await fetch(`${address}/decision`, { method: "POST" });
    const answer = await response.text();
    return answer === "decided" || answer === "waiting" ? answer : null;
  } catch {
    return null;
  }
}

/** @param {boolean} isResponding */
function show(isResponding) {
  const text = isResponding ? note : "The helper is not responding. Is it running?";
  if (!outcome || outcome.textContent === text) return;
  outcome.textContent = text;
  sign?.classList.toggle("busy", isResponding);
}

/** Wait for the decision. */
async function follow() {
  const address = `/oauth/requests/${encodeURIComponent(main?.dataset.request ?? "")}`;
  let failures = 0;
  for (let answer = await ask(address); answer !== "decided"; answer = await ask(address)) {
    failures = answer === null ? failures + 1 : 0;
    show(failures < QUIET_FAILURES);
    await pause(WAIT_MS);
  }
  location.replace(address);
}

void follow();
