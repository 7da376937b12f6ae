"""Starting and stopping this user's background daemon, through its service manager if it is installed with one."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import LOCK_FILE, holder
from upstash_helper.service.plan import ServiceError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from upstash_helper.cli.session import Session
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.service.control import Installed

# A cold start from a slow disk takes seconds. Beyond this, something is wrong.
START_SECONDS: Final = 20.0
SYSTEMD_SECONDS: Final = 2.0
"""The same after systemd has reported that it is ready."""
# The daemon gives pending writes three seconds.
STOP_SECONDS: Final = 10.0
EXIT_SECONDS: Final = 3.0
"""How long a daemon that is exiting may take before it is sent a signal."""
_POLL_SECONDS: Final = 0.02


# --- starting ---------------------------------------------------------------------------------------------------------


def start_daemon(session: Session, flags: dict[str, object], *, parent: int | None = None) -> DaemonStatus:
    """
    Start the daemon, by connecting to its socket if a service manager holds one, and wait until it answers.

    Args:
        session: The command line's.
        flags: Settings.
        parent: The end of a pipe: the daemon stops when its other end is closed.

    Raises:
        Failure: If it exits, with its reason, or does not become ready.
        SettingsError: If a setting is invalid, or the log folder is not safe to use.
    """
    from upstash_helper.client import wake

    # A service manager that holds the socket starts the daemon without flags.
    if not flags and wake.wake(session.folders.runtime, session.folders.state):
        return wait_until_ready(session)
    return _launch(session, flags, parent)


def _launch(session: Session, flags: dict[str, object], parent: int | None = None) -> DaemonStatus:
    from upstash_helper.settings.config import load_profile
    from upstash_helper.settings.profiles import secure_folder
    from upstash_helper.system import processes

    load_profile(profile=session.profile_flag, flags=flags)  # reports an invalid setting here, not in start.log
    folders = session.folders
    for runtime in folders.runtimes:
        discovery.remove_stale(runtime)
    installed = installed_service(session)
    if installed is not None and installed.starts:
        return _start_service(session, installed, flags)
    secure_folder(folders.logs)
    output = folders.start_log
    command = processes.command_line("--profile", session.profile, "run", *as_arguments(flags))
    if parent is not None:
        from upstash_helper.cli.daemon.run_flags import STOP_WITH_PARENT

        command.append(STOP_WITH_PARENT)
    process = processes.start_detached(command, output=output, folder=folders.logs, stdin=parent)

    status: list[DaemonStatus] = []

    def ready() -> bool:
        if process.poll() is not None:
            raise _exited(process, output)
        found = daemon_status(session)
        if found is not None:
            status.append(found)
        return found is not None

    if not _wait(ready, START_SECONDS):
        process.terminate()
        message = f"The daemon did not become ready within {START_SECONDS:.0f} s. See {folders.log_file} and {output}."
        raise Failure(message, code="start_timed_out")
    return status[0]


def _start_service(session: Session, installed: Installed, flags: dict[str, object]) -> DaemonStatus:
    if flags:
        message = (
            f"The helper is installed, and {installed.manager} starts it without flags. Set them in "
            f"{session.folders.config_file}, or run the daemon in the foreground with: {session.command('run')}"
        )
        raise Failure(message, code="installed_without_flags", exit_code=exit_codes.USAGE)
    try:
        installed.start()
    except ServiceError as error:
        raise Failure(f"The daemon did not start. {error}", code="start_failed") from error
    return wait_until_ready(session)


def wait_until_ready(session: Session, *, seconds: float = START_SECONDS) -> DaemonStatus:
    """
    Wait until the daemon that was started answers, and return its status.

    Args:
        session: The command line's.
        seconds: How long it may take.

    Raises:
        Failure: If it is waiting for its port, or does not answer in time.
        VersionMismatch: If its version is not compatible.
    """
    status = _answer(session, ended=lambda: False, seconds=seconds)
    assert status is not None  # noqa: S101 - for the type checker: it never counts as ended
    return status


def wait_while_running(session: Session) -> DaemonStatus | None:
    """Like ``wait_until_ready``, for a daemon that holds the lock. Return None if it ends instead."""
    ended = partial(_is_not_running, session.folders.runtime)
    return _answer(session, ended=ended, seconds=START_SECONDS)


def _is_not_running(runtime: Path) -> bool:
    return not discovery.is_running(runtime)


def _answer(session: Session, *, ended: Callable[[], bool], seconds: float) -> DaemonStatus | None:
    found: list[DaemonStatus] = []
    began = time.time()
    _require_compatible(session)

    def answers() -> bool:
        _raise_if_port_busy(session)
        status = daemon_status(session)
        found.extend([status] if status else [])
        return status is not None or ended()

    # It may be starting: it takes the lock first and writes the discovery file last.
    if not _wait(answers, seconds):
        raise _not_answering(session, began)
    return found[0] if found else None


def _not_answering(session: Session, began: float) -> Failure:
    from upstash_helper.system import processes

    folders = session.folders
    if discovery.is_running(folders.runtime):
        return Failure(f"The daemon is running but does not respond. See {folders.log_file}.", code="not_answering")
    message = f"The daemon did not start. See {folders.log_file} and {folders.start_log}."
    with contextlib.suppress(OSError):
        if folders.start_log.stat().st_mtime >= began and (reason := processes.tail(folders.start_log)):
            message = f"The daemon did not start. {reason.removeprefix('Error: ')}"
    return Failure(message, code="start_failed")


def wait_for_service(session: Session, *, seconds: float) -> DaemonStatus:
    """
    Wait until the daemon of a service that has just been installed answers, and return its status.

    Args:
        session: The command line's.
        seconds: How long it may take.

    Raises:
        Failure: If it does not, or if a daemon of another version still runs.
        VersionMismatch: If a daemon still runs whose version is not compatible.
    """
    from upstash_helper.client import wake

    if not discovery.is_running(session.folders.runtime):
        wake.wake(session.folders.runtime, session.folders.state)  # systemd starts it; it may have been idle
    status = wait_until_ready(session, seconds=seconds)
    if status.version != __version__:
        message = (
            f"A daemon of version {status.version} is still running (process {status.pid}). To start version "
            f"{__version__}: {session.command('restart')}"
        )
        raise Failure(message, code="other_version_running")
    return status


def _require_compatible(session: Session) -> None:
    from upstash_helper.protocol.errors import ClientError, VersionMismatch

    try:
        discover(session)
    except VersionMismatch:
        raise
    except ClientError:
        return  # it may be starting


def _raise_if_port_busy(session: Session) -> None:
    reason = discovery.waiting_reason(session.folders.runtime)
    if reason is not None:
        raise Failure(reason, code="port_busy", exit_code=exit_codes.PORT_BUSY)


def _exited(process: subprocess.Popen[bytes], output: Path) -> Failure:
    from upstash_helper.system import disk_errors, processes

    exited = f"It exited with code {process.returncode}; see {output}."
    # On a full disk, the reason could not be written either.
    reason = processes.tail(output).removeprefix("Error: ") or disk_errors.describe_full(output.parent) or exited
    known = process.returncode in exit_codes.MEANING and process.returncode != exit_codes.OK
    exit_code = process.returncode if known else exit_codes.FAILURE
    code = "port_busy" if exit_code == exit_codes.PORT_BUSY else "start_failed"
    return Failure(f"The daemon did not start. {reason}", code=code, exit_code=exit_code)


# --- stopping ---------------------------------------------------------------------------------------------------------


def stop_daemon(session: Session) -> bool:
    """
    Stop the daemon and wait until it has exited. Return whether it was running.

    Raises:
        Failure: If it does not stop.
    """
    folders = session.folders
    was_running = any(map(discovery.is_running, (folders.runtime, *folders.former_runtimes)))
    installed = installed_service(session)
    if installed is not None:
        # Otherwise the service manager would start it again with the next request.
        with contextlib.suppress(ServiceError):
            installed.release()
    for runtime in (folders.runtime, *folders.former_runtimes):
        if discovery.is_running(runtime):
            _stop(session, runtime)
    return was_running


def _stop(session: Session, runtime: Path) -> None:
    from upstash_helper.cli.output import note_if_not_recorded
    from upstash_helper.client.errors import DaemonUnreachable
    from upstash_helper.protocol.errors import DiscoveryRefused, VersionMismatch

    before = discovery.read_pid(runtime)

    def gone() -> bool:
        # A socket-activated daemon may have been started again in the meantime, as another process.
        now = discovery.read_pid(runtime)
        restarted = None not in {before, now} and now != before
        return restarted or not discovery.is_running(runtime)

    try:
        note_if_not_recorded(_discover(session, runtime).stop())
    except DaemonUnreachable:
        waiting = discovery.read_waiting(runtime)
        # It may be exiting, and a signal would end that at once.
        if waiting is None and _wait(gone, EXIT_SECONDS):
            return
        # Or it is not serving yet, or does not accept a connection, such as for lack of descriptors.
        _terminate(_lock_holder(runtime) if waiting is None else waiting.pid)
    except VersionMismatch:
        _terminate(before)
    except DiscoveryRefused:
        # The file that has its address and its process is empty or damaged. Its lock still shows which process it is.
        _terminate(_lock_holder(runtime))
    if not _wait(gone, STOP_SECONDS):
        pid = discovery.read_pid(runtime)
        target = f"process {pid}" if pid else f"the process that holds {runtime / LOCK_FILE}"
        raise Failure(f"The daemon did not stop. Kill {target}.", code="stop_timed_out")


def _lock_holder(runtime: Path) -> int | None:
    """Return this user's daemon that holds the lock, or None if the system does not reveal it."""
    import psutil

    from upstash_helper.system.own_daemons import own_daemons

    file = (runtime / LOCK_FILE).resolve()
    pid = holder(file)
    for process in own_daemons():
        with contextlib.suppress(psutil.Error, OSError):  # it has just exited, or the system hides its files
            if process.pid == pid or any(Path(one.path) == file for one in process.open_files()):
                return process.pid
    return None


