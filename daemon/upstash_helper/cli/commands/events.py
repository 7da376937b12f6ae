"""``events``: follow the daemon's event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli.command import command
from upstash_helper.cli.commands.status import connection_summary
from upstash_helper.cli.output import note, print_json, printable, quoted
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.client.events import Event

_REVOCATIONS: Final = {
    "owner": "by you",
    "app": "by the app",
    "misused": "its token was misused",
    "expired": "its access has expired",
}


_EXAMPLES: Final = """
# Follow events in a terminal
upstash-helper events

# Feed them to a program, one JSON object per line
upstash-helper events --json | jq .event
"""


@command("events", examples=_EXAMPLES)
@click.option("--last-event-id", metavar="ID", default="", help="Start after this event, if the daemon still has it.")
@pass_session
def events(session: Session, *, last_event_id: str) -> None:
    """
    Print events as they happen, until Ctrl-C or the daemon stops.

    With --json, each event is a line: {"id", "event", "data"}.
    """
    for event in session.client.events(last_event_id=last_event_id, hello=True):
        if event.event == "hello":
            note("Waiting for events. Press Ctrl-C to stop.")
        elif session.json:
            print_json(event)
        else:
            click.echo(_line(event))
    note("The daemon stopped.")


def _line(event: Event) -> str:
    from datetime import datetime

    return f"{datetime.now().astimezone():%H:%M:%S}  {printable(event.event):<10}  {printable(_summary(event))}"


def _summary(event: Event) -> str:  # noqa: PLR0911 - one line for each event
    from upstash_helper.protocol.wire import Attempt, Connection, DatabaseChange
    from upstash_helper.protocol.wire_apps import Confirmation, Pairing, RevokedApp

    match event.data:
        case Connection():
            return connection_summary(event.data)
        case Attempt():
            return f"{event.data.state} ({event.data.reason})" if event.data.reason else event.data.state
        case DatabaseChange():
            return f"{event.data.change}  {event.data.id}  {event.data.name or ''}".rstrip()
        case Pairing(identity=identity, claimed_name=name, user_code=code, state=state):
            return f"{state}  {identity.shown}  calls itself {quoted(name)}  code {code}"
        case Confirmation(identity=identity, title=title, state=state):
            return f"{state}  {identity.shown_without_process or identity.shown}  {title}"
        case RevokedApp(name=name, app_id=app_id, reason=reason):
            return f"{_REVOCATIONS[reason]}  {app_id}  {quoted(name)}"
        case _:
            return "some events were missed" if event.data is None else ""
