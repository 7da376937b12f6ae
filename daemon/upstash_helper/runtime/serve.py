"""
The daemon's process: one instance, two sockets, a log, signals, readiness, and a stop that finishes what was begun.

This module and what it imports at its top are light: a daemon that cannot start says so before HTTP is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.client import wake
from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import DiscoveryRefused
from upstash_helper.runtime import logs, port_wait, process
from upstash_helper.runtime.callback_port import Door, api_and_door, open_first
from upstash_helper.runtime.idle_exit import IdleExit
from upstash_helper.runtime.listeners import Listeners, PortBusy, open_listeners
from upstash_helper.runtime.process import AlreadyRunning, quick_imports, single
from upstash_helper.runtime.systemd import ActivationRefused, Passed, notify, started_by_manager
from upstash_helper.settings.profiles import secure_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits
    from upstash_helper.broker.ports import CredentialStore
    from upstash_helper.runtime.compose import Daemon, Machine
    from upstash_helper.settings.config import Profile, Settings

__all__ = ["AlreadyRunning", "PortBusy", "run_daemon", "serve"]

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 2.7
"""From the wish to stop until everything has been finished or is given up. A service manager waits longer than that."""
ANSWER_SECONDS: Final = 2.0
"""Of these, what requests under way have. What they began in the background has all of it."""
_LAST_SECONDS: Final = 0.1
_SPEAK_SECONDS: Final = 0.2
"""What a client has, before all that, that has connected just now and not yet sent its request."""
_LOOK_SECONDS: Final = 0.005

_WORKERS: Final = 8


def run_daemon(world: Profile, passed: Passed | None = None, *, wait: Callable[[str], None] | None = None) -> None:
    """
    Be the daemon of ``world`` until SIGTERM, SIGINT, a stop through the API, or nothing to do for ``idle_exit``.

    Args:
        world: The profile and its settings.
        passed: The sockets that a service manager has handed over, if one has.
        wait: Have the daemon wait while another program has the port, and be told so.

    Raises:
        ActivationRefused: If they are not what the settings say (a SettingsError).
        AlreadyRunning: If this profile's daemon runs.
        PortBusy: If another program has the port, and it is not waited for.
        FolderRefused: If the runtime folder cannot be trusted or made (a SettingsError).
    """
    folders, settings = world.folders, world.settings
    activated = bool(passed)
    with contextlib.ExitStack() as stack:
        secure_folder(folders.runtime)
        stack.enter_context(single(world))
        stack.enter_context(logs.logging_to(folders.log_file, level=settings.log_level))
        logger.info("starting", extra={"version": __version__, "profile": world.profile, "port": settings.port})
        process.raise_descriptor_limit()
        try:
            listeners = passed.listeners(settings.api_ports) if passed else _open(settings)
        except PortBusy as error:
            if wait is None:
                # Without a traceback: it is told above.
                logger.error("port_busy", extra={"detail": error.detail})  # noqa: TRY400
                raise
            listeners = port_wait.wait_for_port(
                settings, folders.runtime, functools.partial(_open, settings), error, say=wait
            )
        except ActivationRefused as error:
            logger.error("sockets_refused", extra={"detail": str(error)})  # noqa: TRY400
            raise
        stack.callback(listeners.close)
        with quick_imports():
            from aiohttp import web  # noqa: F401 - loaded here for all

            from upstash_helper.api.server import connections  # noqa: F401
            from upstash_helper.runtime import compose  # noqa: F401
        asyncio.run(_run(world, listeners, activated=activated))


async def serve(
    app: web.Application,
    listeners: Listeners,
    *,
    stop: asyncio.Event,
    limits: Limits | None = None,
    counts: Counts | None = None,
    announced: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    idle: IdleExit | None = None,
) -> None:
    """
    Serve ``app`` until ``stop`` is set, then finish what was begun, within ``STOP_SECONDS``.

    Args:
        app: Its ``on_shutdown`` ends event streams, its ``on_cleanup`` finishes what runs in the background.
        listeners: Are closed at the end.
        stop: Ends it.
        limits: What a connection may cost.
        counts: Where what happens to connections is counted, for whoever wants to know.
        announced: Is entered when requests are served, and left when they no longer are.
        idle: Sets ``stop`` when there has been nothing to do.
    """
    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits

    serving: list[Connections] = []

    async def finish_requests(_: web.Application) -> None:
        # After the hooks of the application, which end its streams: what is left has an end of its own.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.gather(*(connections.quiet() for connections in serving))

    app.on_shutdown.append(finish_requests)
    # A caller that leaves cancels its handler, or a stream that nobody reads would wait for an event to notice.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_LAST_SECONDS)
    try:
        await runner.setup()
        if runner.server is None:
            message = "aiohttp made no server"
            raise RuntimeError(message)
        serving.append(Connections(runner.server, limits or Limits(), counts or Counts()))
        if idle is not None:
            serving[0].watch = idle.connected
        await listeners.serve(serving[0])
        with announced():
            if idle is not None:
                idle.begin(listeners)
            await stop.wait()
    finally:
        await _let_speak(listeners, serving)
        await _finish(runner, listeners)


async def _let_speak(listeners: Listeners, serving: list[Connections]) -> None:
    """Let nobody in any more, and wait a moment for the requests of those who have just been let in."""
    await listeners.pause()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SPEAK_SECONDS):
            while not all(connections.all_spoken for connections in serving):  # noqa: ASYNC110 - no event is worth it
                await asyncio.sleep(_LOOK_SECONDS)


async def _finish(runner: web.AppRunner, listeners: Listeners) -> None:
    listeners.close()
    # In aiohttp's order: idle connections are closed, on_shutdown, the rest of the requests, on_cleanup.
    cleanup = asyncio.get_running_loop().create_task(runner.cleanup())
    await asyncio.wait({cleanup}, timeout=STOP_SECONDS)
    if not cleanup.done():
        logger.warning("stop_cut_short", extra={"seconds": STOP_SECONDS})
        cleanup.cancel()
        await asyncio.wait({cleanup}, timeout=_LAST_SECONDS)
    elif (error := cleanup.exception()) is not None:
        logger.error("stop_failed", extra={"error": type(error).__name__})


async def _run(world: Profile, listeners: Listeners, *, activated: bool) -> None:
    from upstash_helper.runtime.compose import compose

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(process.note_failure)
    executor = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="worker")
    loop.set_default_executor(executor)
    stop = asyncio.Event()
    door = _door(world.settings, listeners)

    def announced() -> AbstractContextManager[None]:
        return _announced(world, daemon, listeners.port, activated=activated)

    with process.stopping_on_signals(stop, lambda: _withdraw(world)):
        try:
            daemon = compose(_this_machine(world, listeners, door, activated=activated), world, stop=stop)
            idle = _idle_exit(world, daemon, stop, activated=activated)
            async with contextlib.AsyncExitStack() as stack:
                if door is not None and daemon.door is not None:
                    await stack.enter_async_context(door.answered_by(daemon.door, counts=daemon.counts))
                await serve(daemon.app, listeners, stop=stop, counts=daemon.counts, announced=announced, idle=idle)
        finally:
            process.end_threads(executor)


def _idle_exit(world: Profile, daemon: Daemon, stop: asyncio.Event, *, activated: bool) -> IdleExit | None:
    seconds = world.settings.idle_exit
    if seconds and not activated:
        # It would be gone, and nobody would start it again.
        logger.warning("idle_exit_without_activator", extra={"seconds": seconds})
    if not seconds or not activated:
        return None
    return IdleExit(seconds=seconds, keeps=daemon.rest.blocker, leave=stop.set)


@contextlib.contextmanager
def _announced(world: Profile, daemon: Daemon, port: int, *, activated: bool) -> Iterator[None]:
    """Let clients and the service manager know, first that the daemon serves and then that it no longer does."""
    from upstash_helper.api.resources.daemon import API_VERSION

    base_url = f"http://127.0.0.1:{port}"
    if activated:
        _leave_note(world, base_url)
    discovery.write(
        world.folders.runtime,
        discovery.Discovery(
            pid=os.getpid(),
            port=port,
            base_url=base_url,
            owner_token=daemon.tokens.owner_token.reveal(),
            version=__version__,
            api_version=API_VERSION,
        ),
    )
    try:
        notify("READY=1", f"STATUS=Serving on {base_url}")
        logger.info("ready", extra={"pid": os.getpid(), "base_url": base_url})
        yield
        logger.info("stopping")
        notify("STOPPING=1", "STATUS=Finishing what was begun")
    finally:
        _withdraw(world)


def _leave_note(world: Profile, base_url: str) -> None:
    """Let clients know where they can have the daemon started, when it is not there."""
    try:
        wake.leave_note(world.folders.state, base_url)
    except OSError as error:
        # Pages and apps that know the port start it all the same.
        logger.warning("note_not_left", extra={"error": type(error).__name__})


def _withdraw(world: Profile) -> None:
    """Remove the discovery file, if it is this process's."""
    with contextlib.suppress(DiscoveryRefused, OSError):
        announced = discovery.read(world.folders.runtime)
        if announced is not None and announced.pid == os.getpid():
            discovery.remove(world.folders.runtime)


