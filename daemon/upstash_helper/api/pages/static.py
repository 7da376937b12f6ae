"""Static files: those of the daemon's own pages, and the JavaScript module that other web pages load."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api.server.routes import ON_OWN_PAGES, Parameter, Policy, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every page: only files of our own origin, and no workers."""

REACHABLE: Final = "/reachable"
"""The path of an empty response that any page may load, to test whether the browser resolves our name."""

PROBE_HEADER: Final = "Upstash-Helper-Probe"
_PROBE: Final = re.compile(r"[0-9a-f]{32}")
_PROBE_DESCRIPTION: Final = (
    f"32 hexadecimal digits, which the response repeats in {PROBE_HEADER} to prove that it is from upstash-helper."
)

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOLDERS: Final = ("dashboard", "pages")


class FilesResource:
    """Handlers for static files."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        # Readable by every page that could request access, since this module is what requests it.
        public = Policy("open", readable=True)
        return [
            Route(
                method="GET", path="/web/{folder}/{name}", handler=self.file, policy=Policy("page"),
                operation_id="getFile", summary="Get a file of the helper's own pages",
                answers={200: "text/css"}, problems=(404,),
            ),
            Route(
                method="GET", path=REACHABLE, handler=self.reachable, policy=Policy("open", embeddable=True),
                operation_id="testReachable", summary="Test whether the browser can open the origin of the pages",
                answers={204: None},
            ),
            Route(
                method="GET", path="/connect.js", handler=self.connect, policy=public,
                operation_id="getConnectModule",
                summary="Get the ES module with which web pages request access and connect",
                answers={200: "text/javascript"},
            ),
            Route(
                method="GET", path="/connect-core.js", handler=self.core, policy=public,
                operation_id="getConnectCoreModule", summary="Get the same module without the button",
                answers={200: "text/javascript"},
            ),
            Route(
                method="GET", path="/connect.d.ts", handler=self.types, policy=public,
                operation_id="getConnectTypes", summary="Get the module's TypeScript types",
                answers={200: "text/plain"},
                parameters=(Parameter(name="probe", where="query", description=_PROBE_DESCRIPTION),),
            ),
            Route(
                method="GET", path="/connect-core.d.ts", handler=self.core_types, policy=public,
                operation_id="getConnectCoreTypes", summary="Get the TypeScript types of the module without the button",
                answers={200: "text/plain"},
            ),
        ]  # fmt: skip

    async def file(self, request: web.Request) -> web.Response:
        """Return a file of the pages. The names are a fixed set, which rules out path traversal."""
        name = f"{request.match_info['folder']}/{request.match_info['name']}"
        kind = names().get(name)
        if kind is None:
            raise web.HTTPNotFound
        return web.Response(body=read(name), content_type=kind, charset="utf-8")

    async def reachable(self, _request: web.Request) -> web.Response:
        """Return nothing. A page that reads this learns only that the helper is running."""
        return web.Response(status=204, headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    async def connect(self, _request: web.Request) -> web.Response:
        """Return the module."""
        return web.Response(body=read("connect.js"), content_type="text/javascript", charset="utf-8")

    async def core(self, _request: web.Request) -> web.Response:
        """Return the module without the button."""
        return web.Response(body=read("connect-core.js"), content_type="text/javascript", charset="utf-8")

    async def types(self, request: web.Request) -> web.Response:
        """Return the module's types. Clients that search for the helper request them with a probe, which is echoed."""
        response = web.Response(body=read("connect.d.ts"), content_type="text/plain", charset="utf-8")
        probe = request.query.get("probe", "")
        if _PROBE.fullmatch(probe):
            response.headers[PROBE_HEADER] = probe
        return response

    async def core_types(self, _request: web.Request) -> web.Response:
        """Return the types of the module without the button."""
        return web.Response(body=read("connect-core.d.ts"), content_type="text/plain", charset="utf-8")


@cache
def names() -> Mapping[str, str]:
    """Return the files that pages may load, by folder and name, and their content types."""
    return {
        f"{folder}/{item.name}": kind
        for folder in _FOLDERS
        for item in files("upstash_helper.web").joinpath(folder).iterdir()
        for suffix, kind in _TYPES.items()
        if item.name.endswith(suffix)
    }


@cache
def read(name: str) -> bytes:
    """Return a file of the pages. Files are cached, since they do not change while the daemon runs."""
    return files("upstash_helper.web").joinpath(name).read_bytes()


class BridgeResource:
    """The handler of the bridge page."""

    def __init__(self, *, pages_origin: Callable[[], str]) -> None:
        self._pages_origin = pages_origin

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/bridge", handler=self.page, policy=Policy("landing"),
                operation_id="openBridge", summary="A window that forwards the requests of the page that opened it",
                answers={200: "text/html", 303: None},
            ),
        ]  # fmt: skip

    async def page(self, request: web.Request) -> web.Response:
        """Return the page. It is constant: its script gets the opener's origin from the browser."""
        if not request[ON_OWN_PAGES]:
            return web.Response(status=303, headers={"Location": f"{self._pages_origin()}/bridge"})
        response = web.Response(body=read("pages/bridge.html"), content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = CSP
        return response
