"""``/v1/proof``: the helper proves that it knows a token before a client sends the token. See ``protocol.proof``."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

from upstash_helper.api.server import render
from upstash_helper.api.server.connections import Connection
from upstash_helper.api.server.routes import Parameter, Policy, Route
from upstash_helper.broker.errors import InvalidRequest, PortConflict
from upstash_helper.protocol import proof
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from aiohttp import web

    from upstash_helper.api.guard.tokens import Tokens
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.protocol.wire import Listener

_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


class ProofResource:
    """The handler of proofs."""

    def __init__(self, *, tokens: Tokens, pairings: Pairings, listeners: Callable[[], tuple[Listener, ...]]) -> None:
        """
        Args:
            tokens: The tokens of the owner and of apps.
            pairings: The access requests, whose secrets are tokens, too.
            listeners: Returns the states of the daemon's loopback addresses.
        """
        self._tokens = tokens
        self._pairings = pairings
        self._listeners = listeners

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/v1/proof", handler=self.prove,
                # Readable by every page, like connect.js: it shows nothing to a page that does not know the token.
                policy=Policy("open", readable=True),
                operation_id="getProof", summary="Prove that the helper knows a token, before the token is sent",
                answers={200: wire.Proof}, problems=(422, 503, 507),
                parameters=(
                    Parameter(
                        name="key", where="query", required=True, schema=_HEX,
                        description=(
                            "The token's key ID: the first 32 hexadecimal digits of the SHA-256 of "
                            "`upstash-helper key id v1`, a line feed, and the SHA-256 of the token (32 bytes)."
                        ),
                    ),
                    Parameter(
                        name="nonce", where="query", required=True, schema=_HEX,
                        description=(
                            "128 random bits. The response has the HMAC-SHA256 of `upstash-helper proof v1`, a line "
                            "feed, the value of Host in lower case, a line feed, and the nonce. The key is the SHA-256 "
                            "of the token."
                        ),
                    ),
                ),
            ),
        ]  # fmt: skip

    async def prove(self, request: web.Request) -> web.Response:
        """Return the proof. The guard has checked that ``Host`` is one of the helper's own."""
        key_id = _parameter(request, "key", proof.KEY_ID)
        nonce = _parameter(request, "nonce", proof.NONCE)
        host = request.headers[hdrs.HOST]
        self._require_own(host, request)
        digest = self._tokens.digest_of(key_id)
        if digest is None:
            await self._tokens.ready()
            digest = self._tokens.digest_of(key_id) or await self._pairings.digest_of(key_id)
        if digest is not None and isinstance(request.protocol, Connection):
            request.protocol.names_token()
        # Not an error status for an unknown token: browsers log those to the console of the page.
        return render.json(wire.Proof(proof=None if digest is None else proof.compute(digest, host=host, nonce=nonce)))

    def _require_own(self, host: str, request: web.Request) -> None:
        """
        Check that a client that uses this host has reached the daemon, and not an imitation on the same port of the
        other loopback address, which has forwarded the challenge: its host is the same.

        Raises:
            PortConflict: If that is possible.
        """
        name = host.rpartition(":")[0].strip("[]")
        local = None if request.transport is None else request.transport.get_extra_info("sockname")
        if _is_address(name):
            if local is not None and local[0] != name:
                raise PortConflict(f"This request is for {host}, and has arrived at another address.")
        # A name resolves to both addresses, and browsers prefer ::1.
        elif any(one.state == "taken" and one.use != "sign_in" for one in self._listeners()):
            raise PortConflict(
                f"Another program has the same port of [::1], so it is not certain where requests to {host} go. Stop"
                " that program, or use 127.0.0.1 in place of the name."
            )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _parameter(request: web.Request, name: str, pattern: re.Pattern[str]) -> str:
    value = request.query.get(name, "")
    if not pattern.fullmatch(value):
        raise InvalidRequest(f"{name} must be 32 hexadecimal digits in lower case.")
    return value
