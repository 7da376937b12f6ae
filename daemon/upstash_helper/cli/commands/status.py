"""``status``: the daemon and the connection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from upstash_helper import __version__
from upstash_helper.cli.command import command
from upstash_helper.cli.commands.replacement import show_question
from upstash_helper.cli.output import key_values, local_time, note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.messages import AUTO_APPROVE, CONNECTION, METHODS, how_to_connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upstash_helper.protocol.literals import AccountAccess
    from upstash_helper.protocol.wire import Account, Connection, DaemonStatus, Listener, TrayStatus

_METHODS = {"oauth": "by signing in", "grant": "by signing in", "api_key": "with an API key"}
_ACCESS: Final[dict[AccountAccess, str]] = {
    "full": "full",
    "read_only": "read-only: apps cannot create or change databases",
}


_NETWORK_VARIABLES: Final = frozenset({"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE"})


@command("status")
@pass_session
def status(session: Session) -> None:
    """Show the daemon and the connection."""
    found = session.client.status()

    if session.json:
        print_json(found)
    else:
        click.echo(key_values(_rows(found)))
        _show_hints(session, found)


def connection_summary(connection: Connection, *, with_method: bool = True) -> str:
    """Return the state of a connection as a phrase, with its account, time, and, unless a row has it, method."""
    message = CONNECTION.get(connection.state)
    text = connection.title or (message.title if message else connection.state)
    if with_method and connection.method and connection.state in {"connected", "reconnect_required"}:
        text += f", {_METHODS[connection.method]}"
    return f"{text}, since {local_time(connection.since)}" if connection.since else text


def next_step(session: Session, connection: Connection | None) -> str:
    """Return how to connect an account, as one sentence. None: it is not known whether a sign-in can be started."""
    step = how_to_connect(can_sign_in=connection is None or connection.can_sign_in)
    return f"{step.text}: {session.command(*step.command.split()[1:])}"


def account_name(account: Account) -> str:
    """Return an account as the user knows it: the email address, and the team if it is not the personal account."""
    return f"{account.email} (team {account.team_id})" if account.team_id else account.email


def _account_rows(connection: Connection) -> list[tuple[str, str]]:
    """Return which account is connected, what is allowed, by which sign-in, and where the console lists that."""
    rows = []
    if connection.account:
        rows.append(("Account", _account(connection.account, method=connection.method)))
    if connection.access:
        rows.append(("Access", _ACCESS[connection.access]))
    if connection.method:
        rows.append(("Connected", METHODS[connection.method]))
    if connection.api_key_name:
        rows.append(("In the console", f"API key {connection.api_key_name}, under Account > Management API"))
    if connection.grant_name and connection.state == "connected":
        rows.append(("In the console", f"{connection.grant_name}, under Account > OAuth Clients"))
    return rows


def _account(account: Account, *, method: str | None) -> str:
    if account.team_id:
        return f"{account.email}, team {account.team_id} ({account.team_role or 'role unknown'})"
    # An API key does not say whether it is a team's.
    return f"{account.email}, personal account" if method == "grant" else account.email


def _rows(found: DaemonStatus) -> list[tuple[str, str]]:
    rows = [
        (
            "Daemon",
            f"version {found.version}, process {found.pid}, since {local_time(found.started_at)}{_started_by(found)}",
        ),
        ("Profile", found.profile),
        *_listening(found.listeners),
        *_upstream(found),
        *((("Access requests", AUTO_APPROVE),) if found.auto_approve else ()),
        ("Connection", connection_summary(found.connection, with_method=False)),
        *_account_rows(found.connection),
    ]
    store = found.connection.credential_store
    if store:
        detail = f" ({store.detail})" if store.detail not in ("", found.connection.detail) else ""
        state = "not used yet" if store.state == "unknown" else store.state
        rows.append(("Credentials", f"{store.kind}: {state}{detail}"))
    if found.tray:
        rows.append(("Tray icon", _tray(found.tray)))
    if found.network and found.network.proxy:
        source = (found.network.proxy_source or "").removeprefix("The ")
        rows.append(("Proxy", f"{found.network.proxy} ({source})"))
    if found.network and found.network.ca_file:
        rows.append(("Certificates", found.network.ca_file))
    if found.log_file:
        rows.append(("Log", found.log_file))
    return rows


def _upstream(found: DaemonStatus) -> list[tuple[str, str]]:
    """Return what the daemon manages, unless it is Upstash."""
    if found.upstream == "upstash":
        return []
    what = "sandbox, a local Upstash" if found.upstream == "sandbox" else "not Upstash"
    return [("Upstream", f"{what} ({found.api_url})")]


def _started_by(found: DaemonStatus) -> str:
    """Return what started the daemon, unless the user did."""
    return {"socket": ", started on demand", "service": ", started as a service"}.get(found.started_by, "")


def _tray(tray: TrayStatus) -> str:
    if tray.state == "unavailable":
        return "none"
    since = f", since {local_time(tray.since)}" if tray.since else ""
    return f"attached ({tray.backend}){since}"


def _listening(listeners: Sequence[Listener]) -> list[tuple[str, str]]:
    sign_in = [one for one in listeners if one.use == "sign_in"]
    rest = ", ".join(_listener(one) for one in listeners if one.use != "sign_in")
    if not sign_in:
        return [("Listening", rest)]
    port = sign_in[0].address.rpartition(":")[2]
    if sign_in[0].state == "on_demand":
        return [("API", f"http://{rest}"), ("Sign-in", f"port {port}, only while a sign-in is pending")]
    return [("API", f"http://{rest}"), ("Sign-in", f"port {port}: {', '.join(map(_listener, sign_in))}")]


def _listener(listener: Listener) -> str:
    match listener.state:
        case "listening":
            return listener.address
        case "absent":
            return f"{listener.address} (not available on this machine)"
        case "taken":
            return f"{listener.address} (in use by {listener.holder or 'another program'})"
        case "on_demand":
            return f"{listener.address} (only while a sign-in is pending)"


def _show_hints(session: Session, found: DaemonStatus) -> None:
    show_question(session, found.connection)
    attempt = found.connection.attempt
    waiting = attempt.detail if attempt and attempt.waiting else None
    if found.connection.state == "disconnected":
        note(next_step(session, found.connection))
    elif found.connection.detail:
        note(found.connection.detail, color="yellow")
    elif waiting:
        note(waiting, color="yellow")
    for hint in () if waiting else found.hints:
        note(hint.detail, color="yellow")
    _show_steps(session, found.connection)
    if not _NETWORK_VARIABLES.isdisjoint(os.environ):
        from upstash_helper.cli.daemon_network import describe, lost_by_daemon

        for lost in lost_by_daemon(found):
            note(describe(session, lost), color="yellow")
    see = session.command("approvals", "list")
    if pending := _count(session.client.pairings):
        requests = "1 app requests" if pending == 1 else f"{pending} apps request"
        note(f"{requests} access. See: {see}", color="yellow")
    if pending := _count(session.client.confirmations):
        questions = "An app needs" if pending == 1 else f"{pending} questions from apps need"
        note(f"{questions} your confirmation. See: {see}", color="yellow")
    if found.version != __version__:
        note(f"This command is version {__version__}. To update the running daemon: {session.command('restart')}")


def _show_steps(session: Session, connection: Connection) -> None:
    """Print what the user can do about a connection that does not work as it could."""
    if connection.state == "connecting":
        return
    for step in connection.next_steps:
        if connection.state == "disconnected" and step.command:
            continue  # how to connect is shown already
        note(f"{step.text}: {session.command(*step.command.split()[1:])}" if step.command else f"{step.text}.")


def _count(read: Callable[[], Sequence[object]]) -> int:
    """Return how many items wait for the user; 0 on an error, so that the rest of the status is shown."""
    from upstash_helper.protocol.errors import ClientError

    try:
        return len(read())
    except ClientError:
        return 0
