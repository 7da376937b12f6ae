"""
The composition root: with ``agents``, the only module that names the concrete classes of all layers.

What belongs to the machine is passed in as ``Machine``, so that tests can compose the same daemon with other parts.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.api.app import create_app
from upstash_helper.api.guard.audit import RequestAudit
from upstash_helper.api.guard.middleware import Guard
from upstash_helper.api.guard.policy import ServerAddress
from upstash_helper.api.guard.tokens import Tokens
from upstash_helper.api.mcp.resource import McpResource
from upstash_helper.api.oauth.resource import OAuthResource
from upstash_helper.api.pages.callback import NoCallers, SignInPagesResource, create_callback_app
from upstash_helper.api.pages.links import LinksResource
from upstash_helper.api.pages.pages_address import PagesAddress
from upstash_helper.api.pages.static import BridgeResource, FilesResource
from upstash_helper.api.resources.apps import AppsResource
from upstash_helper.api.resources.confirmations import ConfirmationsResource
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
from upstash_helper.broker.account.grant_sign_in import GrantSignIn
from upstash_helper.broker.account.grants import Grants
from upstash_helper.broker.account.sign_in import KeySignIn
from upstash_helper.broker.apps.approvals import Approvals
from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
from upstash_helper.broker.apps.one_time_links import LinkedBrowser, OneTimeLinks
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
from upstash_helper.settings.profiles import DEFAULT_PROFILE
from upstash_helper.system.network_stack import has_wsl_kernel
from upstash_helper.system.public_suffixes import ListedSuffixes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from upstash_helper.api.guard.policy import LazyCallers
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.api.server.routes import Route
    from upstash_helper.broker.account.sign_in import SignIn
    from upstash_helper.broker.confirmations import Confirmations
    from upstash_helper.broker.env_files import WriteEnvFile
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.ports import (
        AuthorizationServer,
        Browser,
        CallbackAddress,
        Clock,
        CredentialStore,
        GrantServer,
        Notifier,
        Peers,
        Registrations,
        Tombstones,
    )
    from upstash_helper.protocol import literals, wire
    from upstash_helper.runtime.agents import Agents
    from upstash_helper.runtime.network import NetworkReader
    from upstash_helper.runtime.numeric_address import NumericAddress
    from upstash_helper.settings.config import Profile, Settings
    from upstash_helper.upstream.http_client import HttpClient
    from upstash_helper.upstream.sandbox import SandboxCheck


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
    registrations: Registrations
    client_name: str
    """The name to register as an OAuth client; the Upstash console lists it."""
    started_by: literals.StartedBy = "user"
    tombstones: Tombstones = field(default_factory=NoTombstones)
    arguments_are_public: bool = sys.platform not in {"darwin", "win32"}
    """
    Whether other users can read the arguments of a process, such as the browser's. On Windows they need the right to
    open the process, which only its user and administrators have. On macOS, the browser does not get an address as an
    argument (see ``system.browser``).
    """
    in_wsl: bool = field(default_factory=has_wsl_kernel)
    """
    Whether the user's browser is usually one of Windows, outside of this system: it reaches no loopback address but
    127.0.0.1, and in WSL's mirrored mode, its connections have no user here.
    """


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A composed daemon that is not listening yet."""

    app: web.Application
    callback_app: web.Application | None
    """The application of the callback port, if it is not the API's port."""
    tokens: Tokens
    routes: tuple[Route, ...]
    pages_origin: Callable[[], str]
    """Returns the origin of the owner's pages, which is new at every start, and after ``rename_pages``."""
    rename_pages: Callable[[], None]
    """To be called when another program may have received requests to that origin."""
    counts: Counts
    """The counts of connections, updated by the server."""
    background: Background
    """The tasks that continue after their client has disconnected."""
    idle_check: IdleCheck
    """Knows what would be lost if the daemon exited."""
    events: EventBus
    """Knows how many event streams are open."""
    connection: Connection
    """The connection to an account."""
    tools: Callable[[], tuple[Tool, ...]]
    """Returns the tools of ``/mcp``, which are created when the first agent connects."""
    apps: AppRegistry
    """The apps with access."""
    confirmations: Callable[[], Confirmations]
    """Returns what asks the user for apps; created by the first call."""
    write_env_file: Callable[[], WriteEnvFile]
    """Returns what writes variables to files of the user; created by the first call."""


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
    notifier: Notifier
    audit: Audit
    pending: PendingWrites
    trays: Trays
    sessions: DashboardSessions
    links: OneTimeLinks
    sites: Sites
    idle_check: IdleCheck


