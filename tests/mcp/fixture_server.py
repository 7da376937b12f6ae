"""
The endpoint ``/mcp`` with fixture tools, behind the daemon's own guard and connection limits, and without a token.

For the protocol's conformance suite, whose server scenarios want these tools and send no token, and for tests of the
endpoint itself. As a program, it prints its URL and serves until its input ends:

    python -m tests.mcp.fixture_server [--port PORT]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from tests.mcp.fixture_tools import Fixture
from tests.support.world import free_port
from upstash_helper.api.app import create_app
from upstash_helper.api.guard.audit import RequestAudit
from upstash_helper.api.guard.middleware import Guard
from upstash_helper.api.guard.policy import ServerAddress, agent_challenge
from upstash_helper.api.guard.tokens import Tokens
from upstash_helper.api.mcp.endpoint import Parts, create_mcp
from upstash_helper.api.mcp.reply import KEEP_ALIVE_SECONDS
from upstash_helper.api.mcp.resource import BODY_LIMIT
from upstash_helper.api.server.connections import Connection, Limits
from upstash_helper.api.server.routes import BY_HANDLER, Policy, Route
from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
from upstash_helper.broker.apps.exchanges import Exchanges
from upstash_helper.broker.apps.registry import AppRegistry
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import RateLimited
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.identity import SCOPES, Caller
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.runtime.listeners import open_first_free
from upstash_helper.runtime.serve import serve
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.system.clock import SystemClock
from upstash_helper.system.peers import SystemPeers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from aiohttp import web

    from upstash_helper.api.mcp.endpoint import Endpoint
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.broker.confirmations import Question
    from upstash_helper.broker.ports import Clock
    from upstash_helper.protocol.literals import Scope

CALLER_HEADER: Final = "Fixture-Caller"
"""Names the app that sends a request; see ``FixtureServer.callers``."""


@dataclass
class FixtureServer:
    """A running server."""

    url: str
    fixture: Fixture
    endpoint: Endpoint
    events: EventBus
    exchanges: Exchanges
    session: aiohttp.ClientSession
    scopes: dict[str, tuple[Scope, ...]]
    """The scopes of each caller. By default, it has all."""
    ended: set[str]
    """Callers whose access has ended."""
    asked: list[Question]
    """The questions to the user in upstash-helper."""
    answer: asyncio.Future[bool]
    """The user's answer to all of them."""
    is_read_only: bool = False

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        port: int | None = None,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> AsyncIterator[Self]:
        """Start a server, and stop it on leaving."""
        listeners = open_first_free((port or free_port(),))
        address = ServerAddress(port=listeners.port)
        clock, events, ended = clock or SystemClock(), EventBus(), set[str]()
        exchanges = Exchanges(allowed=lambda caller: caller.id not in ended)
        fixture, asked, allowed = Fixture(), list["Question"](), list["Question"]()
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def ask_user(_: Caller, question: Question) -> bool:
            asked.append(question)
            return await asyncio.shield(answer)

        async def record_answer(_: Caller, question: Question, is_allowed: bool) -> None:  # noqa: FBT001
            if is_allowed:
                allowed.append(question)

        async def read_only() -> bool:
            return server.is_read_only

        endpoint = create_mcp(
            fixture.tools(),
            Parts(
                exchanges=exchanges,
                events=events,
                clock=clock,
                visible=_visible,
                challenge=lambda host, scopes: agent_challenge(
                    address, host, error="insufficient_scope", scopes=scopes
                ),
                ask_user=ask_user,
                record_answer=record_answer,
                read_only=read_only,
                keep_alive_seconds=keep_alive_seconds,
            ),
            fixture.offers(),
        )
        fixture.endpoint = endpoint
        stop, ready = asyncio.Event(), asyncio.Event()

        @contextlib.contextmanager
        def announced() -> Iterator[None]:
            ready.set()
            yield

        async with aiohttp.ClientSession() as session:
            url = f"http://localhost:{listeners.port}/mcp"
            server = cls(url, fixture, endpoint, events, exchanges, session, {}, ended, asked, answer)
            app = create_app(server.routes(), guard=_guard(address, clock, events))

            async def end(_: web.Application) -> None:
                endpoint.close()
                events.close()

            app.on_shutdown.append(end)
            serving = asyncio.create_task(serve(app, listeners, stop=stop, limits=limits, announced=announced))
            await ready.wait()
            try:
                yield server
            finally:
                stop.set()
                await serving
                answer.cancel()

    def end_access(self, caller_id: str) -> None:
        """End a caller's access, as the registry of apps does."""
        self.ended.add(caller_id)
        self.events.end(caller_id)
        self.exchanges.end(caller_id)

    def _caller(self, request: web.Request) -> Caller:
        caller_id = request.headers.get(CALLER_HEADER, "fixture")
        scopes = self.scopes.get(caller_id, SCOPES)
        caller = Caller(kind="app", id=caller_id, name=caller_id, scopes=scopes, audience="mcp")
        # As the guard does with the caller of a token.
        if isinstance(request.protocol, Connection) and not request.protocol.begin_for(caller):
            raise RateLimited("Too many requests are in progress.", retry_after=1.0)
        return caller

    def routes(self) -> list[Route]:
        """Return the routes, which require no token."""
        endpoint = self.endpoint

        async def post(request: web.Request) -> web.StreamResponse:
            return await endpoint.post(request, self._caller(request))

        async def get(request: web.Request) -> web.StreamResponse:
            return await endpoint.get(request, self._caller(request))

        async def delete(request: web.Request) -> web.StreamResponse:
            return await endpoint.delete(request, self._caller(request))

        handlers = {"POST": post, "GET": get, "DELETE": delete}
        return [
            Route(
                method=method,
                path="/mcp",
                handler=handler,
                policy=Policy(
                    "open", body="json" if method == "POST" else "none", order=BY_HANDLER, body_limit=BODY_LIMIT
                ),
                summary="",
                operation_id=method,
                answers={200: None},
            )
            for method, handler in handlers.items()
        ]


def _visible(tools: Iterable[Tool], caller: Caller, *, read_only: bool) -> tuple[Tool, ...]:
    return tuple(it for it in tools if caller.has(it.scope) and not (read_only and it.needs_write_access))


def _guard(address: ServerAddress, clock: Clock, events: EventBus) -> Guard:
    background, ledger = Background(), SqliteLedger(None)
    pending = PendingWrites(ledger=ledger, tombstones=NoTombstones(), background=background, clock=clock)
    audit = Audit(records=ledger.audit, pending=pending, clock=clock)
    apps = AppRegistry(
        records=ledger.apps, audit=audit, pending=pending, events=events, background=background, clock=clock
    )
    return Guard(
        address=address,
        callers=Tokens(apps, DashboardSessions(clock=clock)),
        apps=apps,
        peers=SystemPeers(),
        audit=RequestAudit(audit=audit, pending=pending, background=background),
        asker_key=lambda *_: "",
        clock=clock,
    )


async def _serve(port: int) -> None:
    async with FixtureServer.running(port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main(arguments: list[str] | None = None) -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args(arguments).port))


if __name__ == "__main__":
    main()
