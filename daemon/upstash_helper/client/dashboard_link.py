"""Passing the dashboard's address to the browser without exposing the ticket in it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = "dashboard.html"


def leave_page(runtime: Path, url: str) -> Path:
    """
    Write a page to the runtime folder that redirects to ``url``, and return its path.

    A browser gets its address as an argument, which every user of the machine can read in the list of processes. So the
    argument is the address of this file, which only its owner can read, and the ticket is inside. A ``meta`` redirect
    keeps the fragment, needs no script, and reaches the daemon as a navigation to ``/``, which it accepts.

    The file is not deleted, since there is no event when a browser that is still starting has read it. The ticket works
    once, within a minute, and the next page replaces this one.

    Raises:
        OSError: If it cannot be written.
    """
    address = html.escape(url)
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={address}">
<title>upstash-helper</title>
<p>Opening the dashboard. If nothing happens, <a href="{address}">open it here</a>.</p>
</html>
"""
    private_files.make_folder(runtime)
    file = runtime / PAGE
    private_files.write(file, page.encode())
    return file


def browse(address: str) -> bool:
    """Open an address in the user's browser. Return False if no browser can be started."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
