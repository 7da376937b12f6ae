"""``/health``, ``/v1/daemon``, and ``/openapi.json``: the daemon itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from upstash_helper.api.server import render
from upstash_helper.api.server.routes import ACT_FIRST, Parameter, Policy, Route, flag_of
from upstash_helper.broker.account.attempts import https_forced
from upstash_helper.protocol import discovery, literals, wire

if TYPE_CHECKING:
    import asyncio

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.trays import Trays

API_VERSION: Final = discovery.API_VERSION
_HEALTH: Final = msgspec.json.encode(wire.Health(status="ok", service="upstash-helper"))


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Constant facts about this daemon."""

    version: str
    pid: int
    profile: str
    started_at: float
    log_file: str | None
    console_url: str | None
    auth_url: str
    api_url: str
    started_by: literals.StartedBy
    open_browser: bool
    auto_approve: bool
    upstream: Callable[[], Awaitable[literals.Upstream]]
    """Asks the upstream whether it is a sandbox, if it may be one."""
    network: Callable[[], Awaitable[wire.Network | None]]
    """Reads the settings of the system, if the daemon's own name no proxy. None: the system does not answer in time."""


class DaemonResource:
    """Handlers for health, status, the OpenAPI document, and stopping."""

    def __init__(
        self,
        *,
        about: About,
        connection: Connection,
        credentials: CredentialCache,
        ledger: Ledger,
        trays: Trays,
        listeners: Callable[[], tuple[wire.Listener, ...]],
        tls_hellos: Callable[[], int],
        stop: asyncio.Event,
        description: Callable[[], bytes],
    ) -> None:
        self._about = about
        self._connection = connection
        self._credentials = credentials
        self._ledger = ledger
        self._trays = trays
        self._listeners = listeners
        self._tls_hellos = tls_hellos
        self._stop = stop
        self._description = description

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/health", handler=self.health, policy=Policy("open"),
                operation_id="getHealth", summary="Check that the helper is running", answers={200: wire.Health},
            ),
            Route(
                method="GET", path="/openapi.json", handler=self.describe, policy=Policy("open"),
                operation_id="getDescription", summary="Get this document", answers={200: "application/json"},
            ),
            Route(
                method="GET", path="/v1/daemon", handler=self.status, policy=Policy("owner"),
                operation_id="getDaemon", summary="Get the helper's status", answers={200: wire.DaemonStatus},
                problems=(422,),
                parameters=(
                    Parameter(
                        name="prompt", where="query", schema={"type": "boolean", "default": True},
                        description="Whether the keyring may ask the user for its password, or for access.",
                    ),
                ),
            ),
            Route(
                method="POST", path="/v1/daemon/stop", handler=self.stop,
                policy=Policy("owner", audit="daemon.stop", order=ACT_FIRST),
                operation_id="stopDaemon", summary="Stop the helper. Pending changes are completed first",
                answers={202: wire.Stopping},
            ),
        ]  # fmt: skip

    async def health(self, _request: web.Request) -> web.Response:
        """Return a constant."""
        return web.Response(body=_HEALTH, content_type="application/json")

    async def describe(self, _request: web.Request) -> web.Response:
        """Return the OpenAPI document."""
        return web.Response(body=self._description(), content_type="application/json")

    async def status(self, request: web.Request) -> web.Response:
        """Return the daemon's status, for the owner."""
        connection = await self._connection.status(prompt=flag_of(request, "prompt", default=True))

        return render.json(
            wire.DaemonStatus(
                version=self._about.version,
                api_version=API_VERSION,
                pid=self._about.pid,
                profile=self._about.profile,
                started_at=render.timestamp(self._about.started_at),
                listeners=self._listeners(),
                connection=render.connection(connection, self._credentials.health(), owner=True),
                hints=self._hints(),
                log_file=self._about.log_file,
                ledger=render.ledger(self._ledger.health()),
                tray=render.tray(self._trays.first),
                console_url=self._about.console_url,
                auth_url=self._about.auth_url,
                api_url=self._about.api_url,
                upstream=await self._about.upstream(),
                started_by=self._about.started_by,
                open_browser=self._about.open_browser,
                auto_approve=self._about.auto_approve,
                network=await self._about.network(),
            )
        )

    def _hints(self) -> tuple[wire.Hint, ...]:
        hellos = self._tls_hellos()
        return (wire.Hint(code="https_forced", detail=https_forced(hellos)),) if hellos else ()

    async def stop(self, _request: web.Request) -> web.Response:
        """Request that the daemon stop."""
        self._stop.set()

        return render.json(wire.Stopping(status="ok", service="upstash-helper"), status=202)
