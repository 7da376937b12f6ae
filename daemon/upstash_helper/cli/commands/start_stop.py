"""``start``, ``stop``, ``restart``: the background daemon of this user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli.commands.run import setting_flags
from upstash_helper.cli.daemon.lifecycle import bring_up, client, halt, installed_service, is_on_demand, running
from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import DaemonStatus


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``start`` and ``restart`` as JSON."""

    pid: int
    base_url: str
    version: str
    already_running: bool


class Stopped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of ``stop`` as JSON."""

    was_running: bool
    starts_on_demand: bool = False
    """Whether the next request starts it again."""


@command("start")
@setting_flags
@pass_session
def start(session: Session, *, flags: dict[str, object]) -> None:
    """
    Start the daemon in the background.

    It runs until `upstash-helper stop`, or until the system stops. The flags are settings for this run; config.toml
    says them for good.
    """
    already = discovery.is_running(session.folders.runtime)
    _report_start(session, running(session) if already else bring_up(session, flags), already=already)


@command("stop")
@pass_session
def stop(session: Session) -> None:
    """Stop the daemon. What it is writing is finished first."""
    installed = installed_service(session)
    on_demand = installed is None and is_on_demand(session)
    was_running = halt(session)
    if session.json:
        print_json(Stopped(was_running=was_running, starts_on_demand=on_demand))
        return
    click.echo("The daemon is stopped." if was_running else "The daemon was not running.")
    if installed is not None and installed.manager == "systemd":
        note(f"Until the next login, no request starts it again. You can: {session.command('start')}")
    if on_demand:
        note(
            "The next request starts it again. To end it for good: systemctl --user stop upstash-helper.socket,"
            f" or: {session.command('uninstall')}"
        )


@command("restart")
@setting_flags
@pass_session
def restart(session: Session, *, flags: dict[str, object]) -> None:
    """Stop the daemon and start it again, with the settings as they are now."""
    halt(session)
    _report_start(session, bring_up(session, flags), already=False)


def _report_start(session: Session, status: DaemonStatus, *, already: bool) -> None:
    base_url = client(session).base_url
    if session.json:
        print_json(Started(pid=status.pid, base_url=base_url, version=status.version, already_running=already))
        return
    state = "was running already" if already else "is running"
    click.echo(f"The daemon {state} at {base_url} (process {status.pid}).")
    if status.connection.state == "disconnected":
        click.echo(f"Connect an account with: {session.command('connect')}")
