"""``service``: the installed helper. Its state, its log, starting and stopping it."""

from __future__ import annotations

import os
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Final, get_args

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import group
from upstash_helper.cli.commands.start_stop import restart, start, stop
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import key_values, local_time, note, print_json, printable
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.system import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.service import launchd
    from upstash_helper.service.control import Installed

_DEFAULT_LINES: Final = 50
_POLL_SECONDS: Final = 0.25
_HEAD_FIELDS: Final = ("time", "level", "logger", "event")


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``status`` as JSON."""

    installed: bool
    running: bool
    manager: str | None = None
    name: str | None = None
    files: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()
    enabled: bool | None = None
    states: dict[str, str] = {}
    """The service manager's state of each unit, such as ``active (running)``; launchd's of the agent."""
    outdated: bool = False
    """Whether ``install`` would change something: another version, port, or program."""
    pid: int | None = None
    version: str | None = None
    since: str | None = None
    listening: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    log: str


@group("service")
def service() -> None:
    """Show and control the installed helper."""


@service.command("status")
@pass_session
def status(session: Session) -> None:
    """Show whether the helper is installed and running."""
    found = _status(session)
    if session.json:
        print_json(found)
        return
    click.echo(key_values(_rows(found)))
    if not found.installed:
        note(f"Install it with: {session.command('install')}")
    elif (problem := _agent_problem(session, found)) is not None:
        note(f"The agent: {problem.detail}. {problem.fix}")
    elif found.outdated:
        note(f"The installation is out of date. Update it with: {session.command('install')}")


_LOGS_EXAMPLES: Final = """
# The last 50 lines
upstash-helper service logs

# Follow the log
upstash-helper service logs --follow
"""


@service.command("logs", examples=_LOGS_EXAMPLES)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="N",
    default=_DEFAULT_LINES,
    show_default=True,
    help="Number of lines.",
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines, until Ctrl-C.")
@pass_session
def logs(session: Session, *, lines: int, follow: bool) -> None:
    """
    Show the daemon's log.

    With --json, lines are printed unchanged: one JSON object each.
    """
    from upstash_helper.service.control import find

    file = session.folders.log_file
    found = find(session.profile, session.folders)
    if not file.exists() and not follow:
        raise Failure(f"There is no log yet: {file}.", code="no_log", exit_code=exit_codes.NOT_FOUND)
    if found is not None and found.manager == "systemd" and not session.json:
        note(f"For systemd's own messages: journalctl --user --unit {found.service} --unit {found.socket}")
    for line in follow_lines(file, lines) if follow else last_lines(file, lines):
        click.echo(line if session.json else format_line(line))


service.add_command(start)
service.add_command(stop)
service.add_command(restart)


# --- the state --------------------------------------------------------------------------------------------------------


def _status(session: Session) -> ServiceStatus:
    from upstash_helper.cli.daemon.lifecycle import daemon_status
    from upstash_helper.protocol import discovery
    from upstash_helper.service import planner
    from upstash_helper.service.context import detect_context
    from upstash_helper.service.control import find

    installed = find(session.profile, session.folders)
    daemon = daemon_status(session)
    running = daemon is not None or discovery.is_running(session.folders.runtime)
    status = _of_daemon(daemon, running=running, log=str(session.folders.log_file))
    if installed is None:
        return status
    return msgspec.structs.replace(
        status,
        installed=True,
        manager=installed.manager,
        name=installed.name,
        files=tuple(str(path) for path in installed.files),
        changed_files=tuple(str(path) for path in installed.changed_files()),
        enabled=installed.enabled(),
        states=_unit_states(installed),
        outdated=planner.is_outdated(detect_context(session.profile_flag)),
        program=installed.program,
    )


def _of_daemon(daemon: DaemonStatus | None, *, running: bool, log: str) -> ServiceStatus:
    if daemon is None:
        return ServiceStatus(installed=False, running=running, log=log)
    return ServiceStatus(
        installed=False,
        running=running,
        pid=daemon.pid,
        version=daemon.version,
        since=daemon.started_at,
        listening=tuple(one.address for one in daemon.listeners if one.state == "listening"),
        log=log,
    )


def _agent_problem(session: Session, found: ServiceStatus) -> launchd.Explanation | None:
    """Return why launchd does not start the agent, and the fix; None for other managers."""
    from upstash_helper.service import launchd

    state = found.states.get(found.name or "") if found.manager == "launchd" else None
    known = next((one for one in get_args(launchd.State) if one == state), None)
    if known is None:
        return None
    return launchd.explain(known, install=session.command("install"), start=session.command("start"))


def _unit_states(installed: Installed) -> dict[str, str]:
    state = installed.state()
    if state is not None:
        return {installed.name: state}
    if installed.manager != "systemd":
        return {}
    units = {unit: installed.properties(unit) for unit in (installed.socket, installed.service)}
    return {
        unit: f"{found['ActiveState']} ({found['SubState']})" for unit, found in units.items() if "SubState" in found
    }


def _rows(found: ServiceStatus) -> list[tuple[str, str]]:
    rows = [("Installed", f"yes, with {found.manager}" if found.installed else "no")]
    if found.installed:
        rows.append(("Starts at login", {True: "yes", False: "no", None: "unknown"}[found.enabled]))
        rows += [(unit, state) for unit, state in found.states.items()]
        rows.append(("Program", " ".join(found.program)))
        rows += [("Files" if number == 0 else "", path) for number, path in enumerate(found.files)]
        rows += [("Modified", path) for path in found.changed_files]
    since = f", process {found.pid} since {local_time(found.since)}" if found.since else ""
    rows.append(("Running", f"yes{since}" if found.running else "no"))
    if found.version:
        rows.append(("Version", found.version))
    rows += [("Listening" if number == 0 else "", address) for number, address in enumerate(found.listening)]
    return [*rows, ("Log", found.log)]


# --- the log ----------------------------------------------------------------------------------------------------------


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last lines of the log; none if it does not exist."""
    try:
        with open_files.open_shared(file) as stream:
            return [_text(line) for line in deque(stream, maxlen=count)]
    except FileNotFoundError:
        return []


