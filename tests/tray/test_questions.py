"""Questions of apps in the tray: the menu, the notification, and the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.announced import announced
from tests.support.questions import DELETE, asking
from tests.support.until import until_async
from tests.tray.menus import as_text, chosen, text_of
from tests.tray.states import AGENT, page, question, running
from tests.tray.test_dispatch import User
from upstash_helper.protocol.wire_apps import IdentityWarning
from upstash_helper.settings.profiles import locate
from upstash_helper_tray.menu.actions import AllowQuestion, DenyQuestion, OpenDashboard
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import walk
from upstash_helper_tray.menu.questions import questions
from upstash_helper_tray.presentation.notifications import NotificationTracker
from upstash_helper_tray.presentation.status import icon_status, tooltip_for
from upstash_helper_tray.sync.state import IconStatus, TrayState, reduce_event, with_confirmations, without_daemon

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World
    from upstash_helper.protocol.wire_apps import Confirmation


def test_menu_shows_the_verified_program_and_what_is_destroyed() -> None:
    """Deny comes first, and Allow takes a second step."""
    assert text_of(
        """
            (An app needs your confirmation)
            Delete the database "orders"? >
                (Program: /usr/bin/agent)
                (It calls itself “Agent”)
                ---
                (Delete the database "orders"?)
                ---
                (All data of "orders" (db-1, us-east-1) will be deleted.)
                (This cannot be undone.)
                ---
                Deny
                Allow… >
                    (All data of "orders" (db-1, us-east-1) will be deleted.)
                    (This cannot be undone.)
                    Allow once
            """
    ) == as_text(questions((question(),)))


def test_each_question_has_its_own_answers() -> None:
    """An answer names the question that it is for."""
    state = running(confirmations=(question(), question(id="question-2", title="Delete the other?")))
    path = ("2 questions need your confirmation", "Delete the other?")

    assert DenyQuestion("question-2") == chosen(state, *path, "Deny")
    assert AllowQuestion("question-2") == chosen(state, *path, "Allow…", "Allow once")


def test_yes_that_is_not_only_for_this_once_says_so() -> None:
    """Where it is given, not only in the text above."""
    texts = as_text(questions((question(lasting=True),)))

    assert ("Allow from now on" in texts, "Allow once" in texts) == (True, False)


@pytest.mark.parametrize(
    "more",
    [
        {"title": f"Write to /home/{'deep/' * 100}.env?"},
        {"detail": "It deletes a lot. " * 100},
        {"title": "Delete “a\N{ZERO WIDTH SPACE}b”?"},
        {"identity": page("/" + "deep/" * 100 + "agent", kind="native")},
    ],
)
def test_question_that_does_not_fit_cannot_be_allowed_in_the_menu(more: dict[str, Any]) -> None:
    """Nothing that is elided is agreed to. It can still be denied."""
    actions = [entry.action for _, entry in walk(questions((question(**more),)))]

    assert AllowQuestion("question-1") not in actions
    assert {DenyQuestion("question-1"), OpenDashboard()} <= set(actions)


def test_warning_about_the_program_is_shown() -> None:
    """As with access requests."""
    warning = IdentityWarning(code="sandboxed", text="The program runs inside a container.")
    doubtful = msgspec.structs.replace(AGENT, warnings=(warning,))

    assert "(Warning: The program runs inside a container.)" in as_text(questions((question(identity=doubtful),)))


def test_icon_and_tooltip_show_that_something_is_needed() -> None:
    """Also while the connection is fine."""
    state = running("connected", confirmations=(question(),))

    assert IconStatus.ATTENTION == icon_status(state)
    assert tooltip_for(state).startswith("Upstash helper: An app needs your confirmation. ")


def test_menu_has_questions_before_the_connection_is_known() -> None:
    """Reading it may have to wait for the keyring."""
    state = with_confirmations(TrayState(), [question()])

    assert "running" == state.daemon
    assert "An app needs your confirmation" in as_text(menu_for(state))


def test_question_that_is_over_disappears() -> None:
    """Whatever it became of; and all of them without a daemon."""
    before = running(confirmations=(question(), question(id="question-2")))
    for over in ("allowed", "denied", "expired"):
        after = reduce_event(before, _event(question(state=over))).state

        assert ["question-2"] == [it.id for it in after.confirmations]
    assert () == without_daemon(before).confirmations


def _event(data: Confirmation) -> Any:
    from upstash_helper.client.events import Event

    return Event(id="1", event="confirmation", data=data)


def test_notification_names_the_program_first_and_is_not_repeated() -> None:
    """The name that the app gave itself comes last."""
    tracker, state = NotificationTracker(), running(confirmations=(question(),))

    [notification] = tracker.update(state)

    assert "/usr/bin/agent needs your confirmation" == notification.title
    assert notification.body.startswith(DELETE.title)
    assert notification.body.endswith("The app calls itself “Agent”.")
    assert [] == tracker.update(replace(state, is_sandbox=True))


async def test_answer_from_the_menu_reaches_the_app(world: World, tmp_path: Path) -> None:
    """The real daemon, its events, and the menu's actions. An answer that comes too late is reported."""
    app = await world.pair("databases:delete", audience="mcp", name="Agent")
    answers = []
    with announced(world, tmp_path) as environment:
        _, folders = locate(environ=environment)
        opened = User.of(folders, tmp_path)
        user = await asyncio.to_thread(opened.__enter__)
        try:
            shown = ""
            for action in (AllowQuestion, DenyQuestion):
                async with asking(world, app.id) as task:
                    [shown] = [it.id for it in await until_async(lambda: user.recorded.now.confirmations)]
                    reported = await asyncio.to_thread(user.choose, action(shown))
                    answers.append((await asyncio.wait_for(task, 60), reported))
                await until_async(lambda: not user.recorded.now.confirmations)
            [late] = await asyncio.to_thread(user.choose, AllowQuestion(shown))
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)

    assert [("allowed", []), ("denied", [])] == answers
    assert "The question is no longer pending" == late.title
