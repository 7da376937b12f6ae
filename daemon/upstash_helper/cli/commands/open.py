"""``open``."""

from __future__ import annotations

import click

from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client.dashboard_link import browse, leave_page


@command("open")
@click.option("--print", "print_only", is_flag=True, help="Only print the address; it is good once, for a minute.")
@pass_session
def open_(session: Session, *, print_only: bool) -> None:
    """
    Open the dashboard in the browser.

    The address is good once, for a minute, and whoever opens it may do all that you may: give it to nobody.
    """
    ticket = session.client.open_dashboard()
    if session.json:
        print_json({"url": ticket.url, "expires_at": ticket.expires_at})
        return
    if print_only:
        click.echo(ticket.url)
        return

    page = leave_page(session.folders.runtime, ticket.url)
    if browse(page.resolve().as_uri()):
        note(f"The dashboard opens in your browser. If it does not: {session.command('open', '--print')}")
        return
    note("No browser could be opened. Open this address in one on this machine, within a minute:\n")
    click.echo(ticket.url)
