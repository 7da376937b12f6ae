"""
The composition root: the only module that names the concrete classes of all layers.

What belongs to the machine is passed in as ``Machine``, so that tests can compose the same daemon with other parts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.api.app import create_app
from upstash_helper.api.guard.audit import RequestAudit
from upstash_helper.api.guard.middleware import Guard
from upstash_helper.api.guard.policy import ServerAddress
from upstash_helper.api.guard.tokens import Tokens
from upstash_helper.api.pages.callback import NoCallers, SignInPagesResource, create_callback_app
from upstash_helper.api.pages.static import BridgeResource, FilesResource
from upstash_helper.api.resources.apps import AppsResource
from upstash_helper.api.resources.connection import ConnectionResource
from upstash_helper.api.resources.daemon import About, DaemonResource
from upstash_helper.api.resources.dashboard import DashboardResource
from upstash_helper.api.resources.databases import DatabasesResource
from upstash_helper.api.resources.events import EventsResource
from upstash_helper.api.resources.pairings import PairingsResource
from upstash_helper.api.resources.passthrough import PassThroughResource
from upstash_helper.api.resources.proof import ProofResource
from upstash_helper.api.server.connections import Counts
from upstash_helper.broker.account.api_key import ApiKeySignIn
from upstash_helper.broker.account.connection import Connection
from upstash_helper.broker.account.credential_cache import CredentialCache
from upstash_helper.broker.account.sign_in import SignIn
from upstash_helper.broker.apps.approvals import Approvals
from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
from upstash_helper.broker.apps.pairing_limits import PairingRateLimiter
from upstash_helper.broker.apps.pairing_queue import PairingQueue
from upstash_helper.broker.apps.pairings import Pairings
from upstash_helper.broker.apps.registry import AppRegistry
from upstash_helper.broker.apps.sites import Sites
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.databases.create import CreateDatabase
from upstash_helper.broker.databases.operations import Databases, ReadCredentials
from upstash_helper.broker.databases.pass_through import PassThrough
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.idle import IdleCheck
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.broker.trays import TrayAwareNotifier, Trays
from upstash_helper.protocol.pages_origin import new_name
from upstash_helper.system.public_suffixes import ListedSuffixes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp import web

    from upstash_helper.api.guard.policy import LazyCallers
    from upstash_helper.api.server.routes import Route
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.ports import (
        Browser,
        CallbackAddress,
        Clock,
        CredentialStore,
        Notifier,
        Peers,
        Tombstones,
    )
    from upstash_helper.protocol import literals, wire
    from upstash_helper.runtime.numeric_address import NumericAddress
    from upstash_helper.settings.config import Profile, Settings
    from upstash_helper.upstream.http_client import HttpClient


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The parts of the daemon that belong to the machine it runs on."""

    clock: Clock
    browser: Browser
    store: CredentialStore
    ledger: Ledger
    peers: Peers
    notifier: Notifier
    port: int
    """The API's port."""
    callback: CallbackAddress
    numeric: NumericAddress
    listeners: Callable[[], tuple[wire.Listener, ...]]
    started_by: literals.StartedBy = "user"
    tombstones: Tombstones = field(default_factory=NoTombstones)


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A composed daemon that is not listening yet."""

    app: web.Application
    callback_app: web.Application | None
    """The application of the callback port, if it is not the API's port."""
    tokens: Tokens
    routes: tuple[Route, ...]
    pages_origin: str
    """The origin of the owner's pages, new at every start."""
    counts: Counts
    """The counts of connections, updated by the server."""
    background: Background
    """The tasks that continue after their client has disconnected."""
    idle_check: IdleCheck
    """Knows what would be lost if the daemon exited."""
    events: EventBus
    """Knows how many event streams are open."""


DRAIN_SECONDS: Final = 10.0
"""Longer than a shutdown may take: the server decides when to give up."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The composed broker."""

    events: EventBus
    background: Background
    credentials: CredentialCache
    connection: Connection
    api_key_sign_in: ApiKeySignIn
    databases: Databases
    create: CreateDatabase
    read_credentials: ReadCredentials
    pass_through: PassThrough
    apps: AppRegistry
    pairings: Pairings
    approvals: Approvals
    audit: Audit
    pending: PendingWrites
    trays: Trays
    sessions: DashboardSessions
    idle_check: IdleCheck


