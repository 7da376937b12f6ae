"""``open``: the dashboard."""

from __future__ import annotations

from typing import Final

import click

from upstash_helper.cli.command import command
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import note, note_if_not_recorded, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client.dashboard_link import open_dashboard

_EXAMPLES: Final = """
# Open it in the default browser
upstash-helper open

# Print the address, to open it in another browser on this machine
upstash-helper open --print

# For a browser that cannot find addresses that end in .localhost
upstash-helper open --print --numeric
"""


@command("open", examples=_EXAMPLES)
@click.option("--print", "print_only", is_flag=True, help="Print the address instead of opening the browser.")
@click.option("--numeric", is_flag=True, help="Use numbers in the address instead of a name.")
@pass_session
def open_(session: Session, *, print_only: bool, numeric: bool) -> None:
    """
    Open the dashboard in the browser.

    The address works once, within a minute. It gives full control of the helper: do not share it.
    """
    # A browser that is opened tries the name first.
    ticket = session.client.open_dashboard(numeric=numeric or not (print_only or session.json))
    url = ticket.url
    if numeric:
        if ticket.numeric_url is None:
            message = "The daemon cannot open a numeric address. Its log has the reason: upstash-helper service logs"
            raise Failure(message, code="no_numeric_address")
        url = ticket.numeric_url
    note_if_not_recorded(ticket)
    if session.json:
        print_json({"url": url, "expires_at": ticket.expires_at})
        return
    if print_only:
        click.echo(url)
        return

    if open_dashboard(session.folders.runtime, url, ticket.numeric_url):
        note(f"Opening the dashboard in your browser. If nothing happens: {session.command('open', '--print')}")
        return
    note("No browser could be opened. Within a minute, open this address in a browser on this machine:\n")
    click.echo(url)
