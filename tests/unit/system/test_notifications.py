"""Notifications, on a real session bus and as the commands of macOS and Windows."""

from __future__ import annotations

import html
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.notifications import MARKUP, PLAIN, Desktop, session_bus
from upstash_helper.system.notifications import (
    DesktopNotifier,
    backend_of,
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

ESCAPED = "&lt;b&gt;Orders&lt;/b&gt; &amp; Co &amp;amp;"


@pytest.fixture(name="session")
def _session() -> Iterator[PrivateKeyring]:
    with session_bus() as session:
        yield session


def notifier(environ: Mapping[str, str], *, deadline: float = 3.0) -> DesktopNotifier:
    """Return a notifier for a session."""
    return DesktopNotifier(backend=partial(show_over_dbus, environ=environ), deadline=deadline)


async def test_notification_has_title_body_and_normal_urgency(session: PrivateKeyring) -> None:
    """
    A notification has the title and the body, comes from upstash-helper, and has normal urgency and no actions.
    """
    async with Desktop.on(session) as desktop:
        shown = await notifier(session.env).show(title="An app requests access", body="It wants to list databases.")

    assert shown
    [notification] = desktop.shown
    assert ("upstash-helper", "An app requests access", "It wants to list databases.") == (
        notification.app_name, notification.title, notification.body,
    )  # fmt: skip
    assert {"urgency": ("y", 1), "desktop-entry": ("s", "upstash-helper")} == notification.hints
    assert (0, [], -1) == (notification.replaces_id, notification.actions, notification.expire_timeout)


async def test_markup_is_escaped(session: PrivateKeyring) -> None:
    """
    Markup in an app's name is shown as text on desktops that render it.
    """
    async with Desktop.on(session) as desktop:
        await notifier(session.env).show(title="<b>Upstash</b> & Co", body='<a href="x">Approve</a> &amp;')

    [notification] = desktop.shown
    assert "<b>Upstash</b> & Co" == notification.title  # titles have no markup
    assert '&lt;a href="x"&gt;Approve&lt;/a&gt; &amp;amp;' == notification.body


@pytest.mark.parametrize(
    ("capabilities", "body"),
    [(PLAIN, "<b>Orders</b> & Co &amp;"), (MARKUP, ESCAPED), (None, ESCAPED)],
    ids=["plain text", "markup", "does not say"],
)
async def test_markup_is_sent_only_where_it_is_interpreted(
    session: PrivateKeyring, capabilities: tuple[str, ...] | None, body: str
) -> None:
    """
    A server without body-markup gets plain text, so that it never shows an escape. One that does not say gets escapes,
    because it may interpret what an app calls itself.
    """
    async with Desktop.on(session, capabilities=capabilities) as desktop:
        assert await notifier(session.env).show(title="R&D", body="<b>Orders</b> & Co &amp;")

    [notification] = desktop.shown
    assert ("R&D", body) == (notification.title, notification.body)


async def test_text_is_sanitized_and_shortened(session: PrivateKeyring) -> None:
    """
    Control and bidi characters are escaped, lines are joined, and the length is limited. The end is kept.
    """
    async with Desktop.on(session) as desktop:
        await notifier(session.env).show(title="a\0b\nc\x1b[31m\u202e" + "x" * 500, body="y\r\n" + "<" * 500 + "end")

    [notification] = desktop.shown
    assert notification.title.startswith(r"a\x00b c\x1b[31m\u202exxx")
    assert notification.body.endswith("&lt;end")
    assert (100, 300) == (len(notification.title), len(html.unescape(notification.body)))
    assert notification.title.isprintable()
    assert notification.body.isprintable()


@pytest.mark.parametrize("environ", [{"XDG_RUNTIME_DIR": "/nowhere"}, {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/no"}])
async def test_show_returns_false_without_a_session(environ: dict[str, str]) -> None:
    """
    On a machine without a desktop, the result is returned immediately.
    """
    began = time.monotonic()

    shown = await notifier(environ).show(title="t", body="b")

    assert not shown
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("address", ["", "nonsense", "tcp:host=127.0.0.1,port=1", "unix:tmpdir=/tmp"])
async def test_invalid_bus_address_is_not_an_error(address: str) -> None:
    """
    An invalid environment does not raise.
    """
    assert not await notifier({"DBUS_SESSION_BUS_ADDRESS": address}).show(title="t", body="b")


async def test_show_returns_false_without_a_notification_server(session: PrivateKeyring) -> None:
    """
    On a bus without a notification server, the caller learns that nothing was shown.
    """
    assert not await notifier(session.env).show(title="t", body="b")


@pytest.mark.parametrize("manner", ["refuses", "is silent"])
async def test_unresponsive_server_is_given_up_at_the_deadline(
    session: PrivateKeyring, manner: Literal["refuses", "is silent"]
) -> None:
    """
    A server that refuses or does not answer delays nothing beyond the deadline, and the next notification tries again.
    """
    async with Desktop.on(session, manner) as desktop:
        subject = notifier(session.env, deadline=0.3)
        began = time.monotonic()

        shown = [await subject.show(title="t", body="b") for _ in range(2)]
        took = time.monotonic() - began

    assert [False, False] == shown
    assert 1 <= len(desktop.shown) <= 2
    assert took < 2.0


async def test_hanging_backend_does_not_block_callers() -> None:
    """
    If a backend never returns, the first call ends at its deadline, and the next one immediately.
    """
    go_on = threading.Event()
    subject = DesktopNotifier(backend=lambda *_: go_on.wait(), deadline=0.1)

    first = await subject.show(title="t", body="b")
    began = time.monotonic()
    second = await subject.show(title="t", body="b")
    took = time.monotonic() - began
    go_on.set()

    assert (False, False) == (first, second)
    assert took < 0.1


@pytest.mark.parametrize("text", HOSTILE)
def test_macos_script_does_not_depend_on_the_text(text: str) -> None:
    """
    The script is constant: title and body are arguments after it.
    """
    plain, environ = osascript_command("title", "body")
    argv, hostile_environ = osascript_command(text, text)

    assert (*plain[:-2], text, text) == argv
    assert environ == hostile_environ
    # Options end at the first argument that is not one, and that is a constant.
    assert "upstash-helper" == argv[-3]


@pytest.mark.parametrize("text", HOSTILE)
def test_windows_command_does_not_depend_on_the_text(text: str) -> None:
    """
    The command is constant: title and body are environment variables.
    """
    plain, environ = powershell_command("title", "body")
    argv, hostile_environ = powershell_command(text, text)

    assert plain == argv
    assert environ | {"NOTIFICATION_TITLE": text, "NOTIFICATION_BODY": text} == hostile_environ


def test_windows_command_needs_no_quoting() -> None:
    """
    The script has no characters that Windows interprets when it joins arguments to one line.
    """
    (_, *_, script), _ = powershell_command("title", "body")

    assert f'"{script}"' == subprocess.list2cmdline([script])
    assert "\n" not in script


def says(code: str) -> Command:
    """Return a command that runs Python code."""
    return (sys.executable, "-I", "-S", "-c", code), {}


@pytest.mark.parametrize(
    ("command", "deadline", "shown"),
    [
        (says(""), 30.0, True),
        (says("raise SystemExit(1)"), 30.0, False),
        (says("import time; time.sleep(60)"), 1.0, False),
        ((("/nowhere/at/all",), {}), 30.0, False),
    ],
    ids=["done", "failed", "hangs", "absent"],
)
async def test_command_backend_returns_whether_the_command_succeeded(
    command: Command, *, deadline: float, shown: bool
) -> None:
    """
    A command that fails, hangs or does not exist counts as not shown.
    """
    subject = DesktopNotifier(backend=command_backend(lambda *_: command), deadline=deadline)

    assert shown is await subject.show(title="t", body="b")


async def test_command_receives_the_text_unchanged() -> None:
    """
    Arguments and variables reach the program unchanged.
    """
    check = "import os, sys; sys.exit(not sys.argv[1] == os.environ['TEXT'] == '''\"$(id)' & <b>''')"

    def command(title: str, body: str) -> Command:
        return (sys.executable, "-I", "-S", "-c", check, title), {"TEXT": body}

    assert await DesktopNotifier(backend=command_backend(command)).show(title="\"$(id)' & <b>", body="\"$(id)' & <b>")


def test_libraries_are_imported_lazily() -> None:
    """
    A daemon that shows no notification does not load the libraries for it.
    """
    code = (
        "import sys; from upstash_helper.system.notifications import DesktopNotifier; DesktopNotifier();"
        "print({'jeepney', 'secretstorage', 'keyring'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout


@pytest.mark.parametrize(("platform", "program"), [("darwin", "osascript"), ("win32", "powershell.exe")])
def test_other_systems_run_a_command(platform: str, program: str) -> None:
    """
    On macOS and Windows, a notification is a command that is part of the system. Without it, there is an error.
    """
    if platform == sys.platform:
        pytest.skip("platform: this system has the command")

    with pytest.raises(OSError, match=None if sys.platform == "win32" else program):
        backend_of(platform)("t", "b", 5.0)


@pytest.mark.parametrize("platform", ["linux", "freebsd14"])
def test_freedesktop_systems_use_the_bus(platform: str) -> None:
    """
    Elsewhere, notifications are sent over D-Bus.
    """
    assert backend_of(platform) is show_over_dbus
