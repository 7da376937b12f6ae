"""``status``: the daemon and the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper import __version__
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, sheet, styled
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstash_helper.protocol.wire import Connection, DaemonStatus, Listener, TrayStatus

_WORDS = {
    "disconnected": "not connected",
    "connecting": "a sign-in is running",
    "connected": "connected",
    "needs_email": "signed in, but the e-mail of the account is missing",
    "reconnect_required": "Upstash no longer takes the API key",
    "keyring_locked": "the keyring is locked",
    "keyring_unavailable": "there is no keyring",
    "port_conflict": "another program has one of the addresses that a sign-in comes back to",
}
_METHODS = {"oauth": "signed in with Upstash", "api_key": "with an API key"}


@command("status")
@pass_session
def status(session: Session) -> None:
    """Show the daemon and the connection."""
    found = session.client.status()

    if session.json:
        print_json(found)
    else:
        click.echo(sheet(_rows(found)))
        _advise(session, found)


def described(connection: Connection) -> str:
    """Return a connection as a phrase."""
    text = _WORDS.get(connection.state, connection.state)
    if connection.state == "connected" and connection.account:
        text = f"connected as {connection.account.email}"
    if connection.method and connection.state in {"connected", "reconnect_required"}:
        text += f", {_METHODS[connection.method]}"
    return f"{text}, since {moment(connection.since)}" if connection.since else text


def _rows(found: DaemonStatus) -> list[tuple[str, str]]:
    rows = [
        ("Daemon", f"version {found.version}, process {found.pid}, since {moment(found.started_at)}{_how(found)}"),
        ("Profile", found.profile),
        *_listening(found.listeners),
        ("Connection", described(found.connection)),
    ]
    if found.connection.api_key_name:
        rows.append(("API key", found.connection.api_key_name))
    store = found.connection.credential_store
    if store:
        detail = f" ({store.detail})" if store.detail else ""
        state = "not used yet" if store.state == "unknown" else store.state
        rows.append(("Kept in", f"{store.kind}: {state}{detail}"))
    if found.tray:
        rows.append(("Tray icon", _tray(found.tray)))
    if found.log_file:
        rows.append(("Log", found.log_file))
    return rows


def _how(found: DaemonStatus) -> str:
    """Return what started it, where that is not a person."""
    return {"socket": ", started on demand", "service": ", started as a service"}.get(found.started_by, "")


def _tray(tray: TrayStatus) -> str:
    if tray.state == "unavailable":
        return "none"
    since = f", since {moment(tray.since)}" if tray.since else ""
    return f"attached ({tray.backend}){since}"


def _listening(listeners: Sequence[Listener]) -> list[tuple[str, str]]:
    sign_in = [one for one in listeners if one.use == "sign_in"]
    rest = ", ".join(_listener(one) for one in listeners if one.use != "sign_in")
    if not sign_in:
        return [("Listening", rest)]
    port = sign_in[0].address.rpartition(":")[2]
    if sign_in[0].state == "on_demand":
        return [("API", f"http://{rest}"), ("Sign-in", f"on port {port}, only while one runs")]
    return [("API", f"http://{rest}"), ("Sign-in", f"on port {port}, now: {', '.join(map(_listener, sign_in))}")]


def _listener(listener: Listener) -> str:
    match listener.state:
        case "listening":
            return listener.address
        case "absent":
            return f"{listener.address} (this machine has no such address)"
        case "taken":
            return f"{listener.address} (taken by {listener.holder or 'another program'})"
        case "on_demand":
            return f"{listener.address} (only while a sign-in runs)"


def _advise(session: Session, found: DaemonStatus) -> None:
    attempt = found.connection.attempt
    waiting = attempt.detail if attempt and attempt.waiting else None
    if found.connection.detail:
        note(styled(found.connection.detail, "yellow"))
    elif waiting:
        note(styled(waiting, "yellow"))
    elif found.connection.state == "disconnected":
        note(f"Connect an account with: {session.command('connect')}")
    for hint in () if waiting else found.hints:
        note(styled(hint.detail, "yellow"))
    apps = _waiting(session)
    if apps:
        see = session.command("approvals", "list")
        note(styled(f"{apps} {'app waits' if apps == 1 else 'apps wait'} for your decision. See: {see}", "yellow"))
    if found.version != __version__:
        note(f"This command has version {__version__}. Bring the daemon to it with: {session.command('restart')}")


def _waiting(session: Session) -> int:
    """Return how many apps wait for the user. Not knowing that is no reason to show nothing else."""
    from upstash_helper.protocol.errors import ClientError

    try:
        return len(session.client.pairings())
    except ClientError:
        return 0
