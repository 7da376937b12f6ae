"""``start``, ``stop``, and ``restart``: the background daemon of this user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli.command import command
from upstash_helper.cli.commands.run import settings_command
from upstash_helper.cli.daemon.lifecycle import (
    discover,
    installed_service,
    start_daemon,
    stop_daemon,
    wait_while_running,
    was_socket_activated,
)
from upstash_helper.cli.output import note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from upstash_helper.cli.daemon.run_flags import ParsedFlags
    from upstash_helper.protocol.wire import DaemonStatus


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``start`` and ``restart`` as JSON."""

    pid: int
    base_url: str
    version: str
    already_running: bool


class Stopped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of ``stop`` as JSON."""

    was_running: bool
    starts_on_demand: bool = False
    """Whether the next request starts it again."""


@settings_command("start")
@pass_session
def start(session: Session, *, flags: ParsedFlags) -> None:
    """
    Start the daemon in the background.

    It runs until `upstash-helper stop` or until the system shuts down. Each flag overrides a setting for this run; to
    change a setting permanently, use config.toml.
    """
    running = wait_while_running(session) if discovery.is_running(session.folders.runtime) else None
    status = running or start_daemon(session, flags.settings)
    _show_started(session, status, already=running is not None)


@command("stop")
@pass_session
def stop(session: Session) -> None:
    """Stop the daemon, after it has finished pending writes."""
    installed = installed_service(session)
    on_demand = installed is None and was_socket_activated(session)
    was_running = stop_daemon(session)
    if session.json:
        print_json(Stopped(was_running=was_running, starts_on_demand=on_demand))
        return
    click.echo("The daemon was stopped." if was_running else "The daemon was not running.")
    if installed is not None and installed.manager == "systemd":
        note(f"Requests do not start it until the next login. To start it now: {session.command('start')}")
    if on_demand:
        note(
            "The next request starts it again. To prevent that: systemctl --user stop upstash-helper.socket,"
            f" or: {session.command('uninstall')}"
        )


@settings_command("restart")
@pass_session
def restart(session: Session, *, flags: ParsedFlags) -> None:
    """Stop the daemon and start it again, with the current settings."""
    stop_daemon(session)
    _show_started(session, start_daemon(session, flags.settings), already=False)


def _show_started(session: Session, status: DaemonStatus, *, already: bool) -> None:
    base_url = discover(session).base_url
    if session.json:
        print_json(Started(pid=status.pid, base_url=base_url, version=status.version, already_running=already))
        return
    state = "was already running" if already else "is running"
    click.echo(f"The daemon {state} at {base_url} (process {status.pid}).")
    if status.connection.state == "disconnected":
        click.echo(f"Connect an account with: {session.command('connect')}")
