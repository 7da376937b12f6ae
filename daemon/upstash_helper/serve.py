"""The daemon as a process: the only one of its profile, ready when it says so, and cleanly gone when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__, logs, startup
from upstash_helper.client import discovery
from upstash_helper.listeners import Listeners, PortBusy, open_listeners
from upstash_helper.machine import SystemBrowser, SystemClock
from upstash_helper.notify import notify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.api.server import Server
    from upstash_helper.broker.ports import CredentialStore
    from upstash_helper.compose import Daemon, Machine
    from upstash_helper.settings import World

__all__ = ["AlreadyRunning", "PortBusy", "run_daemon"]

logger = logging.getLogger(__name__)

# Of the three seconds that a stop may take, what is in flight gets these.
FINISH_SECONDS: Final = 2.2
API_VERSION: Final = 1


class AlreadyRunning(Exception):
    """A daemon of this profile runs already."""

    def __init__(self, detail: str, pid: int | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pid = pid


def run_daemon(world: World) -> None:
    """
    Be the daemon of ``world`` until SIGTERM, SIGINT, or a stop through the API.

    Raises:
        AlreadyRunning: If this profile's daemon runs; the lock that it holds proves that it is this user's own.
        PortBusy: If another program has the port.
    """
    with _alone(world):
        # Before anything is imported: a busy port is told at once, and a first request waits instead of failing.
        listeners = open_listeners(world.settings.port)
        with logs.logging_to(world.folders.log_file, level=world.settings.log_level):
            asyncio.run(_Process(world, listeners).run())


@contextlib.contextmanager
def _alone(world: World) -> Iterator[None]:
    lock = discovery.DaemonLock(world.folders.runtime)
    try:
        lock.acquire()
    except discovery.AlreadyHeld:
        known = None
        with contextlib.suppress(Exception):
            known = discovery.read(world.folders.runtime)
        where = f" at {known.base_url} (pid {known.pid})" if known else ""
        message = f"The helper is already running{where}."
        raise AlreadyRunning(message, known.pid if known else None) from None
    try:
        yield
    finally:
        lock.release()


class _Process:
    """What happens between the bound sockets and the end."""

    def __init__(self, world: World, listeners: Listeners) -> None:
        self._world = world
        self._listeners = listeners

    async def run(self) -> None:
        stop = asyncio.Event()
        self._on_signals(stop)
        with startup.quick_imports():
            from upstash_helper.api.server import Server
            from upstash_helper.compose import compose
        daemon = compose(self._machine(), self._world, stop=stop)
        server = Server(daemon.app)
        await server.start()
        await self._listeners.serve(server.connections)
        try:
            self._announce(daemon)
            gc.freeze()
            gc.enable()
            await stop.wait()
        finally:
            await self._end(daemon, server)

    def _machine(self) -> Machine:
        from upstash_helper.compose import Machine

        return Machine(
            clock=SystemClock(),
            browser=SystemBrowser(),
            store=_store(self._world),
            callback=self._listeners,
            listeners=self._listeners.snapshot,
        )

    def _announce(self, daemon: Daemon) -> None:
        port = self._world.settings.port
        discovery.write(
            self._world.folders.runtime,
            discovery.Discovery(
                pid=os.getpid(),
                port=port,
                base_url=f"http://127.0.0.1:{port}",
                owner_token=daemon.tokens.owner_token.reveal(),
                version=__version__,
                api_version=API_VERSION,
            ),
        )
        logger.info("ready", extra={"port": port, "profile": self._world.profile, "version": __version__})
        notify("READY=1", f"STATUS=Serving http://localhost:{port}")

    async def _end(self, daemon: Daemon, server: Server) -> None:
        notify("STOPPING=1")
        self._listeners.close()
        discovery.remove(self._world.folders.runtime)
        await asyncio.gather(server.drain(FINISH_SECONDS), daemon.finish(FINISH_SECONDS))
        await server.close()
        logger.info("stopped")

    def _on_signals(self, stop: asyncio.Event) -> None:
        """The first signal stops cleanly, the second at once."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def asked() -> None:
            if stop.is_set() and task is not None:
                task.cancel()
            stop.set()

        for kind in (signal.SIGTERM, signal.SIGINT):
            if sys.platform == "win32":
                signal.signal(kind, lambda *_: loop.call_soon_threadsafe(asked))
            else:
                loop.add_signal_handler(kind, asked)


def _store(world: World) -> CredentialStore:
    # Imported where chosen: a daemon with a file has no use for the keyring's modules.
    match world.settings.credential_store:
        case "keyring":
            from upstash_helper.storage.credentials import KeyringStore

            return KeyringStore("upstash-helper", world.credential_name)
        case "file":
            from upstash_helper.storage.file import FileStore

            logger.warning("credential_in_clear", extra={"file": str(world.credential_file)})
            return FileStore(world.credential_file)
        case "memory":
            from upstash_helper.storage.memory import MemoryStore

            return MemoryStore()