def compose(machine: Machine, profile: Profile, *, stop: asyncio.Event) -> Daemon:
    """
    Return the daemon of ``profile`` on ``machine``. Nothing is opened before it is needed.

    Args:
        machine: The parts that belong to the machine.
        profile: The profile and its settings.
        stop: Set when a client requests through the API that the daemon stop.
    """
    from upstash_helper.upstream.http_client import HttpClient

    settings, counts = profile.settings, Counts()
    address = ServerAddress(port=machine.port, pages_name=new_name())
    http = HttpClient(clock=machine.clock)
    # Passed-through requests have their own connections, and each app its own circuit breaker, so that responses that
    # an app reads slowly, and failures that it provokes, do not affect other apps or the daemon's own requests.
    apps_http = HttpClient(clock=machine.clock, breaker="caller")
    broker = _broker(machine, settings, http=http, apps_http=apps_http, counts=counts)
    tokens = Tokens(broker.apps, broker.sessions)

    resources = (
        _daemon_resource(
            machine, profile, broker, counts=counts, stop=stop, description=lambda: _describe(routes, machine.port)
        ),
        SignInPagesResource(connection=broker.connection, pages_origin=address.pages_origin),
        FilesResource(),
        ProofResource(tokens=tokens, pairings=broker.pairings),
        BridgeResource(pages_origin=address.pages_origin),
        ConnectionResource(
            connection=broker.connection,
            api_key_sign_in=broker.api_key_sign_in,
            credentials=broker.credentials,
            open_browser=settings.open_browser,
            hosts=ServerAddress(port=settings.port).hosts,
        ),
        DatabasesResource(databases=broker.databases, create=broker.create, credentials=broker.read_credentials),
        PairingsResource(pairings=broker.pairings, approvals=broker.approvals, peers=machine.peers),
        DashboardResource(
            sessions=broker.sessions,
            pages_origin=address.pages_origin,
            numeric=machine.numeric,
            listeners=machine.listeners,
            clock=machine.clock,
        ),
        AppsResource(apps=broker.apps, audit=broker.audit),
        PassThroughResource(pass_through=broker.pass_through),
        EventsResource(events=broker.events, pairings=broker.pairings, trays=broker.trays, clock=machine.clock),
    )
    routes = [route for resource in resources for route in resource.routes()]

    guard = _guard(machine, broker, address, tokens)
    machine.numeric.on_change = guard.serve_pages_at
    app = create_app(routes, guard=guard)
    callback_app = None
    if settings.port_policy == "on-demand":
        callback_guard = _guard(machine, broker, ServerAddress(port=settings.port, has_api=False), NoCallers())
        callback_app = create_callback_app(broker.connection, pages_origin=address.pages_origin, guard=callback_guard)

    async def end_streams(_: web.Application) -> None:
        broker.connection.flow.close()
        await machine.callback.release()
        machine.numeric.close()
        broker.events.close()

    async def finish_writes(_: web.Application) -> None:
        await broker.background.drain(DRAIN_SECONDS)
        await http.close()
        await apps_http.close()
        await broker.pending.close()
        await broker.apps.save_last_uses()
        await machine.ledger.close()

    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(finish_writes)
    return Daemon(
        app=app,
        callback_app=callback_app,
        tokens=tokens,
        routes=tuple(routes),
        pages_origin=address.pages_origin,
        counts=counts,
        background=broker.background,
        idle_check=broker.idle_check,
        events=broker.events,
    )


def _guard(machine: Machine, broker: Broker, address: ServerAddress, callers: LazyCallers) -> Guard:
    return Guard(
        address=address,
        callers=callers,
        apps=broker.apps,
        peers=machine.peers,
        audit=RequestAudit(audit=broker.audit, pending=broker.pending, background=broker.background),
        asker_key=broker.pairings.asker_key,
        clock=machine.clock,
    )


