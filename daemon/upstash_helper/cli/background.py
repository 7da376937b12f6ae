"""``start``, ``stop``, ``restart``: the background daemon of this user."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.failures import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json
from upstash_helper.cli.run_command import setting_flags
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client import discovery

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.client.wire import DaemonStatus

# A cold start on a slow disk takes seconds; past this, something is wrong.
START_SECONDS: Final = 20.0
# The daemon gives its writes three seconds.
STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.02


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``start`` and ``restart`` as JSON."""

    pid: int
    base_url: str
    version: str
    already_running: bool


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``stop`` as JSON."""

    was_running: bool


@command("start")
@setting_flags
@pass_session
def start(session: Session, *, flags: dict[str, object]) -> None:
    """
    Start the daemon in the background.

    It runs until `upstash-helper stop`, or until the system stops. The flags are settings for this run; config.toml
    says them for good.
    """
    running = discovery.is_running(session.folders.runtime)
    _report_start(session, _running(session) if running else launch(session, flags), already=running)


@command("stop")
@pass_session
def stop(session: Session) -> None:
    """Stop the daemon. What it is writing is finished first."""
    was_running = halt(session)
    if session.json:
        print_json(Stopped(was_running=was_running))
    elif was_running:
        click.echo("The daemon is stopped.")
    else:
        click.echo("The daemon was not running.")


@command("restart")
@setting_flags
@pass_session
def restart(session: Session, *, flags: dict[str, object]) -> None:
    """Stop the daemon and start it again, with the settings as they are now."""
    halt(session)
    _report_start(session, launch(session, flags), already=False)


def launch(session: Session, flags: dict[str, object]) -> DaemonStatus:
    """
    Start the daemon and wait until it answers.

    Raises:
        Failure: If it ends at once, with its reason, or does not get ready.
        SettingsError: If a setting cannot be used.
    """
    from upstash_helper.cli import spawn
    from upstash_helper.settings import load_world

    load_world(profile=session.profile_flag, flags=flags)  # a bad setting is told here and not in a file
    folders = session.folders
    discovery.make_private(folders.logs)
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
    from upstash_helper.client.errors import DaemonUnreachable, VersionMismatch

    runtime = session.folders.runtime
    if not discovery.is_running(runtime):
        return False
    try:
        _client(session).stop()
    except DaemonUnreachable:
        pass  # it may be about to end
    except VersionMismatch:
        _terminate(runtime)
    stopped = _wait(lambda: not discovery.is_running(runtime), STOP_SECONDS)
    if not stopped:
        pid = discovery.read_pid(runtime)
        whom = f"process {pid}" if pid else f"the process that holds {runtime / discovery.LOCK_FILE}"
        message = f"The daemon does not stop. End it by force: {whom}."
        raise Failure(message, code="stop_timed_out")
    return True


def _terminate(runtime: Path) -> None:
    """Stop, as a service manager would, a daemon whose API this program does not know."""
    import psutil

    pid = discovery.read_pid(runtime)
    if pid is None:
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # The file may be of a daemon that was killed, and the number another program's by now.
        if any("upstash" in word for word in process.cmdline()):
            process.terminate()


def as_arguments(flags: dict[str, object]) -> list[str]:
    """Return settings as flags of ``run``."""
    from upstash_helper.cli.run_flags import RUN_FLAGS, SWITCHES

    arguments = [f"{flag.flag}={flags[flag.setting]}" for flag in RUN_FLAGS if flag.setting in flags]
    return [*arguments, *(switch.flag for switch in SWITCHES if flags.get(switch.setting) is False)]


def _report_start(session: Session, status: DaemonStatus, *, already: bool) -> None:
    base_url = _client(session).base_url
    if session.json:
        print_json(Started(pid=status.pid, base_url=base_url, version=status.version, already_running=already))
        return
    state = "was running already" if already else "is running"
    click.echo(f"The daemon {state} at {base_url} (process {status.pid}).")
    if status.connection.state == "disconnected":
        click.echo(f"Connect an account with: {session.command('connect')}")


def _running(session: Session) -> DaemonStatus:
    found: list[DaemonStatus] = []
    _refuse_mismatch(session)

    def answers() -> bool:
        status = _answer(session)
        found.extend([status] if status else [])
        return status is not None

    # It may be just starting: the lock is taken first and the discovery file written last.
    if not _wait(answers, START_SECONDS):
        message = f"A daemon is running but does not answer. See {session.folders.log_file}."
        raise Failure(message, code="not_answering")
    return found[0]


def _refuse_mismatch(session: Session) -> None:
    """
    Go on unless the daemon that runs is of a version whose answers would not be understood.

    Raises:
        VersionMismatch: If it is.
    """
    from upstash_helper.client.errors import ClientError, VersionMismatch

    try:
        _client(session)
    except VersionMismatch:
        raise
    except ClientError:
        return  # it may be just starting


def _answer(session: Session) -> DaemonStatus | None:
    from upstash_helper.client.errors import DaemonUnreachable, DiscoveryRefused

    try:
        return _client(session).status()
    except (DaemonUnreachable, DiscoveryRefused):
        return None


def _client(session: Session) -> DaemonClient:
    from upstash_helper.client.daemon import DaemonClient

    # Made anew each time: a daemon that starts has another address and another token.
    return DaemonClient.discover(session.folders.runtime, start_command=session.command("start"))


def _ended(process: subprocess.Popen[bytes], output: Path) -> Failure:
    from upstash_helper.cli import spawn

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
