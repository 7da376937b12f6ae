"""Passing the dashboard's address to the browser without exposing the ticket in it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = "dashboard.html"


# Whether the browser opens the name shows in whether it gets any response from there. Without scripts, the page tries.
_SCRIPT: Final = """
const { url, numeric } = document.currentScript.dataset;
fetch(new URL("/reachable", url), { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(5000) }).then(
  () => location.replace(url),
  () => numeric ? location.replace(numeric) : document.getElementById("unreachable").removeAttribute("hidden"),
);
"""


def leave_page(runtime: Path, url: str, numeric_url: str | None = None) -> Path:
    """
    Write a page to the runtime folder that continues to ``url``, or to ``numeric_url`` if the browser does not open the
    name in ``url``. Return its path.

    A browser gets its address as an argument, which every user of the machine can read in the list of processes. So the
    argument is the address of this file, which only its owner can read, and the ticket is inside. It reaches the daemon
    as a navigation to ``/``, which it accepts.

    The file is not deleted, since there is no event when a browser that is still starting has read it. The ticket works
    once, within a minute, and the next page replaces this one.

    Raises:
        OSError: If it cannot be written.
    """
    address, numeric = html.escape(url), html.escape(numeric_url or "")
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<noscript><meta http-equiv="refresh" content="0;url={address}"></noscript>
<title>upstash-helper</title>
<p>Opening the dashboard. If nothing happens, <a href="{address}">open it here</a>.</p>
<p id="unreachable" hidden>This browser cannot open it: is the helper running? Try again: upstash-helper open</p>
<script data-url="{address}" data-numeric="{numeric}">{_SCRIPT}</script>
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