def _terminate(pid: int | None) -> None:
    """Send SIGTERM to a daemon that cannot be stopped through its API. None: its process is not known."""
    import psutil

    if pid is None:
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # The file may be that of a killed daemon, and the pid another program's by now.
        if any("upstash" in word for word in process.cmdline()):
            process.terminate()


# --- the running daemon -----------------------------------------------------------------------------------------------


def daemon_status(session: Session) -> DaemonStatus | None:
    """Return the running daemon's status; None if it is not running or does not answer. It is not started."""
    from upstash_helper.client.errors import DaemonUnreachable
    from upstash_helper.protocol.errors import DiscoveryRefused

    try:
        return discover(session).status()
    except (DaemonUnreachable, DiscoveryRefused):
        return None


def was_socket_activated(session: Session) -> bool:
    """Return whether the running daemon was started by a connection to its socket."""
    status = daemon_status(session) if discovery.is_running(session.folders.runtime) else None
    return status is not None and status.started_by == "socket"


def installed_service(session: Session) -> Installed | None:
    """Return the service that the profile's daemon is installed as, or None."""
    from upstash_helper.service.control import find

    return find(session.profile, session.folders)


def discover(session: Session) -> DaemonClient:
    """
    Return a client of the running daemon. It is not started.

    Raises:
        DaemonUnreachable: If it is not running.
        DiscoveryRefused: Like ``DaemonClient.discover``.
    """
    # Not cached: a restarted daemon has another address and another token.
    return _discover(session, session.folders.runtime)


def _discover(session: Session, runtime: Path) -> DaemonClient:
    from upstash_helper.client.daemon import DaemonClient

    return DaemonClient.discover(runtime, start_command=session.command("start"))


def as_arguments(flags: dict[str, object]) -> list[str]:
    """Return settings as flags of ``run``."""
    from upstash_helper.cli.daemon.run_flags import SETTING_FLAGS, SETTING_SWITCHES

    arguments = [f"{flag.flag}={flags[flag.setting]}" for flag in SETTING_FLAGS if flag.setting in flags]
    return [*arguments, *(switch.flag for switch in SETTING_SWITCHES if flags.get(switch.setting) is switch.value)]


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
