"""
Questions from apps with access before they destroy or write something, near the top of the menu.

The verified identity comes first. Denying is the first choice. Allowing takes a second step, which shows again what
will be destroyed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.protocol.messages import IDENTITY_KINDS
from upstash_helper_tray.menu.actions import AllowQuestion, DenyQuestion, OpenDashboard
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
from upstash_helper_tray.presentation.status import questions_title
from upstash_helper_tray.presentation.text import is_complete, quoted, wrapped

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Confirmation
    from upstash_helper_tray.menu.entries import Menu


def questions(confirmations: tuple[Confirmation, ...]) -> Menu:
    """Return the questions that wait: one directly, several in a submenu."""
    if not confirmations:
        return ()
    shown = tuple(_question(it) for it in confirmations[:MAX_ENTRIES])
    if len(confirmations) == 1:
        return (*label(questions_title(1)), *shown)
    return submenu(questions_title(len(confirmations)), (*shown, *show_all(len(confirmations), OpenDashboard())))


def _question(it: Confirmation) -> Entry:
    warnings = tuple(entry for one in it.identity.warnings for entry in label(f"Warning: {one.text}"))
    return Entry(
        text=display_name(it.title),
        entries=grouped(
            (*label(_verified(it)), *warnings, *label(f"It calls itself {quoted(it.claimed_name)}")),
            label(it.title),
            label(it.detail),
            (*item("Deny", DenyQuestion(it.id)), *_allow(it)),
        ),
    )


def _allow(it: Confirmation) -> Menu:
    if not _is_shown_in_full(it):
        return item("Too long for this menu. Decide in the dashboard…", OpenDashboard())
    answer = "Allow from now on" if it.lasting else "Allow once"
    return confirmed("Allow…", it.detail or it.title, answer, AllowQuestion(it.id))


def _verified(it: Confirmation) -> str:
    identity = it.identity
    return f"{IDENTITY_KINDS[identity.kind]}: {identity.shown_without_process or identity.shown}"


def _is_shown_in_full(it: Confirmation) -> bool:
    """Return whether the menu shows everything that the user would allow."""
    return all(is_complete(text, wrapped(text)) for text in (_verified(it), it.title, it.detail))
