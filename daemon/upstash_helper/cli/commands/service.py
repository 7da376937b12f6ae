"""``service``: the helper that is installed; how it stands, what it logs, starting and stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.commands.start_stop import restart, start, stop
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, sheet
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
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
    from upstash_helper.cli.log_lines import followed, last, readable
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
    from upstash_helper.service.control import find
    from upstash_helper.service.facts import gather

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
        outdated=planner.is_outdated(gather(session.profile_flag)),
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
