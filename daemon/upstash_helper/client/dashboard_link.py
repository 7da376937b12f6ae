"""How a browser gets to know the dashboard's address, and nobody else does."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = "dashboard.html"


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
    private_files.make_folder(runtime)
    file = runtime / PAGE
    private_files.write(file, page.encode())
    return file


def browse(address: str) -> bool:
    """Open an address in the user's browser; False where none can be started."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
