/**
 * Runs inline in the page at the OAuth redirect URI, which continues to the page with the result.
 *
 * The result is at an origin that only the helper uses. A browser that cannot open it shows this page instead.
 */
(async (script) => {
  const { url = "", probe = "", cleans } = script.dataset;
  let found = "";
  try {
    // A service worker here is another program's: it has let this redirect through, and may not let the next one.
    const workers = cleans ? ((await navigator.serviceWorker?.getRegistrations()) ?? []) : [];
    const paths = workers.map(
      (it) => new URL((it.active ?? it.waiting ?? it.installing)?.scriptURL ?? it.scope).pathname,
    );
    const removed = await Promise.all(workers.map((it) => it.unregister().catch(() => false)));
    if (workers.length) found = `#worker=${encodeURIComponent(paths.join(" "))}&removed=${removed.every(Boolean)}`;
    await fetch(probe, { mode: "no-cors", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(5000) });
    location.replace(url + found);
  } catch {
    for (const it of document.querySelectorAll("[hidden]")) it.removeAttribute("hidden");
  }
})(/** @type {HTMLScriptElement} */ (document.currentScript));
