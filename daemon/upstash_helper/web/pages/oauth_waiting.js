/**
 * The page of an authorization request: reload it when the user has decided. The daemon then redirects to the program.
 *
 * The page is at an address that other programs have used, so this script has no rights, and receives only one word.
 */

const WAIT_MS = 1000;
/** After this many failed requests in a row, the page shows that the helper is not responding. */
const QUIET_FAILURES = 4;

const main = document.querySelector("main");
const outcome = document.querySelector(".outcome");

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Wait for the decision. */
async function follow() {
  const address = `/oauth/requests/${encodeURIComponent(main?.dataset.request ?? "")}`;
  let failures = 0;
  for (;;) {
    try {
      const answer = await fetch(`${address}/decision`, { method: "POST" });
      failures = 0;
      if (answer.ok && (await answer.text()) === "decided") break;
    } catch {
      failures += 1;
      if (failures === QUIET_FAILURES && outcome) outcome.textContent = "The helper is not responding. Is it running?";
    }
    await pause(WAIT_MS);
  }
  location.replace(address);
}

void follow();
