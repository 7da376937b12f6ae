"""Starting and stopping this user's background daemon, by its service manager where it is installed with one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import LOCK_FILE
from upstash_helper.service.plan import ServiceError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from upstash_helper.cli.session import Session
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.service.control import Installed

# A cold start on a slow disk takes seconds; past this, something is wrong.
START_SECONDS: Final = 20.0
# The daemon gives its writes three seconds.
STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.02


def bring_up(session: Session, flags: dict[str, object]) -> DaemonStatus:
    """
    Have the daemon started by the service manager that does so on demand, or start it, and wait until it answers.

    Raises:
        Failure: As ``launch``.
        SettingsError: As ``launch``.
    """
    from upstash_helper.client import wake

    # The service manager has the port, and knows nothing of flags.
    if not flags and wake.wake(session.folders.runtime, session.folders.state):
        return running(session)
    return launch(session, flags)


def launch(session: Session, flags: dict[str, object]) -> DaemonStatus:
    """
    Start the daemon and wait until it answers.

    Raises:
        Failure: If it ends at once, with its reason, or does not get ready.
        SettingsError: If a setting cannot be used, or the folder of the logs may not be.
    """
    from upstash_helper.cli.daemon import spawn
    from upstash_helper.settings.config import load_profile
    from upstash_helper.settings.profiles import secure_folder

    load_profile(profile=session.profile_flag, flags=flags)  # a bad setting is told here and not in a file
    folders = session.folders
    installed = installed_service(session)
    if installed is not None and installed.starts:
        return _launch_installed(session, installed, flags)
    secure_folder(folders.logs)
    output = folders.logs / "start.log"
    command = spawn.command_line("--profile", session.profile, "run", *as_arguments(flags))
    process = spawn.start_detached(command, output=output, folder=folders.logs)

    status: list[DaemonStatus] = []

    def ready() -> bool:
        if process.poll() is not None:
            raise _ended(process, output)
        found = _answer(session)
        if found is not None:
            status.append(found)
        return found is not None

    if not _wait(ready, START_SECONDS):
        process.terminate()
        message = f"The daemon did not get ready within {START_SECONDS:.0f} s. See {folders.log_file} and {output}."
        raise Failure(message, code="start_timed_out")
    return status[0]


def halt(session: Session) -> bool:
    """
    Stop the daemon and wait until it is gone. Return whether it was running.

    Raises:
        Failure: If it does not stop.
    """
    from upstash_helper.client.errors import DaemonUnreachable
    from upstash_helper.protocol.errors import VersionMismatch

    runtime = session.folders.runtime
    was_running = discovery.is_running(runtime)
    installed = installed_service(session)
    if installed is not None:
        # Else its manager would start it again with the next request.
        with contextlib.suppress(ServiceError):
            installed.release()
    if not discovery.is_running(runtime):
        return was_running
    before = discovery.read_pid(runtime)

    def gone() -> bool:
        # One that is started on demand may be there again before anybody looks.
        now = discovery.read_pid(runtime)
        another = None not in {before, now} and now != before
        return another or not discovery.is_running(runtime)

    try:
        client(session).stop()
    except DaemonUnreachable:
        # It may be about to end, or not have begun to serve.
        _terminate(waits.pid if (waits := discovery.read_waiting(runtime)) else None)
    except VersionMismatch:
        _terminate(before)
    if not _wait(gone, STOP_SECONDS):
        pid = discovery.read_pid(runtime)
        whom = f"process {pid}" if pid else f"the process that holds {runtime / LOCK_FILE}"
        message = f"The daemon does not stop. End it by force: {whom}."
        raise Failure(message, code="stop_timed_out")
    return True


def daemon_status(session: Session) -> DaemonStatus | None:
    """Return what the daemon says of itself; None if it does not run or does not answer. It is not started for this."""
    return _answer(session)


def _terminate(pid: int | None) -> None:
    """Stop, as a service manager would, a daemon that cannot be asked through its API; None: it is not known."""
    import psutil

    if pid is None:
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # The file may be of a daemon that was killed, and the number another program's by now.
        if any("upstash" in word for word in process.cmdline()):
            process.terminate()


def as_arguments(flags: dict[str, object]) -> list[str]:
    """Return settings as flags of ``run``."""
    from upstash_helper.cli.daemon.run_flags import RUN_FLAGS, SWITCHES

    arguments = [f"{flag.flag}={flags[flag.setting]}" for flag in RUN_FLAGS if flag.setting in flags]
    return [*arguments, *(switch.flag for switch in SWITCHES if flags.get(switch.setting) is False)]


def installed_service(session: Session) -> Installed | None:
    """Return the service that the profile's daemon is installed as, or None."""
    from upstash_helper.service.control import find

    return find(session.profile, session.folders)


