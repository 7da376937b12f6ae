"""``/v1/pairings`` and ``/v1/blocks``: apps request access, and the owner decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, ORIGIN, RECORD_FIRST, TARGET, VIA_BRIDGE, Policy, Route
from upstash_helper.broker.apps.pairings import POLL_SECONDS, PairingRequest
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.broker.identity import Identity, describe_program, of_origin
from upstash_helper.protocol import wire_apps as wire
from upstash_helper.protocol.wire import Recorded

if TYPE_CHECKING:
    from upstash_helper.broker.apps.approvals import Approvals
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.ledger import Pairing
    from upstash_helper.broker.ports import Peers

_OWNER = Policy("owner")


class PairingsResource:
    """Handlers for pairings and blocked apps."""

    def __init__(self, *, pairings: Pairings, approvals: Approvals, peers: Peers) -> None:
        self._pairings = pairings
        self._approvals = approvals
        self._peers = peers

    def routes(self) -> list[Route]:
        """Return the routes."""
        collection, item = "/v1/pairings", "/v1/pairings/{pairing_id}"
        return [
            Route(
                method="POST", path=collection, handler=self.create,
                policy=Policy("pairing", body="json", order=RECORD_FIRST),
                operation_id="askPairing", summary="Request access for an app",
                body=wire.PairingRequest, answers={202: wire.StartedPairing}, problems=(409, 429),
            ),
            Route(
                method="GET", path=collection, handler=self.pending, policy=_OWNER,
                operation_id="listPairings", summary="List the pending access requests",
                answers={200: wire.PairingList},
            ),
            Route(
                method="GET", path=item, handler=self.get, policy=Policy("pairing"),
                operation_id="getPairing", summary="Get a pairing's state, with its `poll_secret` as the token",
                answers={200: wire.PairingStatus}, problems=(404,),
            ),
            Route(
                method="DELETE", path=item, handler=self.withdraw, policy=Policy("pairing", order=ACT_FIRST),
                operation_id="withdrawPairing", summary="Withdraw the request, with its `poll_secret` as the token",
                answers={204: None, 200: Recorded}, problems=(404,),
            ),
            Route(
                method="POST", path=f"{item}/token", handler=self.token, policy=Policy("pairing", order=RECORD_FIRST),
                operation_id="fetchToken",
                summary="Get the app's token, once, with the pairing's `poll_secret` as the token",
                answers={200: wire.NewToken}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{item}/approve", handler=self.approve,
                policy=Policy("owner", body="json", audit="pairing.approve", order=RECORD_FIRST),
                operation_id="approvePairing", summary="Approve the app, with all or some of the scopes it requests",
                body=wire.Approve, answers={200: wire.Pairing}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{item}/deny", handler=self.deny,
                policy=Policy("owner", audit="pairing.deny", order=ACT_FIRST),
                operation_id="denyPairing", summary="Deny the app's request",
                answers={200: wire.Pairing}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{item}/block", handler=self.block,
                policy=Policy("owner", body="optional", audit="pairing.block", order=ACT_FIRST),
                operation_id="blockPairing", summary="Deny the app's request, and block it or its whole site",
                body=wire.Block, answers={200: wire.Blocked}, problems=(404,),
            ),
            Route(
                method="GET", path="/v1/blocks", handler=self.blocks, policy=_OWNER,
                operation_id="listBlocks", summary="List the blocked apps and sites", answers={200: wire.BlockList},
            ),
            Route(
                method="DELETE", path="/v1/blocks/{block_id}", handler=self.unblock,
                policy=Policy("owner", audit="block.remove", order=RECORD_FIRST),
                operation_id="removeBlock", summary="Unblock an app", answers={204: None}, problems=(404,),
            ),
        ]  # fmt: skip

    async def create(self, request: web.Request) -> web.Response:
        """Create a pairing: an app's request for access."""
        wanted = cast("wire.PairingRequest", decode(request[BODY], wire.PairingRequest))
        origin = request[ORIGIN]
        identity = None if origin is None else of_origin(origin)
        if identity is not None and wanted.audience != "api":
            raise InvalidRequest("Only a program on this computer can have access to /mcp.", pointer="/audience")
        if identity is not None and wanted.for_starter:
            message = "Only a program can request access for the program that started it."
            raise InvalidRequest(message, pointer="/for_starter")
        await self._pairings.precheck(identity)
        identity = await self._with_program(request, identity, for_starter=wanted.for_starter)
        pairing_request = PairingRequest(
            identity,
            wanted.name,
            wanted.scopes,
            wanted.reason,
            connect_if_needed=wanted.connect_if_needed,
            via_bridge=request[VIA_BRIDGE],
            audience=wanted.audience,
        )

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

    async def get(self, request: web.Request) -> web.Response:
        """Return a pairing's state, for the app."""
        pairing = await self._pairings.find(_id(request), _secret(request), request[ORIGIN])

        return render.json(render.status(pairing, over=self._pairings.is_expired(pairing)))

    async def withdraw(self, request: web.Request) -> web.Response:
        """Withdraw the request."""
        await self._pairings.withdraw(_id(request), _secret(request), request[ORIGIN])

        return web.Response(status=204)

    async def token(self, request: web.Request) -> web.Response:
        """Return the app's token."""
        app, token = await self._pairings.token(_id(request), _secret(request), request[ORIGIN])

        return render.json(render.new_token(app, token))

    async def pending(self, _request: web.Request) -> web.Response:
        """Return the requests that wait for a decision."""
        pairings = await self._approvals.waiting()

        return render.json(wire.PairingList(pairings=tuple(self._rendered(it) for it in pairings)))

    async def approve(self, request: web.Request) -> web.Response:
        """Approve the request."""
        wanted = cast("wire.Approve", decode(request[BODY] or b"{}", wire.Approve))

        pairing = await self._approvals.approve(
            _id(request), scopes=wanted.scopes, all_databases=wanted.all_databases, once=wanted.once
        )

        request[TARGET] = _audit_target(pairing)
        return render.json(self._rendered(pairing))

    async def deny(self, request: web.Request) -> web.Response:
        """Deny the request."""
        pairing = await self._approvals.deny(_id(request))

        request[TARGET] = _audit_target(pairing)
        return render.json(self._rendered(pairing))

    async def block(self, request: web.Request) -> web.Response:
        """Deny the request and block the app, or its whole site."""
        wanted = cast("wire.Block", decode(request[BODY] or b"{}", wire.Block))

        block = await self._approvals.block(_id(request), scope=wanted.scope)

        blocked = render.block(block)
        request[TARGET] = block.identity.shown_without_pid if blocked.site is None else blocked.site.shown
        return render.json(blocked)

    async def blocks(self, _request: web.Request) -> web.Response:
        """Return the blocked apps."""
        blocks = await self._approvals.blocks()

        return render.json(wire.BlockList(blocks=tuple(render.block(it) for it in blocks)))

    async def unblock(self, request: web.Request) -> web.Response:
        """Unblock an app."""
        await self._approvals.unblock(request.match_info["block_id"])

        return web.Response(status=204)

    def _rendered(self, pairing: Pairing) -> wire.Pairing:
        return render.pairing(pairing, self._pairings)

    async def _with_program(
        self, request: web.Request, identity: Identity | None, *, for_starter: bool = False
    ) -> Identity:
        """
        Return the identity of the requesting app.

        The guard has checked that the origin can have access. The program that sent the request is included for the
        user to see, since any program can send any origin.

        Args:
            request: The request.
            identity: The page or extension; None for a program.
            for_starter: Whether the app is the program that started the sender.
        """
        sender = await program_of(request, self._peers, starter=for_starter)
        if identity is None:
            return sender
        return msgspec.structs.replace(
            identity, program=sender.name, pid=sender.pid, warnings=sender.warnings, others=sender.others
        )


