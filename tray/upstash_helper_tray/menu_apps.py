"""The submenu of the apps that are let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper_tray.actions import OpenDashboard, Revoke
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.menu_parts import MOST, choice, confirmed, grouped, named, rest, said, submenu
from upstash_helper_tray.text import moment, short

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import App
    from upstash_helper_tray.menu.entries import Menu


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
