"""The question whether the account of an app's sign-in replaces the connected one (threat T59), in the tray."""

from __future__ import annotations

from tests.tray.states import QUESTION, attempt, running, undecided
from upstash_helper_tray.menu.actions import KeepAccount, ReplaceAccount
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import walk
from upstash_helper_tray.presentation.notifications import NotificationTracker
from upstash_helper_tray.presentation.status import icon_status, tooltip_for
from upstash_helper_tray.sync.state import IconStatus


def test_t59_menu_asks_and_offers_to_keep_the_account_first() -> None:
    """Replacing takes one step more, with what it means and both accounts in full."""
    entries = list(walk(menu_for(undecided())))
    chosen = [
        (len(path), entry.action) for path, entry in entries if isinstance(entry.action, KeepAccount | ReplaceAccount)
    ]
    texts = " ".join(entry.text for _, entry in entries)

    assert [(2, KeepAccount("att-1")), (3, ReplaceAccount("att-1"))] == chosen
    assert QUESTION in texts
    assert "Requested by https://orders.example" in texts
    assert "It calls itself “Orders”" in texts


def test_t59_menu_without_a_question_offers_neither() -> None:
    """The attempt of an earlier question is not offered again."""
    menu = menu_for(running(connection={"attempt": attempt(state="failed", reason="replacement_declined")}))

    assert [] == [entry for _, entry in walk(menu) if isinstance(entry.action, KeepAccount | ReplaceAccount)]


def test_t59_account_that_does_not_fit_is_decided_in_the_dashboard() -> None:
    """Nothing that is elided can be agreed to here."""
    long = f"{'e' * 240}@example.com"
    menu = menu_for(undecided(title=f"Replace {long} with {long}?", replaces=long, email=long))
    actions = [entry.action for _, entry in walk(menu)]

    assert KeepAccount("att-1") in actions
    assert ReplaceAccount("att-1") not in actions


def test_t59_user_is_notified_once() -> None:
    """Also if the tray starts while the question is pending."""
    tracker = NotificationTracker()

    first, again = tracker.update(undecided()), tracker.update(undecided())

    assert [QUESTION] == [notification.title for notification in first]
    assert [] == again


def test_t59_icon_and_tooltip_show_that_the_user_is_needed() -> None:
    """Even though an account is connected and works."""
    assert IconStatus.ATTENTION == icon_status(undecided())
    assert "Waiting for your decision" in tooltip_for(undecided())
