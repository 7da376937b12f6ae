"""
Notifications of the desktop: that an app waits for the user's approval.

Run on Linux, with a real session bus. What is done for macOS and Windows was not run there: each is one command, whose
text is always the same. What is shown travels beside it, as arguments or in the environment, and is never code.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from upstash_helper.broker.apps.display_text import clean
from upstash_helper.system.blocking_call import Busy, DeadlineExceeded, JobFailed, Worker
from upstash_helper.system.session_bus import session_bus_address

logger = logging.getLogger(__name__)

DEADLINE: Final = 3.0
"""Seconds. A desktop that is there shows a notification in some hundredths of one."""
LONGEST_TITLE: Final = 100
LONGEST_BODY: Final = 300

_APP: Final = "upstash-helper"

# https://specifications.freedesktop.org/notification-spec/latest/
_NAME: Final = "org.freedesktop.Notifications"
_PATH: Final = "/org/freedesktop/Notifications"
_NORMAL_URGENCY: Final = 1
_AS_LONG_AS_USUAL: Final = -1

Show = Callable[[str, str, float], bool]
"""Shows a title and a body, within some seconds. May raise whatever it likes, and block for ever."""
Command = tuple[tuple[str, ...], dict[str, str]]
"""What is run, and its environment."""

_APPLESCRIPT: Final = """\
on run argv
display notification (item 3 of argv) with title (item 1 of argv) subtitle (item 2 of argv)
end run"""

# Windows PowerShell 5, which every Windows has. The texts are made text nodes, so that they are no XML. Windows shows
# the toasts of programs that it knows alone, hence the identity of PowerShell itself. No double quotes: Windows passes
# a command on as one line, in which they would have to be quoted.
_POWERSHELL: Final = r"""$ErrorActionPreference = 'Stop'
[void][Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType=WindowsRuntime]
[void][Windows.Data.Xml.Dom.XmlDocument, Windows.Data.Xml.Dom.XmlDocument, ContentType=WindowsRuntime]
$template = [xml][Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent('ToastText02').GetXml()
$texts = $template.GetElementsByTagName('text')
[void]$texts.Item(0).AppendChild($template.CreateTextNode($env:NOTIFICATION_TITLE))
[void]$texts.Item(1).AppendChild($template.CreateTextNode($env:NOTIFICATION_BODY))
$xml = New-Object Windows.Data.Xml.Dom.XmlDocument
$xml.LoadXml($template.OuterXml)
$toast = New-Object Windows.UI.Notifications.ToastNotification $xml
$id = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\WindowsPowerShell\v1.0\powershell.exe'
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($id).Show($toast)""".replace("\n", "; ")


if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NO_WINDOW  # else a console would flash up
else:
    _FLAGS = 0


class DesktopNotifier:
    """The ``Notifier`` port."""

    def __init__(self, *, show_with: Show | None = None, deadline: float = DEADLINE) -> None:
        """
        Args:
            show_with: How it is shown, by default as this system does.
            deadline: Seconds that it may take.
        """
        self._show = show_with or _PLATFORM.get(sys.platform, show_over_dbus)
        self._deadline = deadline
        # Not of the pool that everybody shares: a session bus that hangs holds this thread, and no other.
        self._worker = Worker("notifications")

    async def show(self, *, title: str, body: str) -> bool:
        """Show a notification; False if none can be shown, or an earlier one still hangs."""
        shown = (clean(title, LONGEST_TITLE), clean(body, LONGEST_BODY))
        try:
            return await self._worker.run(lambda _: self._show(*shown, self._deadline), deadline=self._deadline)
        except JobFailed as failure:
            logger.info("notification_failed", extra={"error": type(failure.error).__name__})
        except (DeadlineExceeded, Busy) as failure:
            logger.info("notification_failed", extra={"error": type(failure).__name__})
        return False


def show_over_dbus(title: str, body: str, seconds: float, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Show a notification as desktops of freedesktop.org do."""
    address = session_bus_address(environ)
    if address is None:
        return False

    from jeepney import DBusAddress, MessageType, new_method_call  # type: ignore[import-untyped]
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    until = time.monotonic() + seconds
    hints = {"urgency": ("y", _NORMAL_URGENCY), "desktop-entry": ("s", _APP)}
    replaced, icon = 0, ""
    actions: list[str] = []  # none: the focus stays where it is
    message = new_method_call(
        DBusAddress(_PATH, _NAME, _NAME),
        "Notify",
        "susssasa{sv}i",
        (_APP, replaced, icon, title, _escaped(body), actions, hints, _AS_LONG_AS_USUAL),
    )
    with open_dbus_connection(address, auth_timeout=seconds) as bus:
        reply = bus.send_and_get_reply(message, timeout=until - time.monotonic())
    return bool(reply.header.message_type == MessageType.method_return)


def osascript_command(title: str, body: str) -> Command:
    """Return what shows a notification on macOS."""
    # The name comes first, so that a title that begins with a dash is not taken for an option.
    return ("/usr/bin/osascript", "-e", _APPLESCRIPT, _APP, title, body), dict(os.environ)


def powershell_command(title: str, body: str) -> Command:
    """Return what shows a notification on Windows."""
    # By its whole path: what is called powershell in the folder where the daemon was started is not run.
    program = os.environ.get("SYSTEMROOT", r"C:\Windows") + r"\System32\WindowsPowerShell\v1.0\powershell.exe"
    environ = dict(os.environ) | {"NOTIFICATION_TITLE": title, "NOTIFICATION_BODY": body}
    return (program, "-NoProfile", "-NonInteractive", "-Command", _POWERSHELL), environ


def run_command(make: Callable[[str, str], Command]) -> Show:
    """Return the way that runs what ``make`` makes of title and body."""

    def show(title: str, body: str, seconds: float) -> bool:
        argv, environ = make(title, body)
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            argv,
            env=environ,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            timeout=seconds,
            check=False,
            creationflags=_FLAGS,
        )
        return done.returncode == 0

    return show


_PLATFORM: Final[Mapping[str, Show]] = {
    "darwin": run_command(osascript_command),
    "win32": run_command(powershell_command),
}


def _escaped(body: str) -> str:
    """Return text that stays text where a desktop interprets markup in bodies, as most do."""
    return body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
