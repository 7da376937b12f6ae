"""``open``: the dashboard."""

from __future__ import annotations

import os
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
    # A browser that is started tries the name first, unless the user wants the numeric address.
    ticket = session.client.open_dashboard(numeric=numeric, link=not (print_only or session.json))
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

    if open_dashboard(session.folders.runtime, url, ticket.numeric_url, link=ticket.link):
        note(f"Opening the dashboard in your browser. If nothing happens: {session.command('open', '--print')}")
        return
    _show_address(session, url)


def _show_address(session: Session, url: str) -> None:
    """Print the address, and over SSH how the browser of the user's computer reaches it."""
    from urllib.parse import urlsplit

    from upstash_helper.system.ssh import forwarding_command

    parts = urlsplit(url)
    # The name is 127.0.0.1, there as well as here.
    host = "127.0.0.1" if (parts.hostname or "").endswith(".localhost") else parts.hostname or ""
    forward = forwarding_command(parts.port or 80, os.environ, host=host)
    if forward is None:
        note("No browser could be opened. Within a minute, open this address in a browser on this machine:\n")
    else:
        again = session.command("open", "--print")
        note(f"This is an SSH session. On your computer, forward the helper's port:\n\n  {forward}\n")
        note(f"Then, within a minute, open this address in a browser there (for a new one: {again}):\n")
    click.echo(url)
