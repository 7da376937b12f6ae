"""``events``: follow what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli.commands.status import described
from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json, quoted, shown
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.client.events import Event

_REASONS: Final = {
    "owner": "by you",
    "app": "by itself",
    "misused": "its token came from elsewhere too often",
    "expired": "its time is over",
}


@command("events")
@click.option("--last-event-id", metavar="ID", default="", help="Begin after this event, if it is still known.")
@pass_session
def events(session: Session, *, last_event_id: str) -> None:
    """
    Follow what happens, until Ctrl-C or the daemon stops.

    With --json, one event a line: {"id", "event", "data"}.
    """
    for event in session.client.events(last_event_id=last_event_id, hello=True):
        if event.event == "hello":
            note("Following. Ctrl-C ends it.")
        elif session.json:
            print_json(event)
        else:
            click.echo(_line(event))
    note("The daemon has stopped.")


def _line(event: Event) -> str:
    from datetime import datetime

    return f"{datetime.now().astimezone():%H:%M:%S}  {shown(event.event):<10}  {shown(_told(event))}"


def _told(event: Event) -> str:
    from upstash_helper.protocol.wire import Attempt, Connection, DatabaseChange
    from upstash_helper.protocol.wire_apps import Pairing, RevokedApp

    match event.data:
        case Connection():
            return described(event.data)
        case Attempt():
            return f"{event.data.state} ({event.data.reason})" if event.data.reason else event.data.state
        case DatabaseChange():
            return f"{event.data.change}  {event.data.id}  {event.data.name or ''}".rstrip()
        case Pairing(identity=identity, claimed_name=name, user_code=code, state=state):
            return f"{state}  {identity.shown}  calls itself {quoted(name)}  code {code}"
        case RevokedApp(name=name, app_id=app_id, reason=reason):
            return f"{_REASONS[reason]}  {app_id}  {quoted(name)}"
        case _:
            return "events were missed" if event.data is None else ""
