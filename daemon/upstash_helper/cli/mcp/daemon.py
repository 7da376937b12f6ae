"""The daemon of a profile: finding it, and starting it if it is not running."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.client import wake
from upstash_helper.client.errors import DaemonNotRunning, DaemonUnreachable
from upstash_helper.client.transport import Transport, not_running, restart_command
from upstash_helper.protocol import discovery
from upstash_helper.settings.profiles import DEFAULT_PROFILE, exists

if TYPE_CHECKING:
    from upstash_helper.client.app_session import AppClient
    from upstash_helper.protocol.discovery import Address
    from upstash_helper.settings.profiles import Folders

_START_SECONDS: Final = 40.0
# Another process of this agent, or another client, may have started it at the same time.
_OTHER_START_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


class NotStarted(DaemonUnreachable):
    """The daemon is not running, and an agent's request is not a reason to start it. ``str()`` says what to do."""


class Daemon:
    """
    The daemon. Threads may share it. The address is read for each request, since a restarted daemon may have another.
    """

    def __init__(self, profile: str, folders: Folders) -> None:
        """
        Args:
            profile: The profile's name.
            folders: Its folders.
        """
        self.profile: Final = profile
        self.folders: Final = folders
        self._starting = threading.Lock()

    def command(self, *arguments: str) -> str:
        """Return a command line for the user."""
        profile = () if self.profile == DEFAULT_PROFILE else ("--profile", self.profile)
        return shlex.join(("upstash-helper", *profile, *arguments))

    @property
    def is_running(self) -> bool:
        """Whether it is running. This does not start it."""
        return discovery.is_running(self.folders.runtime)

    def require_startable(self) -> None:
        """
        Check that a daemon that is not running may be started, before anything is created for it.

        Raises:
            NotStarted: If the profile does not exist, which may be a typing error, or is that of a sandbox that is not
                running, without which the daemon cannot do anything.
        """
        if self.is_running or self.profile == DEFAULT_PROFILE:
            return
        if not exists(self.profile, self.folders):
            message = f"There is no profile {self.profile}. Check its name. To create it, run: {self.command('start')}"
            raise NotStarted(message)
        from upstash_helper.cli.sandbox.stopped import command_to_start

        if (command := command_to_start(self.profile, self.folders)) is not None:
            message = f"The sandbox is not running (profile {self.profile}). Start it with: {command}"
            raise NotStarted(message)

    def transport(self, token: str | None) -> Transport:
        """
        Return a transport to the running daemon. It is started if necessary.

        Raises:
            DaemonUnreachable: If it cannot be started, or must not be started; see ``require_startable``.
            DiscoveryRefused: If its discovery file cannot be trusted.
        """
        found = self._address()
        start = self.command("start")
        return Transport(found.base_url, token, start_command=start, verify_server=token is None, proves=found.proves)

    def client(self, token: str | None) -> AppClient:
        """Return a client for requesting access. Raises as ``transport``."""
        from upstash_helper.client.app_session import AppClient

        found = self._address()
        return AppClient(found.base_url, token, start_command=self.command("start"), proves=found.proves)

    def _address(self) -> Address:
        found = self._running()
        if found is None:
            self.require_startable()
            with self._starting:
                found = self._running() or self._start()
        return found

    def _running(self) -> Address | None:
        runtime = self.folders.runtime
        restart = restart_command(self.command("start"))
        return discovery.read_address(runtime, restart_command=restart) if discovery.is_running(runtime) else None

    def _start(self) -> Address:
        # One that is starting, or stopping, still holds its lock.
        if (found := self._wait(_OTHER_START_SECONDS, while_running=True)) is not None:
            return found
        self._raise_if_waiting()
        if wake.wake(self.folders.runtime, self.folders.state) and (found := self._running()) is not None:
            return found
        reason = self._run_start()
        # After a failure, there is only one to wait for if another process has started it at the same time.
        if (found := self._wait(_OTHER_START_SECONDS, while_running=bool(reason))) is not None:
            return found
        self._raise_if_waiting()
        raise DaemonNotRunning(reason or not_running(self.command("start")))

    def _wait(self, seconds: float, *, while_running: bool = False) -> Address | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self._running()
            if found is not None or (while_running and not self.is_running):
                return found
            if discovery.waiting_reason(self.folders.runtime) is not None:
                return None
            time.sleep(_POLL_SECONDS)
        return None

    def _raise_if_waiting(self) -> None:
        """Raise the reason if it is running, and waits for its port, which may take forever."""
        if (waiting := discovery.waiting_reason(self.folders.runtime)) is not None:
            raise DaemonUnreachable(waiting)

    def _run_start(self) -> str:
        """Run the command that starts the daemon in a process of its own, and return the error message if it fails."""
        import subprocess

        from upstash_helper.system.processes import command_line

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                command_line("--profile", self.profile, "start"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_START_SECONDS,
                check=False,
            )
            return done.stderr.decode("utf-8", "replace").strip().removeprefix("Error: ") if done.returncode else ""
        return ""
