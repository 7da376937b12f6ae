"""``status``: the daemon and the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper import __version__
from upstash_helper.cli.command import command
from upstash_helper.cli.commands.replacement import show_question
from upstash_helper.cli.output import colored, key_values, local_time, note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.messages import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstash_helper.protocol.wire import Connection, DaemonStatus, Listener, TrayStatus

_METHODS = {"oauth": "by signing in", "api_key": "with an API key"}


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


def connection_summary(connection: Connection) -> str:
    """Return the state of a connection as a phrase, with its account, method, and time."""
    email = connection.account.email if connection.account else "an unknown account"
    message = CONNECTION.get(connection.state)
    text = message.title.format(email=email) if message else connection.state
    if connection.method and connection.state in {"connected", "reconnect_required"}:
        text += f", {_METHODS[connection.method]}"
    return f"{text}, since {local_time(connection.since)}" if connection.since else text


def _rows(found: DaemonStatus) -> list[tuple[str, str]]:
    rows = [
        (
            "Daemon",
            f"version {found.version}, process {found.pid}, since {local_time(found.started_at)}{_started_by(found)}",
        ),
        ("Profile", found.profile),
        *_listening(found.listeners),
        ("Connection", connection_summary(found.connection)),
    ]
    if found.connection.api_key_name:
        rows.append(("API key", found.connection.api_key_name))
    store = found.connection.credential_store
    if store:
        detail = f" ({store.detail})" if store.detail else ""
        state = "not used yet" if store.state == "unknown" else store.state
        rows.append(("Credentials", f"{store.kind}: {state}{detail}"))
    if found.tray:
        rows.append(("Tray icon", _tray(found.tray)))
    if found.log_file:
        rows.append(("Log", found.log_file))
    return rows


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
    if found.connection.detail:
        note(colored(found.connection.detail, "yellow"))
    elif waiting:
        note(colored(waiting, "yellow"))
    elif found.connection.state == "disconnected":
        note(f"Connect an account with: {session.command('connect')}")
    for hint in () if waiting else found.hints:
        note(colored(hint.detail, "yellow"))
    pending = _pending_requests(session)
    if pending:
        see = session.command("approvals", "list")
        requests = "1 app requests" if pending == 1 else f"{pending} apps request"
        note(colored(f"{requests} access. See: {see}", "yellow"))
    if found.version != __version__:
        note(f"This command is version {__version__}. To update the running daemon: {session.command('restart')}")


def _pending_requests(session: Session) -> int:
    """Return the number of pending requests; 0 on an error, so that the rest of the status is shown."""
    from upstash_helper.protocol.errors import ClientError

    try:
        return len(session.client.pairings())
    except ClientError:
        return 0