def compose(machine: Machine, profile: Profile, *, stop: asyncio.Event) -> Daemon:
    """
    Return the daemon of ``profile`` on ``machine``. Nothing is opened before it is needed.

    Args:
        machine: The parts that belong to the machine.
        profile: The profile and its settings.
        stop: Set when a client requests through the API that the daemon stop.
    """
    from upstash_helper.system.trust import tls_context
    from upstash_helper.upstream.http_client import HttpClient

    settings, counts = profile.settings, Counts()
    # What the user has set counts for both. Where nothing is set, so does the environment, as for curl.
    tls = functools.partial(tls_context, settings.certificates)
    http = HttpClient(clock=machine.clock, tls=tls, proxies=settings.proxies)
    # Passed-through requests have their own connections, and each app its own circuit breaker, so that responses that
    # an app reads slowly, and failures that it provokes, do not affect other apps or the daemon's own requests.
    apps_http = HttpClient(clock=machine.clock, tls=tls, proxies=settings.proxies, breaker="caller")
    sandbox = _sandbox_check(settings, machine.clock)
    broker = _broker(machine, settings, http=http, apps_http=apps_http, counts=counts, sandbox=sandbox)
    agents = functools.cache(functools.partial(_agents, machine, settings, broker, apps_http, sandbox))
    tokens = Tokens(broker.apps, broker.sessions)
    guard = _guard(machine, broker, ServerAddress(port=machine.port, pages_name=new_name()), tokens)
    machine.numeric.on_change = guard.serve_pages_at
    address = PagesAddress(
        origin=guard.pages_origin,
        numeric=machine.numeric,
        listeners=machine.listeners,
        sessions=broker.sessions,
        links=broker.links,
        can_link=lambda: not machine.arguments_are_public or machine.peers.identifies_users(),
        reaches_numbers=not machine.in_wsl,
    )
    broker.links.origin = address.of_links

    mcp = McpResource(lambda: agents().endpoint)
    dashboard = DashboardResource(
        sessions=broker.sessions,
        links=broker.links,
        address=address,
        flow=broker.connection.flow,
        browser=LinkedBrowser(machine.browser, broker.links) if settings.open_browser else None,
        sites=broker.sites,
        clock=machine.clock,
    )
    resources = (
        _daemon_resource(
            machine,
            profile,
            broker,
            sandbox=sandbox,
            counts=counts,
            stop=stop,
            description=lambda: _describe(routes, machine.port),
        ),
        SignInPagesResource(
            connection=broker.connection,
            pages_origin=guard.pages_origin,
            redirect_path="/callback" if settings.flow == "open" else "/",
            is_sandbox=functools.partial(_is_sandbox, sandbox),
        ),
        FilesResource(),
        ProofResource(tokens=tokens, pairings=broker.pairings, listeners=machine.listeners),
        LinksResource(
            links=broker.links,
            peers=machine.peers,
            # The guard has refused other users of this Linux. An unknown one is a program of Windows.
            checks_user=machine.arguments_are_public and not machine.in_wsl,
        ),
        BridgeResource(pages_origin=guard.pages_origin),
        ConnectionResource(
            connection=broker.connection,
            api_key_sign_in=broker.api_key_sign_in,
            credentials=broker.credentials,
            links=broker.links,
            open_browser=settings.open_browser,
            redirects=_redirects(machine, settings),
        ),
        DatabasesResource(databases=broker.databases, create=broker.create, credentials=broker.read_credentials),
        ConfirmationsResource(confirmations=lambda: agents().confirmations),
        PairingsResource(pairings=broker.pairings, approvals=broker.approvals, peers=machine.peers),
        dashboard,
        OAuthResource(
            server=lambda: agents().authorization,
            pairings=broker.pairings,
            peers=machine.peers,
            hosts=ServerAddress(port=machine.port).shared_hosts,
            open_dashboard=dashboard.open_for,
            can_open=settings.open_browser,
            list_command=_command_line(profile, "approvals", "list"),
        ),
        AppsResource(apps=broker.apps, audit=broker.audit),
        PassThroughResource(pass_through=broker.pass_through),
        EventsResource(events=broker.events, pairings=broker.pairings, trays=broker.trays, clock=machine.clock),
        mcp,
    )
    routes = [route for resource in resources for route in resource.routes()]

    app = create_app(routes, guard=guard)
    callback_app = None
    if settings.port_policy == "on-demand":
        callback_guard = _guard(machine, broker, ServerAddress(port=settings.port, has_api=False), NoCallers())
        callback_app = create_callback_app(broker.connection, pages_origin=guard.pages_origin, guard=callback_guard)

    async def end_streams(_: web.Application) -> None:
        broker.connection.flow.close()
        await machine.callback.release()
        machine.numeric.close()
        mcp.close()
        broker.events.close()

    async def finish_writes(_: web.Application) -> None:
        await broker.background.drain(DRAIN_SECONDS)
        await http.close()
        await apps_http.close()
        if sandbox is not None:
            await sandbox.close()
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
        pages_origin=guard.pages_origin,
        rename_pages=guard.rename_pages,
        counts=counts,
        background=broker.background,
        idle_check=broker.idle_check,
        events=broker.events,
        connection=broker.connection,
        tools=lambda: agents().tools,
        apps=broker.apps,
        confirmations=lambda: agents().confirmations,
        write_env_file=lambda: agents().write_env_file,
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


