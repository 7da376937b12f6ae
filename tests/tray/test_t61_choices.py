"""T61 in the tray: the menu changes or opens at the moment of a click."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, get_args

import pytest

from tests.support.clock import FakeClock
from tests.support.login import Login, shows
from tests.support.platforms import not_under_wine
from tests.support.sample_app import SampleApp
from tests.support.until import until
from tests.tray.menus import as_text, chosen, sub
from tests.tray.states import DELETE, LIST, pairing
from tests.tray.states import running as state
from tests.tray.test_tray import PAGE, RecordingScreen, shown
from upstash_helper_tray.dispatch.account import decide
from upstash_helper_tray.menu import actions
from upstash_helper_tray.menu.actions import (
    Action,
    AllowQuestion,
    Approve,
    Block,
    CancelConnect,
    CopyCredentials,
    Deny,
    DenyQuestion,
    Disconnect,
    KeepAccount,
    ReplaceAccount,
    Revoke,
    StopDaemon,
)
from upstash_helper_tray.menu.guard import GUARDED, SETTLE_SECONDS, ChoiceGuard
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from tests.support.daemon import DaemonProcess

OTHER = "https://other.example.net"
TOO_EARLY = "Your choice was ignored"


@pytest.mark.parametrize(
    "action",
    [
        Approve("p"), Deny("p"), Block("p"), AllowQuestion("q"), DenyQuestion("q"), Revoke("a", "A"),
        ReplaceAccount("s"), KeepAccount("s"),
        CancelConnect("s"), Disconnect(), StopDaemon(),
    ],
)  # fmt: skip
def test_t61_choice_that_matters_has_to_wait(action: Action) -> None:
    """Until the menu has stayed as it is for 0.9 s, it is refused; each change starts that again."""
    clock = FakeClock()
    guard = ChoiceGuard(clock=clock.monotonic)

    clock.advance(SETTLE_SECONDS - 0.1)
    early = guard.accepts(action)
    clock.advance(0.2)
    in_time = guard.accepts(action)
    guard.restart()
    after_change = guard.accepts(action)

    assert (False, True, False) == (early, in_time, after_change)


def test_t61_choices_that_do_not_wait() -> None:
    """Every other action was considered: it can be undone, or it only shows or starts something."""
    immediate = {action for action in get_args(Action) if action not in GUARDED}

    assert {
        actions.StartDaemon, actions.Quit, actions.Connect, actions.OpenDashboard, actions.CopyCredentials,
        actions.OpenConsole, actions.RefreshDatabases, actions.StartAtLogin, actions.ShowLog, actions.ShowAbout,
    } == immediate  # fmt: skip


@not_under_wine("reports no owners of sockets")
async def test_t61_choice_about_a_replaced_request_decides_nothing(running: DaemonProcess) -> None:
    """The notification says that there is a new request, which the menu shows."""
    first = SampleApp.requesting(running, origin=PAGE)
    [shown_then] = running.client.pairings()
    new = SampleApp.requesting(running, "upstash:write", origin=PAGE)

    decided = [await asyncio.to_thread(decide, running.client, it(shown_then.id)) for it in (Approve, Deny)]

    assert [False, False] == [it.was_pending for it in decided]
    assert all("has sent a new request" in it.notification.body for it in decided if it.notification)
    assert ("expired", "pending") == (first.state, new.state)


def test_t61_harmless_choice_is_immediate() -> None:
    """Copying and opening do no harm if they were not meant."""
    guard = ChoiceGuard(clock=FakeClock().monotonic)

    assert guard.accepts(CopyCredentials("d", "orders", "rest"))
    assert guard.accepts(actions.OpenDashboard())


@pytest.mark.parametrize("change", ["appears", "another arrives", "another is withdrawn", "menu opens"])
def test_t61_choice_right_after_a_change_decides_nothing(running: DaemonProcess, change: str) -> None:
    """
    A request that has just appeared, or that has moved because another one came or went, cannot be approved yet, and
    the user is told. After the delay, it can.
    """
    screen, clock = RecordingScreen(), FakeClock()

    with shown(running.folders, screen, clock=clock.monotonic):
        until(lambda: screen.statuses[-1] is IconStatus.DISCONNECTED)
        other = SampleApp.requesting(running, origin=OTHER) if change == "another is withdrawn" else None
        app = SampleApp.requesting(running, origin=PAGE)
        until(lambda: Approve(app.id) in screen.actions())
        if change != "appears":
            clock.advance(60)
        match change:
            case "another arrives":
                arrived = SampleApp.requesting(running, origin=OTHER)
                until(lambda: Approve(arrived.id) in screen.actions())
            case "another is withdrawn":
                assert other is not None
                other.send("DELETE", f"/v1/pairings/{other.id}", token=other.pairing["poll_secret"])
                until(lambda: Approve(other.id) not in screen.actions())
            case "menu opens":
                assert screen.opened is not None
                screen.opened()
            case _:
                pass
        assert screen.chosen is not None
        screen.chosen(Approve(app.id))
        until(lambda: [title for title, _ in screen.notified if title == TOO_EARLY])
        at_first = app.state
        clock.advance(SETTLE_SECONDS + 0.1)
        screen.chosen(Approve(app.id))
        until(lambda: Approve(app.id) not in screen.actions())

    assert ("pending", "approved") == (at_first, app.state)


def test_t61_strong_scopes_take_a_second_step() -> None:
    """Allow opens a submenu, which names the app and what is dangerous. Other requests have Allow directly."""
    strong, plain = state(pairings=(pairing(scopes=(LIST, DELETE)),)), state(pairings=(pairing(scopes=(LIST,)),))
    path = ("https://app.example.com · WDJB-MJHT", "Allow")

    assert chosen(strong, *path) is None
    assert "(• Delete databases" in as_text(sub(strong, *path))
    assert "List your databases" not in as_text(sub(strong, *path))
    assert Approve("pair-1") == chosen(strong, *path, "Allow https://app.example.com")
    assert Approve("pair-1", once=True) == chosen(strong, *path, "Allow for one hour only")
    assert Approve("pair-1") == chosen(plain, *path)


async def test_t61_panel_that_opens_the_menu_restarts_the_delay(login: Login) -> None:
    """A panel reports that it opens the menu or a submenu. A click right after that decides nothing."""
    item = await login.item()
    await item.until(shows("No account"))
    app = SampleApp.requesting(login.daemon, "connection:read", origin=PAGE)
    menu = await item.until(shows(app.code))
    allow = menu.find(f"{PAGE} · {app.code}", "Allow")
    states = []

    async def menu_call(member: str, signature: str, body: list[object]) -> None:
        await item.menu_call(member, signature, body)

    for report in (
        item.opened,
        partial(menu_call, "AboutToShow", "i", [0]),
        partial(menu_call, "AboutToShowGroup", "ai", [[0]]),
    ):
        await asyncio.sleep(SETTLE_SECONDS)  # the menu is closed for a while
        states.append(app.state)
        await report()
        await item.click_id(allow.id)
    await asyncio.sleep(SETTLE_SECONDS)
    states.append(app.state)
    await item.click_id(allow.id)
    await item.until(lambda _, menu: app.code not in str(menu.texts()))

    assert ["pending"] * 4 + ["approved"] == [*states, app.state]
