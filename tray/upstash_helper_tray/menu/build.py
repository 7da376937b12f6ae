"""The menu as a pure function of the tray's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper_tray.menu.actions import (
    OpenDashboard,
    Quit,
    ShowAbout,
    ShowLog,
    StartAtLogin,
    StartDaemon,
    StopDaemon,
)
from upstash_helper_tray.menu.approvals import approvals
from upstash_helper_tray.menu.connection import connection_items, heading
from upstash_helper_tray.menu.entries import confirmed, grouped, item, label
from upstash_helper_tray.menu.lists import apps_menu, databases_menu
from upstash_helper_tray.menu.questions import questions
from upstash_helper_tray.menu.replacement import replacement

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Connection
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.sync.state import TrayState


def menu_for(state: TrayState) -> Menu:
    """Return the menu: the current status first, then what can be done about it, then the entries of every menu."""
    if state.daemon == "absent":
        status = (*label("The helper is not running"), *label(state.error_text))
        return grouped(status, item("Start the helper", StartDaemon()), _tray_items(state), _quit())
    if state.daemon == "mismatched":
        # No action is offered: the tray cannot talk to that daemon, not even to stop it.
        status = (*label("The helper has a different version"), *label(state.error_text))
        return grouped(status, _tray_items(state), _quit())
    if state.daemon == "starting" or state.connection is None:
        # Access requests are known first; reading the connection may have to wait for the keyring.
        waiting = (questions(state.confirmations), approvals(state.pairings))
        return grouped(label("Starting…"), *waiting, _tray_items(state), _quit())
    return _running(state, state.connection)


def _running(state: TrayState, connection: Connection) -> Menu:
    return grouped(
        (*(label("Sandbox: a local Upstash") if state.is_sandbox else ()), *heading(connection)),
        replacement(connection),
        questions(state.confirmations),
        approvals(state.pairings),
        connection_items(connection),
        (
            *(databases_menu(state) if connection.state == "connected" else ()),
            *apps_menu(state.apps),
            *item("Open dashboard", OpenDashboard()),
        ),
        _tray_items(state),
        (*_quit(), *_stop()),
    )


def _tray_items(state: TrayState) -> Menu:
    at_login = state.starts_at_login
    return (
        *(() if at_login is None else item("Start at login", StartAtLogin(not at_login), checked=at_login)),
        *item("About", ShowAbout()),
        *item("Logs", ShowLog()),
    )


def _quit() -> Menu:
    return item("Quit tray", Quit())


def _stop() -> Menu:
    consequence = "Apps on this computer cannot use your account until the helper is started again."
    return confirmed("Stop helper", consequence, "Stop the helper", StopDaemon())