def _broker(
    machine: Machine,
    settings: Settings,
    *,
    http: HttpClient,
    apps_http: HttpClient,
    counts: Counts,
    sandbox: SandboxCheck | None,
) -> Broker:
    from upstash_helper.upstream.api_keys import ApiKeyIssuer
    from upstash_helper.upstream.developer_api import DeveloperApi
    from upstash_helper.upstream.pass_through import DeveloperApiPassThrough

    clock, ledger, trays = machine.clock, machine.ledger, Trays()
    events, background, sessions = EventBus(), Background(), DashboardSessions(clock=machine.clock)
    sessions.on_end = events.end_session
    links = OneTimeLinks(clock=clock)
    sites = Sites(suffixes=ListedSuffixes())
    api = DeveloperApi(http=http, api_url=settings.api_url, rest_url=settings.rest_url)
    credentials = CredentialCache(store=machine.store, clock=clock, tombstones=machine.tombstones)
    keys = ApiKeyIssuer(http=http, api_url=settings.api_url)
    pending = PendingWrites(ledger=ledger, tombstones=machine.tombstones, background=background, clock=clock)
    audit = Audit(records=ledger.audit, pending=pending, clock=clock)
    apps = AppRegistry(
        records=ledger.apps, audit=audit, pending=pending, events=events, background=background, clock=clock
    )
    notifier = TrayAwareNotifier(machine.notifier, trays)
    turn = asyncio.Lock()
    open_server = _open_sign_in(machine, settings, http)
    # Also with another sign-in configured: an account may still be connected by a grant.
    grants = Grants(server=open_server, credentials=credentials, turn=turn, background=background, clock=clock)
    server: AuthorizationServer | None = open_server if settings.flow == "open" else _partner_sign_in(settings, http)
    sign_in: SignIn = (
        GrantSignIn(server=open_server, credentials=credentials, grants=grants, background=background, clock=clock)
        if settings.flow == "open"
        else KeySignIn(server=server, keys=keys, api=api, credentials=credentials, background=background, clock=clock)
    )
    connection = Connection(
        credentials=credentials,
        server=server,
        sign_in=sign_in,
        grants=grants,
        turn=turn,
        callback=machine.callback,
        check=api.list,
        tls_hellos=lambda: counts.tls,
        browser=LinkedBrowser(machine.browser, links),
        notifier=notifier,
        has_access=apps.has_access,
        sites=sites,
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
    apps.on_access_end.append(connection.flow.access_ended)
    rate_limiter = PairingRateLimiter(clock=clock)
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
        is_running=machine.peers.is_running,
        is_automatic=_is_automatic(settings, sandbox),
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
            connection=connection,
            credentials=credentials,
            grants=grants,
            api=api,
            background=background,
            clock=clock,
        ),
        databases=databases,
        create=create,
        read_credentials=ReadCredentials(
            connection=connection, databases=databases, journal=ledger.creates, exchanges=apps.exchanges
        ),
        pass_through=PassThrough(
            connection=connection, api=pass_through_api, databases=databases, exchanges=apps.exchanges
        ),
        apps=apps,
        pairings=pairings,
        approvals=Approvals(queue=queue, rate_limiter=rate_limiter, clock=clock),
        notifier=notifier,
        audit=audit,
        pending=pending,
        trays=trays,
        sessions=sessions,
        links=links,
        sites=sites,
        idle_check=IdleCheck(
            flow=connection.flow,
            queue=queue,
            sessions=sessions,
            links=links,
            credentials=credentials,
            background=background,
            pending=pending,
        ),
    )


