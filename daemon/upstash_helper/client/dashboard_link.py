"""Opening the dashboard in the browser without exposing the ticket in its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.system.browser import browse_privately

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "dashboard"


def open_dashboard(runtime: Path, url: str, numeric_url: str | None = None, *, link: str | None = None) -> bool:
    """
    Open the dashboard's address, which contains a ticket. Return False if no browser can be started.

    Args:
        runtime: The profile's runtime folder, for a file that redirects if there is no link.
        url: The address. The ticket works once, within a minute.
        numeric_url: The address for a browser that does not open the name in ``url``.
        link: A one-time link to the same.
    """
    return browse_privately(url, link=link, folder=runtime, name=NAME, fallback=numeric_url or "")
