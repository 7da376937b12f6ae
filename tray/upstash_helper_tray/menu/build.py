"""The menu as a pure function of what the tray knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper_tray.actions import (
    OpenDashboard,
    Quit,
    ShowAbout,
    ShowLog,
    StartAtLogin,
    StartDaemon,
    StopDaemon,
)
from upstash_helper_tray.menu.approvals import approvals
from upstash_helper_tray.menu.connection import connection_choices, heading
from upstash_helper_tray.menu.entries import choice, confirmed, grouped, said
from upstash_helper_tray.menu.lists import apps_menu, databases_menu

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Connection
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.state import View


def menu_for(view: View) -> Menu:
    """Return the menu: how things are first, then what can be done about it, and what is always there at the end."""
    if view.daemon == "absent":
        words = (*said("The helper is not running"), *said(view.trouble))
        return grouped(words, choice("Start the helper", StartDaemon()), _tray(view), _quit())
    if view.daemon == "mismatched":
        # Nothing is offered: what it would take to stop that daemon, the tray cannot say to it.
        return grouped((*said("The helper is of another version"), *said(view.trouble)), _tray(view), _quit())
    if view.daemon == "starting" or view.connection is None:
        # Who waits is known first; the connection may have to wait for the keyring.
        return grouped(said("Starting…"), approvals(view.pairings), _tray(view), _quit())
    return _running(view, view.connection)


def _running(view: View, connection: Connection) -> Menu:
    return grouped(
        heading(connection),
        approvals(view.pairings),
        connection_choices(connection),
        (
            *(databases_menu(view) if connection.state == "connected" else ()),
            *apps_menu(view.apps),
            *choice("Open dashboard", OpenDashboard()),
        ),
        _tray(view),
        (*_quit(), *_stop()),
    )


def _tray(view: View) -> Menu:
    at_login = view.starts_at_login
    return (
        *(() if at_login is None else choice("Start at login", StartAtLogin(not at_login), checked=at_login)),
        *choice("About", ShowAbout()),
        *choice("Logs", ShowLog()),
    )


def _quit() -> Menu:
    return choice("Quit tray", Quit())


def _stop() -> Menu:
    meaning = "Apps on this computer can then no longer reach it, until it is started again."
    return confirmed("Stop helper", meaning, "Stop the helper", StopDaemon())