def _launch_installed(session: Session, installed: Installed, flags: dict[str, object]) -> DaemonStatus:
    if flags:
        message = (
            f"The helper is installed, and {installed.manager} starts it without flags. Say it in "
            f"{session.folders.config_file}, or be the daemon in this terminal: {session.command('run')}"
        )
        raise Failure(message, code="installed_without_flags", exit_code=exit_codes.USAGE)
    try:
        installed.start()
    except ServiceError as error:
        raise Failure(f"The daemon did not start. {error}", code="start_failed") from error
    return running(session)


def is_on_demand(session: Session) -> bool:
    """Return whether the daemon that runs was started by a connection to its socket."""
    found = _answer(session) if discovery.is_running(session.folders.runtime) else None
    return found is not None and found.started_by == "socket"


def running(session: Session) -> DaemonStatus:
    """
    Wait until the daemon that runs answers, and return its status.

    Raises:
        Failure: If it waits for its port, or does not answer for long.
        VersionMismatch: If its answers would not be understood.
    """
    found: list[DaemonStatus] = []
    _refuse_mismatch(session)

    def answers() -> bool:
        _raise_if_waiting(session)
        status = _answer(session)
        found.extend([status] if status else [])
        return status is not None

    # It may be just starting: the lock is taken first and the discovery file written last.
    if not _wait(answers, START_SECONDS):
        message = f"A daemon is running but does not answer. See {session.folders.log_file}."
        raise Failure(message, code="not_answering")
    return found[0]


def _raise_if_waiting(session: Session) -> None:
    reason = discovery.waiting_reason(session.folders.runtime)
    if reason is not None:
        raise Failure(reason, code="port_busy", exit_code=exit_codes.PORT_BUSY)


def _refuse_mismatch(session: Session) -> None:
    """
    Go on unless the daemon that runs is of a version whose answers would not be understood.

    Raises:
        VersionMismatch: If it is.
    """
    from upstash_helper.protocol.errors import ClientError, VersionMismatch

    try:
        client(session)
    except VersionMismatch:
        raise
    except ClientError:
        return  # it may be just starting


def _answer(session: Session) -> DaemonStatus | None:
    from upstash_helper.client.errors import DaemonUnreachable
    from upstash_helper.protocol.errors import DiscoveryRefused

    try:
        return client(session).status()
    except (DaemonUnreachable, DiscoveryRefused):
        return None


def client(session: Session) -> DaemonClient:
    """
    Return a client of the daemon that runs. Nothing is started for it.

    Raises:
        DaemonUnreachable: If none runs.
        DiscoveryRefused: As ``DaemonClient.discover``.
    """
    from upstash_helper.client.daemon import DaemonClient

    # Made anew each time: a daemon that starts has another address and another token.
    return DaemonClient.discover(session.folders.runtime, start_command=session.command("start"))


def _ended(process: subprocess.Popen[bytes], output: Path) -> Failure:
    from upstash_helper.cli.daemon import spawn

    reason = spawn.tail(output).removeprefix("Error: ") or f"It ended with code {process.returncode}; see {output}."
    known = process.returncode in exit_codes.MEANING and process.returncode != exit_codes.OK
    exit_code = process.returncode if known else exit_codes.FAILURE
    code = "port_busy" if exit_code == exit_codes.PORT_BUSY else "start_failed"
    return Failure(f"The daemon did not start. {reason}", code=code, exit_code=exit_code)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
