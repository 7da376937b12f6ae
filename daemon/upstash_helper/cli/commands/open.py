"""``open``: the dashboard."""

from __future__ import annotations

from typing import Final

import click

from upstash_helper.cli.command import command
from upstash_helper.cli.output import note, note_if_not_recorded, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client.dashboard_link import open_dashboard

_EXAMPLES: Final = """
# Open it in the default browser
upstash-helper open

# Print the address, to open it in another browser on this machine
upstash-helper open --print
"""


@command("open", examples=_EXAMPLES)
@click.option("--print", "print_only", is_flag=True, help="Print the address instead of opening the browser.")
@pass_session
def open_(session: Session, *, print_only: bool) -> None:
    """
    Open the dashboard in the browser.

    The address works once, within a minute. It gives full control of the helper: do not share it.
    """
    ticket = session.client.open_dashboard()
    note_if_not_recorded(ticket)
    if session.json:
        print_json({"url": ticket.url, "expires_at": ticket.expires_at})
        return
    if print_only:
        click.echo(ticket.url)
        return

    if open_dashboard(session.folders.runtime, ticket.url):
        note(f"Opening the dashboard in your browser. If nothing happens: {session.command('open', '--print')}")
        return
    note("No browser could be opened. Within a minute, open this address in a browser on this machine:\n")
    click.echo(ticket.url)