async def program_of(request: web.Request, peers: Peers, *, starter: bool = False) -> Identity:
    """
    Return the program that sent ``request``, as the system reports it. If it does not, the name is empty.

    Args:
        request: The request.
        peers: Finds programs.
        starter: Return the program that started the sender instead.
    """
    transport = request.transport
    local = remote = None
    if transport is not None:
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    # Without addresses, the client has disconnected.
    find = peers.starter if starter else peers.program
    program = await find(local[:2], remote[:2]) if local and remote else None
    if program is None:
        return Identity(kind="native", name="")
    others = tuple(describe_program(it.executable, pid=it.pid, warnings=it.warnings) for it in program.others)
    return Identity(
        kind="native",
        name=program.executable,
        program=program.sender,
        pid=program.pid,
        sender_pid=program.sender_pid,
        warnings=program.warnings,
        others=others,
    )


def _audit_target(pairing: Pairing) -> str:
    """Return the pairing as the audit log names it; the app's entry ``app.let_in`` has the same id."""
    return f"{pairing.id} {pairing.identity.shown_without_pid}"


def _id(request: web.Request) -> str:
    return request.match_info["pairing_id"]


def _secret(request: web.Request) -> bytes | None:
    return token_of(tuple(request.headers.getall(hdrs.AUTHORIZATION, [])))
