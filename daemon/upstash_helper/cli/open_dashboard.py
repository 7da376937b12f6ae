"""``open``."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client import discovery, private

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = "dashboard.html"


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

    if _browse(leave_page(session.folders.runtime, ticket.url)):
        note(f"The dashboard opens in your browser. If it does not: {session.command('open', '--print')}")
        return
    note("No browser could be opened. Open this address in one on this machine, within a minute:\n")
    click.echo(ticket.url)


def leave_page(runtime: Path, url: str) -> Path:
    """
    Leave a page in the runtime folder that leads to ``url``, and return where it is.

    A browser is given its address as an argument, which every user of the machine can read in the list of processes.
    So the argument is this file, which its user alone can read, and the ticket is in there. A redirect by ``meta``
    keeps the fragment, needs no script, and arrives at the daemon as what it lets in: a navigation to ``/``.

    The file stays, since nothing tells when a browser that has yet to start will have read it. What it holds is worth
    nothing once it was used, or after a minute, and the next one takes its place.

    Raises:
        OSError: If it cannot be written.
    """
    place = html.escape(url)
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={place}">
<title>upstash-helper</title>
<p>The dashboard opens. If it does not, <a href="{place}">open it</a>.</p>
</html>
"""
    discovery.make_private(runtime)
    file = runtime / PAGE
    private.write(file, page.encode())
    return file


def _browse(file: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(file.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False
