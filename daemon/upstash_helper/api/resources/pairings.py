"""``/v1/pairings`` and ``/v1/blocks``: an app asks to be let in, and the owner decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import BODY, ORIGIN, TARGET, Route
from upstash_helper.broker.apps.pairings import POLL_SECONDS, PairingRequest
from upstash_helper.broker.identity import Identity, of_origin
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    from upstash_helper.broker.apps.approvals import Approvals
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.ledger import Pairing
    from upstash_helper.broker.ports import Peers

_OWNER = Policy("owner")


class PairingsResource:
    """The handlers."""

    def __init__(self, *, pairings: Pairings, approvals: Approvals, peers: Peers) -> None:
        self._pairings = pairings
        self._approvals = approvals
        self._peers = peers

    def routes(self) -> list[Route]:
        """Return what is served here."""
        at, one = "/v1/pairings", "/v1/pairings/{pairing_id}"
        return [
            Route(
                method="POST", path=at, handler=self.ask, policy=Policy("pairing", body="json"),
                operation_id="askPairing", summary="Ask the user to let the app in",
                body=wire.PairingRequest, answers={202: wire.StartedPairing}, problems=(409, 429),
            ),
            Route(
                method="GET", path=at, handler=self.waiting, policy=_OWNER,
                operation_id="listPairings", summary="The requests that wait for the user",
                answers={200: wire.PairingList},
            ),
            Route(
                method="GET", path=one, handler=self.look, policy=Policy("pairing"),
                operation_id="getPairing", summary="What became of a pairing; with its `poll_secret` as the token",
                answers={200: wire.PairingStatus}, problems=(404,),
            ),
            Route(
                method="DELETE", path=one, handler=self.withdraw, policy=Policy("pairing"),
                operation_id="withdrawPairing", summary="Ask no longer; with the pairing's `poll_secret` as the token",
                answers={204: None}, problems=(404,),
            ),
            Route(
                method="POST", path=f"{one}/token", handler=self.token, policy=Policy("pairing"),
                operation_id="fetchToken",
                summary="The app's token, once; with the pairing's `poll_secret` as the token",
                answers={200: wire.NewToken}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{one}/approve", handler=self.approve,
                policy=Policy("owner", body="json", audit="pairing.approve"),
                operation_id="approvePairing", summary="Let the app in, with all or fewer of the scopes it wishes for",
                body=wire.Approve, answers={200: wire.Pairing}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{one}/deny", handler=self.deny, policy=Policy("owner", audit="pairing.deny"),
                operation_id="denyPairing", summary="Do not let the app in",
                answers={200: wire.Pairing}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{one}/block", handler=self.block, policy=Policy("owner", audit="pairing.block"),
                operation_id="blockPairing", summary="Do not let the app in, and never be asked by it again",
                answers={200: wire.Blocked}, problems=(404,),
            ),
            Route(
                method="GET", path="/v1/blocks", handler=self.blocks, policy=_OWNER,
                operation_id="listBlocks", summary="Who may not ask any more", answers={200: wire.BlockList},
            ),
            Route(
                method="DELETE", path="/v1/blocks/{block_id}", handler=self.unblock,
                policy=Policy("owner", audit="block.remove"),
                operation_id="removeBlock", summary="Let somebody ask again", answers={204: None}, problems=(404,),
            ),
        ]  # fmt: skip

    async def ask(self, request: web.Request) -> web.Response:
        """Take an app's request."""
        wanted = cast("wire.PairingRequest", decode(request[BODY], wire.PairingRequest))
        pairing_request = PairingRequest(await self._identity(request), wanted.name, wanted.scopes, wanted.reason)

        pairing, secret = await self._pairings.begin(pairing_request)

        started = wire.StartedPairing(
            id=pairing.id,
            poll_secret=secret.reveal(),
            user_code=pairing.user_code,
            expires_at=render.timestamp(pairing.expires_at),
            interval=POLL_SECONDS,
        )
        response = render.json(started, status=202)
        response.headers["Location"] = f"/v1/pairings/{pairing.id}"
        return response

    async def look(self, request: web.Request) -> web.Response:
        """Answer with what became of it."""
        pairing = await self._pairings.find(_id(request), _secret(request), request[ORIGIN])

        return render.json(render.status(pairing, over=self._pairings.is_expired(pairing)))

    async def withdraw(self, request: web.Request) -> web.Response:
        """Let the prompt go away."""
        await self._pairings.withdraw(_id(request), _secret(request), request[ORIGIN])

        return web.Response(status=204)

    async def token(self, request: web.Request) -> web.Response:
        """Hand out the token."""
        app, token = await self._pairings.token(_id(request), _secret(request), request[ORIGIN])

        return render.json(render.new_token(app, token))

    async def waiting(self, _request: web.Request) -> web.Response:
        """Answer with the requests that wait."""
        pairings = await self._approvals.waiting()

        return render.json(wire.PairingList(pairings=tuple(self._shown(it) for it in pairings)))

    async def approve(self, request: web.Request) -> web.Response:
        """Say yes."""
        wanted = cast("wire.Approve", decode(request[BODY] or b"{}", wire.Approve))

        pairing = await self._approvals.approve(
            _id(request), scopes=wanted.scopes, all_databases=wanted.all_databases, once=wanted.once
        )

        request[TARGET] = _named(pairing)
        return render.json(self._shown(pairing))

    async def deny(self, request: web.Request) -> web.Response:
        """Say no."""
        pairing = await self._approvals.deny(_id(request))

        request[TARGET] = _named(pairing)
        return render.json(self._shown(pairing))

    async def block(self, request: web.Request) -> web.Response:
        """Say no for good."""
        block = await self._approvals.block(_id(request))

        request[TARGET] = block.identity.shown_without_pid
        return render.json(render.block(block))

    async def blocks(self, _request: web.Request) -> web.Response:
        """Answer with who may not ask."""
        blocks = await self._approvals.blocks()

        return render.json(wire.BlockList(blocks=tuple(render.block(it) for it in blocks)))

    async def unblock(self, request: web.Request) -> web.Response:
        """Let somebody ask again."""
        await self._approvals.unblock(request.match_info["block_id"])

        return web.Response(status=204)

    def _shown(self, pairing: Pairing) -> wire.Pairing:
        return render.pairing(pairing, over=self._pairings.is_expired(pairing))

    async def _identity(self, request: web.Request) -> Identity:
        """
        Return who asks. The gate has seen to it that an origin is one that can be let in; which program has sent it is
        for the user to see, since any can say an origin.
        """
        origin = request[ORIGIN]
        found = None if origin is None else of_origin(origin)
        sender = await self._sender(request)
        if found is None:
            return sender
        return msgspec.structs.replace(found, program=sender.name, pid=sender.pid)

    async def _sender(self, request: web.Request) -> Identity:
        transport = request.transport
        ours = theirs = None
        if transport is not None:
            ours, theirs = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        # No addresses: the client has disconnected.
        program = await self._peers.program(ours[:2], theirs[:2]) if ours and theirs else None
        if program is None:
            return Identity(kind="native", name="")
        return Identity(kind="native", name=program.executable, pid=program.pid)


def _named(pairing: Pairing) -> str:
    """Return for the audit who it was about; the id leads to the app's own entries."""
    return f"{pairing.id} {pairing.identity.shown_without_pid}"


def _id(request: web.Request) -> str:
    return request.match_info["pairing_id"]


def _secret(request: web.Request) -> bytes | None:
    return token_of(tuple(request.headers.getall(hdrs.AUTHORIZATION, [])))
