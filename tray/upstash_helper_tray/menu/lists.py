"""The submenus with the databases and the apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from upstash_helper_tray.menu.actions import CopyCredentials, OpenConsole, OpenDashboard, RefreshDatabases, Revoke
from upstash_helper_tray.menu.entries import (
    MAX_ENTRIES,
    Entry,
    confirmed,
    display_name,
    grouped,
    item,
    label,
    show_all,
    submenu,
)
from upstash_helper_tray.presentation.text import local_time, shorten

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Database
    from upstash_helper.protocol.wire_apps import App
    from upstash_helper_tray.menu.actions import CredentialsFormat
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.sync.state import TrayState

_COPY_ITEMS: Final[tuple[tuple[str, CredentialsFormat], ...]] = (
    ("Copy Redis URL", "redis_url"),
    ("Copy REST URL and token", "rest"),
    ("Copy .env lines", "dotenv"),
)


# --- databases --------------------------------------------------------------------------------------------------------


def databases_menu(state: TrayState) -> Menu:
    """Return the databases, each with the credentials that can be copied."""
    create = item("Create…", OpenDashboard("databases"))
    refresh = item("Refresh", RefreshDatabases())
    return submenu("Databases", grouped(label(state.databases_error), _databases(state), (*create, *refresh)))


def _databases(state: TrayState) -> Menu:
    if state.databases is None:
        return () if state.databases_error else label("Loading…")
    if not state.databases:
        return label("No databases yet")
    shown = tuple(_database(database, state.console_url) for database in state.databases[:MAX_ENTRIES])
    return (*shown, *show_all(len(state.databases), OpenDashboard("databases")))


def _database(database: Database, console_url: str | None) -> Entry:
    copies = tuple(
        Entry(text=text, action=CopyCredentials(database_id=database.id, name=database.name, form=form))
        for text, form in _COPY_ITEMS
    )
    # Two databases may have the same name, but each has its own host.
    return Entry(
        text=display_name(database.name),
        entries=grouped(label(database.host), copies, _console(database, console_url)),
    )


def _console(database: Database, console_url: str | None) -> Menu:
    if console_url is None:
        return ()
    return item(
        "Open in the Upstash console",
        OpenConsole(f"{console_url}/redis/{quote(database.id, safe='', errors='replace')}"),
    )


# --- apps -------------------------------------------------------------------------------------------------------------


def apps_menu(apps: tuple[App, ...]) -> Menu:
    """Return the apps that have access, each with an item that revokes it."""
    shown = tuple(_app(app) for app in apps[:MAX_ENTRIES]) or label("No apps connected yet")
    # Only one of the two: both lead to the same page.
    more = show_all(len(apps), OpenDashboard("apps")) or item("Open in the dashboard…", OpenDashboard("apps"))
    return submenu("Apps", grouped(shown, more))


def _app(app: App) -> Entry:
    lines = (
        *label(app.identity.shown_without_process or app.identity.shown),
        *label(f"Last used {local_time(app.last_used_at)}"),
        *_mismatches(app.mismatches),
    )
    return Entry(text=display_name(app.name), entries=grouped(lines, _revoke(app)))


def _mismatches(count: int) -> Menu:
    if count == 0:
        return ()
    return label(f"Token used by another program {'once' if count == 1 else f'{count} times'}")


def _revoke(app: App) -> Menu:
    # The name is the app's own claim; the identity is what the user can rely on.
    consequence = f"{shorten(app.identity.shown)} loses access immediately. It can request access again."
    return confirmed("Revoke", consequence, f"Revoke {display_name(app.name)}", Revoke(app_id=app.id, name=app.name))