def follow_lines(file: Path, count: int) -> Iterator[str]:
    """Yield the last lines and then each new one, also after the daemon has rotated the file."""
    first = file.exists()
    while True:
        with _open_log(file) as stream:
            if first:
                yield from (_text(line) for line in deque(stream, maxlen=count))
            first = False
            yield from _new_lines(file, stream)


def _open_log(file: Path) -> BinaryIO:
    while True:
        try:
            return open_files.open_shared(file)  # a log that is followed must not keep the daemon from rotating it
        except FileNotFoundError:
            time.sleep(_POLL_SECONDS)


def _new_lines(file: Path, stream: BinaryIO) -> Iterator[str]:
    """Yield complete lines until the file is replaced by another."""
    part = b""
    while True:
        part += stream.readline()
        if part.endswith(b"\n"):
            yield _text(part)
            part = b""
        elif _was_replaced(file, stream):
            yield from (_text(line) for line in stream)  # lines written since the last read
            return
        else:
            time.sleep(_POLL_SECONDS)


def _was_replaced(file: Path, stream: BinaryIO) -> bool:
    try:
        return not os.path.samestat(file.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return True


def format_line(line: str) -> str:
    """Return a JSON line of the log as time, level, event, and values; a line that is not JSON unchanged."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.MsgspecError:
        return printable(line)
    values = [f"{key}={_value(value)}" for key, value in fields.items() if key not in _HEAD_FIELDS]
    head = [
        _log_time(str(fields.get("time", ""))),
        str(fields.get("level", "")).upper().ljust(7),
        str(fields.get("event", "")),
    ]
    return printable("  ".join((" ".join(head), *([" ".join(values)] if values else []))).rstrip())


def _log_time(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return timestamp


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else msgspec.json.encode(value).decode()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
