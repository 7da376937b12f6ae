"""``/v1/proof``: the helper proves that it knows a token before a client sends the token. See ``protocol.proof``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

from upstash_helper.api.server import render
from upstash_helper.api.server.connections import Connection
from upstash_helper.api.server.routes import Parameter, Policy, Route
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.protocol import proof
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    import re

    from aiohttp import web

    from upstash_helper.api.guard.tokens import Tokens
    from upstash_helper.broker.apps.pairings import Pairings

_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


class ProofResource:
    """The handler of proofs."""

    def __init__(self, *, tokens: Tokens, pairings: Pairings) -> None:
        self._tokens = tokens
        self._pairings = pairings

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
        digest = self._tokens.digest_of(key_id)
        if digest is None:
            await self._tokens.ready()
            digest = self._tokens.digest_of(key_id) or await self._pairings.digest_of(key_id)
        if digest is not None and isinstance(request.protocol, Connection):
            request.protocol.names_token()
        # Not an error status for an unknown token: browsers log those to the console of the page.
        host = request.headers[hdrs.HOST]
        return render.json(wire.Proof(proof=None if digest is None else proof.compute(digest, host=host, nonce=nonce)))


def _parameter(request: web.Request, name: str, pattern: re.Pattern[str]) -> str:
    value = request.query.get(name, "")
    if not pattern.fullmatch(value):
        raise InvalidRequest(f"{name} must be 32 hexadecimal digits in lower case.")
    return value