def _broker(machine: Machine, settings: Settings, *, http: HttpClient, apps_http: HttpClient, counts: Counts) -> Broker:
    from upstash_helper.upstream.api_keys import ApiKeyIssuer
    from upstash_helper.upstream.developer_api import DeveloperApi
    from upstash_helper.upstream.oauth import OAuth
    from upstash_helper.upstream.pass_through import DeveloperApiPassThrough

    clock, ledger, trays = machine.clock, machine.ledger, Trays()
    events, background, sessions = EventBus(), Background(), DashboardSessions(clock=machine.clock)
    api = DeveloperApi(http=http, api_url=settings.api_url, rest_url=settings.rest_url)
    server = (
        None
        if settings.client_id is None
        else OAuth(
            http=http, auth_url=settings.auth_url, client_id=settings.client_id, redirect_uri=settings.redirect_uri
        )
    )

    credentials = CredentialCache(store=machine.store, clock=clock, tombstones=machine.tombstones)
    keys = ApiKeyIssuer(http=http, api_url=settings.api_url)
    pending = PendingWrites(ledger=ledger, tombstones=machine.tombstones, background=background, clock=clock)
    audit = Audit(records=ledger.audit, pending=pending, clock=clock)
    apps = AppRegistry(
        records=ledger.apps, audit=audit, pending=pending, events=events, background=background, clock=clock
    )
    notifier = TrayAwareNotifier(machine.notifier, trays)
    sign_in = SignIn(server=server, keys=keys, api=api, credentials=credentials, background=background, clock=clock)
    connection = Connection(
        credentials=credentials,
        server=server,
        sign_in=sign_in,
        callback=machine.callback,
        check=api.list,
        tls_hellos=lambda: counts.tls,
        browser=machine.browser,
        notifier=notifier,
        has_access=apps.has_access,
        events=events,
        background=background,
        clock=clock,
    )
    databases = Databases(connection=connection, api=api, events=events, background=background, clock=clock)
    create = CreateDatabase(
        connection=connection,
        databases=databases,
        api=api,
        journal=ledger.creates,
        events=events,
        background=background,
        clock=clock,
    )

    connection.on_account_left = apps.exchanges.end_all
    rate_limiter, sites = PairingRateLimiter(clock=clock), Sites(suffixes=ListedSuffixes())
    queue = PairingQueue(
        records=ledger.pairings, sites=sites, pending=pending, rate_limiter=rate_limiter, events=events, clock=clock
    )
    pairings = Pairings(
        queue=queue,
        apps=apps,
        audit=audit,
        sites=sites,
        rate_limiter=rate_limiter,
        notifier=notifier,
        is_sign_in_needed=connection.is_sign_in_needed,
        background=background,
        clock=clock,
    )
    pass_through_api = DeveloperApiPassThrough(http=apps_http, api_url=settings.api_url)
    return Broker(
        events=events,
        background=background,
        credentials=credentials,
        connection=connection,
        api_key_sign_in=ApiKeySignIn(
            connection=connection, credentials=credentials, api=api, background=background, clock=clock
        ),
        databases=databases,
        create=create,
        read_credentials=ReadCredentials(databases=databases, journal=ledger.creates),
        pass_through=PassThrough(
            connection=connection, api=pass_through_api, databases=databases, exchanges=apps.exchanges
        ),
        apps=apps,
        pairings=pairings,
        approvals=Approvals(queue=queue, rate_limiter=rate_limiter, clock=clock),
        audit=audit,
        pending=pending,
        trays=trays,
        sessions=sessions,
        idle_check=IdleCheck(
            flow=connection.flow,
            queue=queue,
            sessions=sessions,
            credentials=credentials,
            background=background,
            pending=pending,
        ),
    )


def _daemon_resource(
    machine: Machine,
    profile: Profile,
    broker: Broker,
    *,
    counts: Counts,
    stop: asyncio.Event,
    description: Callable[[], bytes],
) -> DaemonResource:
    about = About(
        version=__version__,
        pid=os.getpid(),
        profile=profile.name,
        started_at=machine.clock.time(),
        log_file=str(profile.folders.log_file),
        console_url=profile.settings.console_url,
        auth_url=profile.settings.auth_url,
        api_url=profile.settings.api_url,
        started_by=machine.started_by,
    )
    return DaemonResource(
        about=about,
        connection=broker.connection,
        credentials=broker.credentials,
        ledger=machine.ledger,
        trays=broker.trays,
        listeners=machine.listeners,
        tls_hellos=lambda: counts.tls,
        stop=stop,
        description=description,
    )


def _describe(routes: list[Route], port: int) -> bytes:
    # Created on request, since few daemons are asked for it.
    from upstash_helper.api.server.openapi import describe

    return describe(routes, port=port)
