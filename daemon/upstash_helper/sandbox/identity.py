"""``/.well-known/upstash-sandbox``, where a daemon finds out that its upstream is a sandbox and not Upstash."""

from __future__ import annotations

import msgspec
from aiohttp import web

from upstash_helper import __version__
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.responses import json_response

PATH = "/.well-known/upstash-sandbox"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The sandbox's description of itself. The URLs are those of its own listeners."""

    service: str = "upstash-helper-sandbox"
    version: str = __version__
    auth_url: str
    api_url: str
    issuer_url: str
    rest_url: str
    rest_tls_url: str | None


class IdentityEndpoint:
    """Returns the identity, to anyone: it has no secrets."""

    def __init__(self, identity: Identity, settings: OAuthSettings) -> None:
        self._identity = identity
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get(PATH, self.show)]

    async def show(self, _request: web.Request) -> web.StreamResponse:
        """Return the identity, unless a test has turned that off."""
        if not self._settings.identity:
            raise RequestError(404, "no such path")
        return json_response(self._identity)
