"""
The question whether the account of an app's sign-in replaces the connected one, near the top of the menu.

Keeping the account is the first entry. Replacing it takes a second step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper_tray.menu.actions import KeepAccount, OpenDashboard, ReplaceAccount
from upstash_helper_tray.menu.entries import confirmed, grouped, item, label, submenu
from upstash_helper_tray.presentation.status import undecided_attempt
from upstash_helper_tray.presentation.text import is_complete, quoted, shorten, wrapped

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Connection, Replacement
    from upstash_helper_tray.menu.entries import Menu


def replacement(connection: Connection) -> Menu:
    """Return the question that is pending, with its answers; nothing if there is none."""
    attempt, question = undecided_attempt(connection)
    if attempt is None or question is None:
        return ()
    kept = shorten(question.replaces or "") or "the account"
    return submenu(
        shorten(question.title),
        grouped(
            (*label(question.title), *label(f"Requested by {question.requested_by}"), *_claim(question)),
            (*item(f"Keep {kept}", KeepAccount(attempt.attempt_id)), *_replace(attempt.attempt_id, question)),
        ),
    )


def _claim(question: Replacement) -> Menu:
    return label(f"It calls itself {quoted(question.claimed_name)}")


def _replace(attempt_id: str, question: Replacement) -> Menu:
    if not _is_shown_in_full(question):
        return item("Too long for this menu. Decide in the dashboard…", OpenDashboard())
    new = question.email or "the other account"
    return confirmed("Replace it…", question.detail, f"Replace it with {shorten(new)}", ReplaceAccount(attempt_id))


def _is_shown_in_full(question: Replacement) -> bool:
    """Return whether all that the user would agree to can be read in the menu."""
    texts = (question.title, f"Requested by {question.requested_by}", question.detail)
    return all(is_complete(text, wrapped(text)) for text in texts)