def _open(settings: Settings) -> Listeners:
    return open_listeners(settings.port) if settings.port_policy == "always" else open_first(settings.api_ports)


def _door(settings: Settings, listeners: Listeners) -> Door | None:
    if settings.port_policy == "always":
        return None
    if listeners.port == settings.port:
        # Whoever opened the sockets for this process has it always, and so it is.
        logger.warning("port_not_on_demand", extra={"port": listeners.port})
        return None
    return Door(settings.port)


def _this_machine(world: Profile, listeners: Listeners, door: Door | None, *, activated: bool) -> Machine:
    from upstash_helper.runtime.compose import Machine
    from upstash_helper.storage.ledger.sqlite import SqliteLedger
    from upstash_helper.system.clock_and_browser import SilentNotifier, SystemBrowser, SystemClock
    from upstash_helper.system.notifications import DesktopNotifier
    from upstash_helper.system.peers import SystemPeers

    return Machine(
        clock=SystemClock(),
        browser=SystemBrowser(),
        store=_store(world),
        ledger=SqliteLedger(world.folders.ledger_file),
        peers=SystemPeers(),
        notifier=DesktopNotifier() if world.settings.notifications else SilentNotifier(),
        port=listeners.port,
        callback=listeners if door is None else door,
        listeners=listeners.snapshot if door is None else functools.partial(api_and_door, listeners, door),
        started_by="socket" if activated else "service" if started_by_manager() else "user",
    )


def _store(world: Profile) -> CredentialStore:
    match world.settings.credential_store:
        case "keyring":
            from upstash_helper.storage.credentials.keyring_store import KeyringStore

            return KeyringStore("upstash-helper", world.credential_name)
        case "file":
            from upstash_helper.storage.credentials.file_store import FileStore

            logger.warning("credential_in_clear", extra={"file": str(world.credential_file)})
            return FileStore(world.credential_file)
        case "memory":
            from upstash_helper.storage.credentials.file_store import MemoryStore

            return MemoryStore()
