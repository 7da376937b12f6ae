"""Attacks of hostile web pages, as scripts that return what they could learn. They must return ``nothing``."""

from __future__ import annotations

PAGE = """<!doctype html><meta charset="utf-8"><title>Hostile</title><body>
<script>
  window.messages = [];
  addEventListener("message", ({ data }) => messages.push(data));
  /** Return what an element shows about a resource of another origin. */
  window.loading = (name, attributes) => new Promise((done) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.onload = () => done("loaded");
    made.onerror = () => done("nothing");
    document.body.append(made);
  });
  /** Return what a request shows about its response. */
  window.requesting = (url, options) => fetch(url, options).then(
    async (response) => (response.type === "opaque" ? "nothing" : `${response.status} ${await response.text()}`),
    () => "nothing",
  );
  /** Submit a form into a frame, and return what the page can read of the result. */
  window.posting = (url, method, enctype, fields) => new Promise((done) => {
    const name = `sink-${document.forms.length}`;
    const frame = Object.assign(document.createElement("iframe"), { name });
    document.body.append(frame);
    const form = Object.assign(document.createElement("form"), { action: url, method, enctype, target: name });
    for (const [key, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { name: key, value }));
    }
    document.body.append(form);
    frame.onload = () => done(frame.contentDocument === null ? "nothing" : frame.contentDocument.body.textContent);
    form.submit();
  });
</script>
"""

PATHS = (
    "/",
    "/?code=ATTACKER&state=guess",
    "/?error=access_denied",
    "/?attempt={attempt}",
    "/attempts/{attempt}/state",
    "/v1/connection",
    "/v1/databases",
    "/v1/pairings",
    "/v1/apps",
    "/upstash/v2/redis/databases",
    "/web/pages/page.js",
    "/web/pages/icon.svg",
)

WRITES = (
    ("/v1/connection", '{"force": true}'),
    ("/v1/databases", '{"name": "evil", "primary_region": "us-east-1"}'),
    ("/v1/pairings", '{"name": "evil", "scopes": ["databases:read"]}'),
    ("/v1/dashboard/sessions", '{"ticket": "guess"}'),
    ("/v1/connection/attempts/{attempt}/redirect", '{"address": "http://localhost:3000/?code=a&state=b"}'),
)


READ_POPUP = "(() => { try { return popup.document.body.textContent } catch { return '' } })()"

PREFETCH_PAGE = """<!doctype html><title>Hostile</title>
<link rel="prefetch" href="ADDRESS"><link rel="preload" as="fetch" href="ADDRESS">
<script type="speculationrules">{"prerender": [{"urls": ["ADDRESS"]}], "prefetch": [{"urls": ["ADDRESS"]}]}</script>
"""

READ_ATTACKS = {
    "a probe without CORS": "(url) => requesting(url, { mode: 'no-cors' })",
    "a probe with credentials": "(url) => requesting(url, { credentials: 'include' })",
    "an image": "(url) => loading('img', { src: url })",
    "a script": "(url) => loading('script', { src: url })",
    "a module": "(url) => loading('script', { src: url, type: 'module' })",
    "a style sheet": "(url) => loading('link', { rel: 'stylesheet', href: url })",
    "a font": "(url) => new FontFace('f', `url(${url})`).load().then(() => 'loaded', () => 'nothing')",
    "an audio": "(url) => new Promise((done) => { const a = new Audio(url); a.onloadeddata = () => done('loaded');"
    " a.onerror = () => done('nothing'); a.load(); })",
    "an event stream": "(url) => new Promise((done) => { const s = new EventSource(url); s.onopen = () => done('open');"
    " s.onerror = () => { s.close(); done('nothing'); }; })",
    "a WebSocket": "(url) => new Promise((done) => { const s = new WebSocket(url.replace('http', 'ws'));"
    " s.onopen = () => done('open'); s.onerror = () => done('nothing'); })",
    "a worker": "(url) => new Promise((done) => { try { new Worker(url).onerror = () => done('nothing'); }"
    " catch { done('nothing'); } })",
    "a service worker": "(url) => navigator.serviceWorker.register(url).then(() => 'registered', () => 'nothing')",
}

WRITE_ATTACKS = {
    "a simple request": "([url, body]) => requesting(url, { method: 'POST', mode: 'no-cors', body })",
    "a simple request with credentials": "([url, body]) =>"
    " requesting(url, { method: 'POST', credentials: 'include', body })",
    "a beacon": "async ([url, body]) => { navigator.sendBeacon(url, body); await requesting(url, { mode: 'no-cors' });"
    " return 'nothing'; }",
    "a form of plain text": "([url, body]) => posting(url, 'post', 'text/plain', { [body.slice(0, -1) + ', \"x\": \"']:"
    " '\"}' })",
    "a form": "([url, body]) => posting(url, 'post', 'application/x-www-form-urlencoded', JSON.parse(body))",
    "a form with files": "([url, body]) => posting(url, 'post', 'multipart/form-data', JSON.parse(body))",
}
