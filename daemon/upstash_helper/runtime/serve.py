"""
Runs the daemon: acquires the lock, opens the log and the sockets, announces readiness, and shuts down cleanly.

The imports at the top are cheap, so that a daemon that cannot start reports that before aiohttp is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.errors import DiscoveryRefused
from upstash_helper.runtime import logs, port_wait, process
from upstash_helper.runtime.callback_port import CallbackPort, all_listeners
from upstash_helper.runtime.idle_exit import IdleExit
from upstash_helper.runtime.listeners import Listeners, PortBusy, open_first_free, open_listeners
from upstash_helper.runtime.process import AlreadyRunning, quick_imports, single_instance
from upstash_helper.runtime.systemd import ActivationRefused, PassedSockets, notify, started_by_manager
from upstash_helper.settings.profiles import FolderRefused, secure_folder
from upstash_helper.system.network_stack import network_stack
from upstash_helper.system.signals import set_on_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits
    from upstash_helper.broker.ports import CredentialStore, Peers
    from upstash_helper.runtime.compose import Daemon, Machine
    from upstash_helper.settings.config import Profile, Settings

__all__ = ["AlreadyRunning", "PortBusy", "run_daemon", "serve"]

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 2.7
"""The maximum duration of a shutdown. Service managers wait longer before they kill the process."""
ANSWER_SECONDS: Final = 2.0
"""The part of it that pending requests may take. Their background tasks may take all of it."""
_LAST_SECONDS: Final = 0.1
_FIRST_REQUEST_SECONDS: Final = 0.2
"""Before that, how long a client that has just connected may take to send its request."""
_POLL_SECONDS: Final = 0.005

_WORKER_THREADS: Final = 8


def run_daemon(
    profile: Profile, passed: PassedSockets | None = None, *, on_port_wait: Callable[[str], None] | None = None
) -> None:
    """
    Run the daemon of ``profile`` until SIGTERM, SIGINT, a stop through the API, or ``idle_exit`` seconds without work.

    Args:
        profile: The profile and its settings.
        passed: The sockets that a service manager passed, if any.
        on_port_wait: If given, the daemon waits while another program has the port, and calls this with the reason.

    Raises:
        ActivationRefused: If the passed sockets do not match the settings (a SettingsError).
        AlreadyRunning: If this profile's daemon is already running.
        PortBusy: If another program has the port, and ``on_port_wait`` is None.
        FolderRefused: If the runtime folder cannot be created or trusted (a SettingsError).
        SettingsError: If ``auto_approve`` is set, and the upstream is not a sandbox.
    """
    folders, settings = profile.folders, profile.settings
    activated = bool(passed)
    profile.require_no_real_credential()
    with contextlib.ExitStack() as stack:
        _secure(folders.runtimes)
        stack.enter_context(single_instance(profile))
        stack.enter_context(logs.log_to(folders.log_file, level=settings.log_level))
        logger.info("starting", extra={"version": __version__, "profile": profile.name, "port": settings.port})
        descriptors = process.raise_descriptor_limit()
        try:
            listeners = passed.listeners(settings.api_ports) if passed else _open(settings)
        except PortBusy as error:
            if on_port_wait is None:
                # Without a traceback: the caller reports it.
                logger.error("port_busy", extra={"detail": error.detail})  # noqa: TRY400
                raise
            listeners = port_wait.wait_for_port(
                settings, folders.runtimes, functools.partial(_open, settings), error, report=on_port_wait
            )
        except ActivationRefused as error:
            logger.error("sockets_refused", extra={"detail": str(error)})  # noqa: TRY400
            raise
        stack.callback(listeners.close)
        with quick_imports():
            from aiohttp import web  # noqa: F401 - loaded here for all modules

            from upstash_helper.api.server import connections  # noqa: F401
            from upstash_helper.runtime import compose  # noqa: F401
        asyncio.run(_run(profile, listeners, activated=activated, descriptors=descriptors))


async def serve(
    app: web.Application,
    listeners: Listeners,
    *,
    stop: asyncio.Event,
    limits: Limits | None = None,
    counts: Counts | None = None,
    announced: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    idle: IdleExit | None = None,
    peers: Peers | None = None,
) -> None:
    """
    Serve ``app`` until ``stop`` is set, then complete pending work within ``STOP_SECONDS``.

    Args:
        app: The application. Its ``on_shutdown`` ends event streams, and its ``on_cleanup`` completes background tasks.
        listeners: The listeners, which are closed at the end.
        stop: The event that ends it.
        limits: The limits of connections.
        counts: The counts of connections to update.
        announced: Entered once requests are served, and left once they no longer are.
        idle: Sets ``stop`` after a time without work.
        peers: Identifies connections of other users. By default, the operating system does.
    """
    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits
    from upstash_helper.system.peers import SystemPeers

    serving: list[Connections] = []

    async def finish_requests(_: web.Application) -> None:
        # Runs after the application's own hooks, which end its streams. The remaining requests end on their own.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.gather(*(connections.wait_idle() for connections in serving))

    app.on_shutdown.append(finish_requests)
    # Cancels the handler of a disconnected client. Otherwise its event stream would stay open until the next event.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_LAST_SECONDS)
    try:
        await runner.setup()
        if runner.server is None:
            message = "aiohttp created no server"
            raise RuntimeError(message)
        serving.append(
            Connections(
                runner.server,
                limits or Limits(),
                counts or Counts(),
                is_other_user=(peers or SystemPeers()).is_other_user,
            )
        )
        if idle is not None:
            serving[0].on_change = idle.connections_changed
        await listeners.serve(serving[0])
        with announced():
            if idle is not None:
                idle.begin(listeners)
            await stop.wait()
    finally:
        await _stop_accepting(listeners, serving)
        for connections in serving:
            connections.close_silent()
        await _clean_up(runner, listeners)


async def _stop_accepting(listeners: Listeners, serving: list[Connections]) -> None:
    """Accept no more connections, and wait briefly for the requests of those that have just been accepted."""
    await listeners.pause()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_REQUEST_SECONDS):
            while not all(connections.all_received for connections in serving):  # noqa: ASYNC110 - rare and short
                await asyncio.sleep(_POLL_SECONDS)


async def _clean_up(runner: web.AppRunner, listeners: Listeners) -> None:
    listeners.close()
    # aiohttp's order: closes idle connections, calls on_shutdown, ends the remaining requests, calls on_cleanup.
    cleanup = asyncio.get_running_loop().create_task(runner.cleanup())
    await asyncio.wait({cleanup}, timeout=STOP_SECONDS)
    if not cleanup.done():
        logger.warning("stop_timed_out", extra={"seconds": STOP_SECONDS})
        cleanup.cancel()
        await asyncio.wait({cleanup}, timeout=_LAST_SECONDS)
    elif (error := cleanup.exception()) is not None:
        logger.error("stop_failed", extra={"error": type(error).__name__})


async def _run(profile: Profile, listeners: Listeners, *, activated: bool, descriptors: int) -> None:
    from upstash_helper.api.server.connections import Limits
    from upstash_helper.runtime.compose import compose

    if profile.settings.auto_approve:
        from upstash_helper.runtime.auto_approve import require_sandbox

        await require_sandbox(profile)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(process.log_loop_failure)
    executor = ThreadPoolExecutor(max_workers=_WORKER_THREADS, thread_name_prefix="worker")
    loop.set_default_executor(executor)
    stop = asyncio.Event()
    callback_port = _callback_port(profile.settings, listeners)

    @contextlib.contextmanager
    def announced() -> Iterator[None]:
        with _announced(profile, daemon, listeners.port, activated=activated):
            marker = profile.folders.welcome_file
            if profile.settings.notifications and not marker.exists():
                # Imported late: only the first start of a profile needs it.
                from upstash_helper.runtime.welcome import welcome

                daemon.background.start(welcome(daemon.connection, machine.notifier, marker=marker))
            yield

    with set_on_signal(stop, before_exit=lambda: _remove_discovery(profile)):
        try:
            machine = _this_machine(profile, listeners, callback_port, activated=activated)
            daemon = compose(machine, profile, stop=stop)
            listeners.on_recovered = daemon.rename_pages
            idle = _idle_exit(profile, daemon, stop, activated=activated)
            async with contextlib.AsyncExitStack() as stack:
                if callback_port is not None and daemon.callback_app is not None:
                    await stack.enter_async_context(callback_port.served_by(daemon.callback_app, counts=daemon.counts))
                limits = Limits().within(descriptors)
                await serve(
                    daemon.app,
                    listeners,
                    stop=stop,
                    limits=limits,
                    counts=daemon.counts,
                    announced=announced,
                    idle=idle,
                )
        finally:
            process.end_threads(executor)


def _idle_exit(profile: Profile, daemon: Daemon, stop: asyncio.Event, *, activated: bool) -> IdleExit | None:
    seconds = profile.settings.idle_exit
    if seconds and not activated:
        # Nothing would start it again.
        logger.warning("idle_exit_without_activator", extra={"seconds": seconds})
    if not seconds or not activated:
        return None
    return IdleExit(seconds=seconds, busy_reason=daemon.idle_check.blocker, leave=stop.set)


@contextlib.contextmanager
def _announced(profile: Profile, daemon: Daemon, port: int, *, activated: bool) -> Iterator[None]:
    """Tell clients and the service manager that the daemon is serving, and on leaving that it no longer is."""
    from upstash_helper.api.resources.daemon import API_VERSION

    base_url = f"http://127.0.0.1:{port}"
    if activated:
        _write_wake_note(profile, base_url)
    discovery.write_all(
        profile.folders.runtimes,
        discovery.Discovery(
            pid=os.getpid(),
            port=port,
            base_url=base_url,
            owner_token=daemon.tokens.owner_token.reveal(),
            version=__version__,
            api_version=API_VERSION,
            network=network_stack(),
            proves=True,
            may_use_sandbox=profile.settings.may_use_sandbox,
        ),
    )
    try:
        notify("READY=1", f"STATUS=Serving on {base_url}")
        logger.info("ready", extra={"pid": os.getpid(), "base_url": base_url})
        yield
        logger.info("stopping")
        notify("STOPPING=1", "STATUS=Completing pending work")
    finally:
        _remove_discovery(profile)


def _write_wake_note(profile: Profile, base_url: str) -> None:
    try:
        wake_note.write(profile.folders.state, base_url)
    except OSError as error:
        # Pages and apps that know the port can start the daemon without the note.
        logger.warning("wake_note_not_written", extra={"error": type(error).__name__})


def _remove_discovery(profile: Profile) -> None:
    """Remove the discovery file if it belongs to this process."""
    for runtime in profile.folders.runtimes:
        with contextlib.suppress(DiscoveryRefused, OSError):
            announced = discovery.read(runtime)
            if announced is not None and announced.pid == os.getpid():
                discovery.remove(runtime)


def _secure(runtimes: Iterable[Path]) -> None:
    """
    Create the runtime folders, and close them to other users.

    Raises:
        FolderRefused: If one cannot be trusted, or none can be created.
    """
    failures: list[FolderRefused] = []
    created = 0
    for runtime in runtimes:
        try:
            secure_folder(runtime)
            created += 1
        except FolderRefused as error:
            if not isinstance(error.__cause__, OSError):
                raise
            failures.append(error)  # a full or read-only disk
    if not created:
        raise failures[0]


def _open(settings: Settings) -> Listeners:
    return open_listeners(settings.port) if settings.port_policy == "always" else open_first_free(settings.api_ports)


def _callback_port(settings: Settings, listeners: Listeners) -> CallbackPort | None:
    if settings.port_policy == "always":
        return None
    if listeners.port == settings.port:
        # The service manager has opened the callback port for the API, so it is open all the time.
        logger.warning("port_not_on_demand", extra={"port": listeners.port})
        return None
    return CallbackPort(settings.port)


def _this_machine(
    profile: Profile, listeners: Listeners, callback_port: CallbackPort | None, *, activated: bool
) -> Machine:
    from upstash_helper.broker.pending_writes import NoTombstones
    from upstash_helper.runtime.compose import Machine
    from upstash_helper.runtime.numeric_address import NumericAddress
    from upstash_helper.storage.ledger.sqlite import SqliteLedger
    from upstash_helper.storage.registrations import RegistrationFile
    from upstash_helper.storage.tombstones import TombstoneFile
    from upstash_helper.system.clock import SystemClock
    from upstash_helper.system.default_browser import SystemBrowser
    from upstash_helper.system.notifications import DesktopNotifier, SilentNotifier
    from upstash_helper.system.peers import SystemPeers

    clock, folders = SystemClock(), profile.folders
    return Machine(
        clock=clock,
        browser=SystemBrowser(folders.runtime),
        store=_store(profile),
        ledger=SqliteLedger(profile.ledger_file, monotonic=clock.monotonic, wall=clock.time),
        peers=SystemPeers(),
        notifier=DesktopNotifier() if profile.settings.notifications else SilentNotifier(),
        port=listeners.port,
        callback=listeners if callback_port is None else callback_port,
        numeric=NumericAddress(listeners, clock),
        listeners=listeners.snapshot
        if callback_port is None
        else functools.partial(all_listeners, listeners, callback_port),
        # Records of the other ledger must not be mistaken for this one's and be deleted.
        tombstones=NoTombstones() if profile.settings.auto_approve else TombstoneFile(*folders.tombstone_files),
        registrations=RegistrationFile(folders.registration_file),
        client_name=_client_name(profile.name),
        started_by="socket" if activated else "service" if started_by_manager() else "user",
    )


def _client_name(profile: str) -> str:
    """Return the name by which the user recognizes this installation in the Upstash console."""
    host = "".join(filter(str.isprintable, socket.gethostname()))[:64] or "this computer"
    return f"upstash-helper ({host})" if profile == "default" else f"upstash-helper ({host}, profile {profile})"


def _store(profile: Profile) -> CredentialStore:
    match profile.settings.credential_store:
        case "keyring":
            from upstash_helper.storage.credentials.keyring_store import KeyringStore

            return KeyringStore("upstash-helper", profile.credential_name)
        case "file":
            from upstash_helper.storage.credentials.file_store import FileStore

            logger.warning("credential_in_plaintext", extra={"file": str(profile.credential_file)})
            return FileStore(profile.credential_file)
        case "memory":
            from upstash_helper.storage.credentials.file_store import MemoryStore

            return MemoryStore()
