"""
Service workers that another app has left on our origin.

Our port is a favorite of web developers, and a service worker stays in the browser when its app has gone: it stands
between the browser and us, and answers in our place. It swallows the authorization server's redirect, and its scripts
run in our origin. But whenever a browser comes to a page of the origin, it asks whether the worker's script has
changed (W3C Service Workers, section *Soft Update*), past the worker itself. So the script that it gets is one that
takes the worker out, and has the windows that it had answered for come to us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from upstash_helper.api.guard.policy.policy import Facts

# Without the fragment: to the same address with it, a browser would go without asking us.
_SCRIPT: Final = """\
// upstash-helper runs at this address now. It has no service worker, and this takes out the one that was here before.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil((async () => {
  await registration.unregister();
  for (const client of await clients.matchAll({ type: "window" })) client.navigate(client.url.split("#")[0]);
})()));
"""


def updated(facts: Facts) -> bool:
    """Return whether a browser looks for a new version of a service worker. We never registered one."""
    return facts.method == "GET" and facts.fetch_dest == "serviceworker" and facts.fetch_site == "same-origin"


def last_version() -> web.Response:
    """Return the script that ends it."""
    return web.Response(text=_SCRIPT, content_type="text/javascript")
