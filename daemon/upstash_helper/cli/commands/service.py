"""``service``: the helper that is installed; how it stands, what it logs, starting and stopping it."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.commands.start_stop import restart, start, stop
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, sheet, shown
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.service.control import Installed

_LINES = 50


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the service stands, as JSON."""

    installed: bool
    running: bool
    manager: str | None = None
    name: str | None = None
    files: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()
    enabled: bool | None = None
    states: dict[str, str] = {}
    """Of systemd's units: ``active (running)``, …"""
    outdated: bool = False
    """``install`` would change something: another version, port or program."""
    pid: int | None = None
    version: str | None = None
    since: str | None = None
    listening: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    log: str


@click.group("service")
def service() -> None:
    """See and control the helper that is installed."""


@command("status")
@pass_session
def status(session: Session) -> None:
    """Show whether the helper is installed, starts by itself, and runs."""
    found = _status(session)
    if session.json:
        print_json(found)
        return
    click.echo(sheet(_lines(found)))
    if not found.installed:
        note(f"Install it: {session.command('install')}")
    elif found.outdated:
        note(f"It is not as an installation today would be. Bring it up to date: {session.command('install')}")


@command("logs")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=_LINES, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@pass_session
def logs(session: Session, *, lines: int, follow: bool) -> None:
    """
    Show the daemon's log.

    With --json as it is in the file: one JSON object a line.
    """
    # FOLDED
    from upstash_helper.service.control import find

    file = session.folders.log_file
    found = find(session.profile, session.folders)
    if not file.exists() and not follow:
        raise Failure(f"There is no log yet: {file}.", code="no_log", exit_code=exit_codes.NOT_FOUND)
    if found is not None and found.manager == "systemd" and not session.json:
        note(f"What systemd says about it: journalctl --user --unit {found.service} --unit {found.socket}")
    for line in followed(file, lines) if follow else last(file, lines):
        click.echo(line if session.json else readable(line))


def _status(session: Session) -> ServiceStatus:
    from upstash_helper.cli.daemon.lifecycle import daemon_status
    from upstash_helper.protocol import discovery
    from upstash_helper.service import planner
    from upstash_helper.service.context import detect_context
    from upstash_helper.service.control import find

    found = find(session.profile, session.folders)
    daemon = daemon_status(session)
    running = daemon is not None or discovery.is_running(session.folders.runtime)
    log = str(session.folders.log_file)
    seen = _of_daemon(daemon, running=running, log=log)
    if found is None:
        return seen
    return msgspec.structs.replace(
        seen,
        installed=True,
        manager=found.manager,
        name=found.name,
        files=tuple(str(path) for path in found.files),
        changed_files=tuple(str(path) for path in found.changed_files()),
        enabled=found.enabled(),
        states=_states(found),
        outdated=planner.is_outdated(detect_context(session.profile_flag)),
        program=found.program,
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


def _states(found: Installed) -> dict[str, str]:
    if found.manager != "systemd":
        return {}
    asked = {unit: found.properties(unit) for unit in (found.socket, found.service)}
    return {unit: f"{said['ActiveState']} ({said['SubState']})" for unit, said in asked.items() if "SubState" in said}


def _lines(found: ServiceStatus) -> list[tuple[str, str]]:
    lines = [("Installed", f"yes, with {found.manager}" if found.installed else "no")]
    if found.installed:
        starts = {True: "yes", False: "no", None: "its manager does not tell"}[found.enabled]
        lines.append(("Starts by itself", starts))
        lines += [(unit, state) for unit, state in found.states.items()]
        lines.append(("Program", " ".join(found.program)))
        lines += [("Files" if number == 0 else "", path) for number, path in enumerate(found.files)]
        lines += [("Changed by hand", path) for path in found.changed_files]
    since = f", process {found.pid} since {moment(found.since)}" if found.since else ""
    lines.append(("Running", f"yes{since}" if found.running else "no"))
    if found.version:
        lines.append(("Version", found.version))
    lines += [("Listening" if number == 0 else "", address) for number, address in enumerate(found.listening)]
    return [*lines, ("Log", found.log)]


service.add_command(status)
service.add_command(logs)
service.add_command(start)
service.add_command(stop)
service.add_command(restart)


_LOOK_SECONDS: Final = 0.25
_NAMED: Final = ("time", "level", "logger", "event")


def last(file: Path, count: int) -> list[str]:
    """Return the last lines of the log; none if there is none."""
    try:
        with file.open("rb") as stream:
            return [_text(line) for line in deque(stream, maxlen=count)]
    except FileNotFoundError:
        return []


def followed(file: Path, count: int) -> Iterator[str]:
    """Yield the last lines, and each that is added, also after the daemon begins a new file."""
    first = file.exists()
    while True:
        with _opened(file) as stream:
            if first:
                yield from (_text(line) for line in deque(stream, maxlen=count))
            first = False
            yield from _added(file, stream)


def _opened(file: Path) -> BinaryIO:
    while True:
        try:
            return file.open("rb")
        except FileNotFoundError:
            time.sleep(_LOOK_SECONDS)


def _added(file: Path, stream: BinaryIO) -> Iterator[str]:
    part = b""
    while True:
        part += stream.readline()
        if part.endswith(b"\n"):
            yield _text(part)
            part = b""
        elif _replaced(file, stream):
            yield from (_text(line) for line in stream)  # what was written while we looked
            return
        else:
            time.sleep(_LOOK_SECONDS)


def readable(line: str) -> str:
    """Return a line of the log with its time first and its values behind its event; others as they are."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.MsgspecError:
        return shown(line)
    values = [f"{key}={_value(value)}" for key, value in fields.items() if key not in _NAMED]
    head = [
        _local(str(fields.get("time", ""))),
        str(fields.get("level", "")).upper().ljust(7),
        str(fields.get("event", "")),
    ]
    return shown("  ".join((" ".join(head), *([" ".join(values)] if values else []))).rstrip())


def _replaced(file: Path, stream: BinaryIO) -> bool:
    import os

    try:
        return not os.path.samestat(file.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return True


def _local(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return timestamp


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else msgspec.json.encode(value).decode()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
