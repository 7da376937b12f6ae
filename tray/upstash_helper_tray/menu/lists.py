"""The submenu of the databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from upstash_helper_tray.actions import CopyCredentials, OpenConsole, OpenDashboard, RefreshDatabases, Revoke
from upstash_helper_tray.menu.entries import MOST, Entry, choice, confirmed, grouped, named, rest, said, submenu
from upstash_helper_tray.text import moment, short

if TYPE_CHECKING:
    from typing import Literal

    from upstash_helper.protocol.wire import Database
    from upstash_helper.protocol.wire_apps import App
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


def apps_menu(apps: tuple[App, ...]) -> Menu:
    """Return the apps, each with the way to let it in no longer."""
    shown = tuple(_app(one) for one in apps[:MOST]) or said("No app is let in")
    # The way to all of them stands below anyway: no second one that goes to the same place.
    below = rest(len(apps), OpenDashboard("apps")) or choice("Open in the dashboard…", OpenDashboard("apps"))
    return submenu("Apps", grouped(shown, below))


def _app(app: App) -> Entry:
    words = (*said(app.identity.shown), *said(f"Last used {moment(app.last_used_at)}"), *_mismatches(app.mismatches))
    return Entry(text=named(app.name), entries=grouped(words, _revoke(app)))


def _mismatches(count: int) -> Menu:
    if count == 0:
        return ()
    return said(f"Its token came from elsewhere {'once' if count == 1 else f'{count} times'}")


def _revoke(app: App) -> Menu:
    # The name is the app's own words: whom it hits is told by the identity.
    meaning = f"{short(app.identity.shown)} loses its access at once. It can ask again."
    return confirmed("Revoke", meaning, f"Revoke {named(app.name)}", Revoke(app_id=app.id, name=app.name))
