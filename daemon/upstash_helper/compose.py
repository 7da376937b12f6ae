"""
The composition root: the one module that names concrete classes.

What the machine owns comes in as ``Machine``, so a test builds this same daemon on a machine of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.api.app import create_app
from upstash_helper.api.caller import Tokens
from upstash_helper.api.connection import ConnectionResource
from upstash_helper.api.daemon import About, DaemonResource
from upstash_helper.api.databases import DatabasesResource
from upstash_helper.api.events import EventsResource
from upstash_helper.api.guard import Surface
from upstash_helper.api.pages import PagesResource
from upstash_helper.broker.background import Background
from upstash_helper.broker.connection import Connection
from upstash_helper.broker.console_key import ConsoleKey
from upstash_helper.broker.create import CreateDatabase
from upstash_helper.broker.databases import Databases
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.idempotency import IdempotencyRecords
from upstash_helper.broker.sign_in import SignIn
from upstash_helper.broker.vault import Vault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp import web

    from upstash_helper.api.routes import Route
    from upstash_helper.broker.ports import Browser, CallbackAddress, Clock, CredentialStore
    from upstash_helper.client import wire
    from upstash_helper.settings import Settings, World


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the machine that the daemon runs on owns."""

    clock: Clock
    browser: Browser
    store: CredentialStore
    callback: CallbackAddress
    listeners: Callable[[], tuple[wire.Listener, ...]]


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A daemon that is put together and not yet listening."""

    app: web.Application
    tokens: Tokens
    routes: tuple[Route, ...]
    background: Background
    """What goes on when whoever asked for it has gone."""


# More than a stop takes: the process decides when it has waited long enough.
DRAIN_SECONDS: Final = 10.0


def compose(machine: Machine, world: World, *, stop: asyncio.Event) -> Daemon:
    """
    Return the daemon of ``world`` on ``machine``. Nothing is opened before it is needed.

    Args:
        machine: What the machine owns.
        world: The profile and its settings.
        stop: Is set when the daemon is asked to stop through its API.
    """
    from upstash_helper.upstream.developer_api import DeveloperApi
    from upstash_helper.upstream.http import Upstream
    from upstash_helper.upstream.keys import Keys
    from upstash_helper.upstream.oauth import OAuth

    settings = world.settings
    clock = machine.clock
    http = Upstream(clock=clock)
    api = DeveloperApi(http=http, api_url=settings.api_url, rest_url=settings.rest_url)
    server = (
        None
        if settings.client_id is None
        else OAuth(
            http=http, auth_url=settings.auth_url, client_id=settings.client_id, redirect_uri=settings.redirect_uri
        )
    )

    events, background = EventBus(), Background()
    vault = Vault(store=machine.store, clock=clock)
    sign_in = SignIn(
        server=server,
        keys=Keys(http=http, api_url=settings.api_url),
        api=api,
        vault=vault,
        background=background,
        clock=clock,
    )
    connection = Connection(
        vault=vault,
        server=server,
        sign_in=sign_in,
        callback=machine.callback,
        browser=machine.browser,
        events=events,
        background=background,
        clock=clock,
    )
    console_key = ConsoleKey(connection=connection, vault=vault, api=api, background=background, clock=clock)
    databases = Databases(connection=connection, api=api, events=events, background=background, clock=clock)
    create = CreateDatabase(
        connection=connection,
        databases=databases,
        api=api,
        records=IdempotencyRecords(clock=clock),
        events=events,
        background=background,
    )

    about = About(
        version=__version__,
        pid=os.getpid(),
        profile=world.profile,
        started_at=clock.time(),
        log_file=str(world.folders.log_file),
    )
    resources = (
        DaemonResource(
            about=about,
            connection=connection,
            vault=vault,
            listeners=machine.listeners,
            stop=stop,
            description=lambda: _describe(routes, settings),
        ),
        PagesResource(connection=connection),
        ConnectionResource(
            connection=connection, console_key=console_key, vault=vault, open_browser=settings.open_browser
        ),
        DatabasesResource(databases=databases, create=create),
        EventsResource(events=events),
    )
    routes = [route for resource in resources for route in resource.routes()]

    tokens = Tokens()
    app = create_app(routes, surface=Surface(port=settings.port), tokens=tokens)

    async def end_streams(_: web.Application) -> None:
        events.close()

    async def finish_writes(_: web.Application) -> None:
        await background.drain(DRAIN_SECONDS)
        await http.close()

    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(finish_writes)
    return Daemon(app=app, tokens=tokens, routes=tuple(routes), background=background)


def _describe(routes: list[Route], settings: Settings) -> bytes:
    # Asked for by developers, and not by every daemon that starts: the schemas are made then.
    from upstash_helper.api.openapi import describe

    return describe(routes, port=settings.port)
