"""Notifications, on a real session bus and as the commands of other systems."""

from __future__ import annotations

import html
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.notifications import Desktop, session_bus
from upstash_helper.system.notifications import (
    DesktopNotifier,
    command_backend,
    osascript_command,
    powershell_command,
    show_over_dbus,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.keyring import PrivateKeyring
    from upstash_helper.system.notifications import Command

HOSTILE = (
    "plain",
    "-e",
    '"; do shell script "touch /tmp/x',
    "' -as \"\\",
    "$(touch /tmp/x) `id` ${HOME} %PATH% $env:PATH",
    "one & two | three > four; five",
    '<toast launch="x"><b>bold</b>&amp;',
)


@pytest.fixture(name="session")
def _session() -> Iterator[PrivateKeyring]:
    with session_bus() as session:
        yield session


def notifier(environ: Mapping[str, str], *, deadline: float = 3.0) -> DesktopNotifier:
    """Return a notifier in a session."""
    return DesktopNotifier(backend=partial(show_over_dbus, environ=environ), deadline=deadline)


async def test_the_user_is_shown_what_waits(session: PrivateKeyring) -> None:
    """
    A notification has the title and the body, comes from upstash-helper, is of normal urgency and demands nothing.
    """
    async with Desktop.on(session) as desktop:
        shown = await notifier(session.env).show(title="An app asks", body="It wants to list your databases.")

    assert shown
    [notification] = desktop.shown
    assert ("upstash-helper", "An app asks", "It wants to list your databases.") == (
        notification.app_name, notification.title, notification.body,
    )  # fmt: skip
    assert {"urgency": ("y", 1), "desktop-entry": ("s", "upstash-helper")} == notification.hints
    assert (0, [], -1) == (notification.replaces_id, notification.actions, notification.expire_timeout)


async def test_markup_is_shown_as_text(session: PrivateKeyring) -> None:
    """
    What an app calls itself is text, on a desktop that shows bold letters and links as well.
    """
    async with Desktop.on(session) as desktop:
        await notifier(session.env).show(title="<b>Upstash</b> & Co", body='<a href="x">Approve</a> &amp;')

    [notification] = desktop.shown
    assert "<b>Upstash</b> & Co" == notification.title  # no desktop interprets this one
    assert '&lt;a href="x"&gt;Approve&lt;/a&gt; &amp;amp;' == notification.body


async def test_what_hides_or_floods_is_not_shown(session: PrivateKeyring) -> None:
    """
    Control characters and what turns the writing around are left out, lines are joined, and length is bounded.
    """
    async with Desktop.on(session) as desktop:
        await notifier(session.env).show(title="a\0b\nc\x1b[31m\u202e" + "x" * 500, body="y\r\n" + "<" * 500)

    [notification] = desktop.shown
    assert notification.title.startswith("ab c[31mxxx")
    assert (100, 300) == (len(notification.title), len(html.unescape(notification.body)))
    assert notification.title.isprintable()
    assert notification.body.isprintable()


@pytest.mark.parametrize("environ", [{"XDG_RUNTIME_DIR": "/nowhere"}, {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/no"}])
async def test_without_a_session_nothing_is_shown_and_nothing_waits(environ: dict[str, str]) -> None:
    """
    On a machine without a desktop, the caller learns at once that nothing was shown.
    """
    began = time.monotonic()

    shown = await notifier(environ).show(title="t", body="b")

    assert not shown
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("address", ["", "nonsense", "tcp:host=127.0.0.1,port=1", "unix:tmpdir=/tmp"])
async def test_an_address_that_means_nothing_is_no_error(address: str) -> None:
    """
    Whatever the environment says, nothing is raised.
    """
    assert not await notifier({"DBUS_SESSION_BUS_ADDRESS": address}).show(title="t", body="b")


async def test_without_a_desktop_on_the_bus_nothing_is_shown(session: PrivateKeyring) -> None:
    """
    On a bus on which nobody shows notifications, the caller learns that.
    """
    assert not await notifier(session.env).show(title="t", body="b")


@pytest.mark.parametrize("manner", ["refuses", "is silent"])
async def test_a_desktop_that_does_not_show_it_is_not_waited_for(
    session: PrivateKeyring, manner: Literal["refuses", "is silent"]
) -> None:
    """
    A desktop that refuses, or does not answer, is not waited for beyond the deadline, and another try is made later.
    """
    async with Desktop.on(session, manner) as desktop:
        telling = notifier(session.env, deadline=0.3)
        began = time.monotonic()

        shown = [await telling.show(title="t", body="b") for _ in range(2)]
        took = time.monotonic() - began

    assert [False, False] == shown
    assert 1 <= len(desktop.shown) <= 2
    assert took < 2.0


async def test_a_system_that_hangs_holds_up_nobody() -> None:
    """
    Where the system never returns, the caller gets an answer in time, and the next one at once.
    """
    go_on = threading.Event()
    telling = DesktopNotifier(backend=lambda *_: go_on.wait(), deadline=0.1)

    first = await telling.show(title="t", body="b")
    began = time.monotonic()
    second = await telling.show(title="t", body="b")
    took = time.monotonic() - began
    go_on.set()

    assert (False, False) == (first, second)
    assert took < 0.1


@pytest.mark.parametrize("text", HOSTILE)
def test_on_macos_what_is_run_is_always_the_same(text: str) -> None:
    """
    Whatever is shown, the script that macOS runs is the same: title and body are arguments after it.
    """
    plain, environ = osascript_command("title", "body")
    argv, hostile_environ = osascript_command(text, text)

    assert (*plain[:-2], text, text) == argv
    assert environ == hostile_environ
    # Options end at the first argument that is none, and that one is ours.
    assert "upstash-helper" == argv[-3]


@pytest.mark.parametrize("text", HOSTILE)
def test_on_windows_what_is_run_is_always_the_same(text: str) -> None:
    """
    Whatever is shown, the command that Windows runs is the same: title and body are variables of its environment.
    """
    plain, environ = powershell_command("title", "body")
    argv, hostile_environ = powershell_command(text, text)

    assert plain == argv
    assert environ | {"NOTIFICATION_TITLE": text, "NOTIFICATION_BODY": text} == hostile_environ


def test_on_windows_the_command_needs_no_quoting() -> None:
    """
    Nothing in the command means something else once it is a line of Windows, which knows no list of arguments.
    """
    (_, *_, script), _ = powershell_command("title", "body")

    assert f'"{script}"' == subprocess.list2cmdline([script])
    assert "\n" not in script


def says(code: str) -> Command:
    """Return a command that runs Python."""
    return (sys.executable, "-I", "-S", "-c", code), {}


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (says(""), True),
        (says("raise SystemExit(1)"), False),
        (says("import time; time.sleep(60)"), False),
        ((("/nowhere/at/all",), {}), False),
    ],
    ids=["done", "failed", "hangs", "absent"],
)
async def test_a_command_says_whether_it_was_shown(command: Command, *, shown: bool) -> None:
    """
    A command that fails, hangs or is not there is a notification that was not shown.
    """
    telling = DesktopNotifier(backend=command_backend(lambda *_: command), deadline=1.0)

    assert shown is await telling.show(title="t", body="b")


async def test_a_command_gets_the_texts_as_they_are() -> None:
    """
    Arguments and variables reach the program unchanged.
    """
    check = "import os, sys; sys.exit(not sys.argv[1] == os.environ['TEXT'] == '''\"$(id)' & <b>''')"

    def command(title: str, body: str) -> Command:
        return (sys.executable, "-I", "-S", "-c", check, title), {"TEXT": body}

    assert await DesktopNotifier(backend=command_backend(command)).show(title="\"$(id)' & <b>", body="\"$(id)' & <b>")


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """
    A daemon that shows nothing does not load what it would show it with.
    """
    code = (
        "import sys; from upstash_helper.system.notifications import DesktopNotifier; DesktopNotifier();"
        "print({'jeepney', 'secretstorage', 'keyring'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout
