"""The submenu of the databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from upstash_helper_tray.actions import CopyCredentials, OpenConsole, OpenDashboard, RefreshDatabases
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.menu_parts import MOST, choice, grouped, named, rest, said, submenu

if TYPE_CHECKING:
    from typing import Literal

    from upstash_helper.protocol.wire import Database
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.state import View

_COPIES: Final[tuple[tuple[str, Literal["redis_url", "rest", "dotenv"]], ...]] = (
    ("Copy Redis URL", "redis_url"),
    ("Copy REST URL and token", "rest"),
    ("Copy .env lines", "dotenv"),
)


def databases_menu(view: View) -> Menu:
    """Return the databases, each with what can be copied of it."""
    create = choice("Create…", OpenDashboard("databases"))
    refresh = choice("Refresh", RefreshDatabases())
    return submenu("Databases", grouped(said(view.databases_trouble), _list(view), (*create, *refresh)))


def _list(view: View) -> Menu:
    if view.databases is None:
        return () if view.databases_trouble else said("Loading…")
    if not view.databases:
        return said("None yet")
    shown = tuple(_database(one, view.console_url) for one in view.databases[:MOST])
    return (*shown, *rest(len(view.databases), OpenDashboard("databases")))


def _database(database: Database, console_url: str | None) -> Entry:
    copies = tuple(
        Entry(text=text, action=CopyCredentials(database_id=database.id, name=database.name, form=form))
        for text, form in _COPIES
    )
    # Two may have the same name: its address is each one's own.
    return Entry(
        text=named(database.name), entries=grouped(said(database.host), copies, _console(database, console_url))
    )


def _console(database: Database, console_url: str | None) -> Menu:
    if console_url is None:
        return ()
    return choice(
        "Open in the Upstash console",
        OpenConsole(f"{console_url}/redis/{quote(database.id, safe='', errors='replace')}"),
    )