def _agents(
    machine: Machine, settings: Settings, broker: Broker, apps_http: HttpClient, sandbox: SandboxCheck | None
) -> Agents:
    # Imported late: most daemons never see an agent.
    from upstash_helper.runtime.agents import Agents

    return Agents(
        port=machine.port,
        api_url=settings.api_url,
        http=apps_http,
        ledger=machine.ledger,
        connection=broker.connection,
        databases=broker.databases,
        create=broker.create,
        read_credentials=broker.read_credentials,
        apps=broker.apps,
        pairings=broker.pairings,
        audit=broker.audit,
        events=broker.events,
        notifier=broker.notifier,
        pending=broker.pending,
        background=broker.background,
        clock=machine.clock,
        is_confirmed=_is_automatic(settings, sandbox) if settings.auto_confirm else None,
    )


def _is_automatic(settings: Settings, sandbox: SandboxCheck | None) -> Callable[[], Awaitable[bool]] | None:
    """Return what checks whether access requests are approved automatically. None: they never are."""
    # Checked each time, since another program may have taken the sandbox's port in the meantime.
    return sandbox.answers_now if settings.auto_approve and sandbox is not None else None


def _open_sign_in(machine: Machine, settings: Settings, http: HttpClient) -> GrantServer:
    from upstash_helper.upstream.open_sign_in import OpenSignIn

    return OpenSignIn(
        http=http,
        issuer_url=settings.issuer_url,
        api_url=settings.api_url,
        redirect_uri=f"http://127.0.0.1:{machine.port}/callback",
        client_name=machine.client_name,
        registrations=machine.registrations,
        clock=machine.clock,
    )


def _partner_sign_in(settings: Settings, http: HttpClient) -> AuthorizationServer | None:
    from upstash_helper.upstream.oauth import OAuth

    if settings.flow != "partner" or settings.client_id is None:
        return None
    return OAuth(
        http=http, auth_url=settings.auth_url, client_id=settings.client_id, redirect_uri=settings.redirect_uri
    )


def _sandbox_check(settings: Settings, clock: Clock) -> SandboxCheck | None:
    """Return the check of whether the upstream is a sandbox. None: it cannot be one, since the URLs are not local."""
    if not settings.may_use_sandbox:
        return None
    from upstash_helper.upstream.sandbox import SandboxCheck

    return SandboxCheck(urls=settings.upstream_urls, clock=clock)


def _command_line(profile: Profile, *arguments: str) -> str:
    """Return a command line for the user. The name of a profile needs no quotes."""
    options = () if profile.name == DEFAULT_PROFILE else ("--profile", profile.name)
    return " ".join(("upstash-helper", *options, *arguments))


async def _is_sandbox(sandbox: SandboxCheck | None) -> bool:
    return sandbox is not None and await sandbox.is_sandbox()


async def _upstream(settings: Settings, sandbox: SandboxCheck | None) -> literals.Upstream:
    if settings.uses_upstash:
        return "upstash"
    return "sandbox" if await _is_sandbox(sandbox) else "custom"


def _daemon_resource(
    machine: Machine,
    profile: Profile,
    broker: Broker,
    *,
    sandbox: SandboxCheck | None,
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
        open_browser=profile.settings.open_browser,
        auto_approve=profile.settings.auto_approve,
        upstream=functools.partial(_upstream, profile.settings, sandbox),
        network=_network_of(profile.settings),
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


def _network_of(settings: Settings) -> Callable[[], Awaitable[wire.Network | None]]:
    @functools.cache
    def reader() -> NetworkReader:
        # Only the owner's status needs it.
        from upstash_helper.runtime.network import NetworkReader

        return NetworkReader(settings, os.environ)

    return lambda: reader().read()


def _redirects(machine: Machine, settings: Settings) -> tuple[str, ...]:
    """Return where a redirect may arrive, without the scheme; the first one is shown to users."""
    if settings.flow == "open":
        return tuple(f"{host}/callback" for host in reversed(ServerAddress(port=machine.port).shared_hosts))
    return tuple(f"{host}/" for host in ServerAddress(port=settings.port).shared_hosts)


def _describe(routes: list[Route], port: int) -> bytes:
    # Created on request, since few daemons are asked for it.
    from upstash_helper.api.server.openapi import describe

    return describe(routes, port=port)
