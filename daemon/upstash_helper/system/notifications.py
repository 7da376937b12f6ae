"""
Desktop notifications, which tell the user that an app waits for approval.

Tested on Linux, with a real session bus. The code for macOS and Windows was not run there. It starts one command whose
code never varies: title and body are passed as arguments or environment variables.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from upstash_helper.system.blocking_call import Busy, DeadlineExceeded, JobFailed, Worker
from upstash_helper.system.printable import printable
from upstash_helper.system.session_bus import session_bus_address

logger = logging.getLogger(__name__)

DEADLINE: Final = 3.0
"""Seconds. A working desktop shows a notification within some hundredths of one."""
MAX_TITLE: Final = 100
MAX_BODY: Final = 300

_APP: Final = "upstash-helper"

# https://specifications.freedesktop.org/notification-spec/latest/
_NAME: Final = "org.freedesktop.Notifications"
_PATH: Final = "/org/freedesktop/Notifications"
_NORMAL_URGENCY: Final = 1
_DEFAULT_EXPIRY: Final = -1

Backend = Callable[[str, str, float], bool]
"""
Shows a title and a body within the given seconds; returns whether it did. It may raise anything, and block.
"""
Command = tuple[tuple[str, ...], dict[str, str]]
"""The arguments and environment of a process."""

SCRIPT_EDITOR: Final = (
    "They appear under the name Script Editor, and only if Script Editor may show notifications. To allow this, open "
    'Script Editor, run this once: display notification "upstash-helper" - then check System Settings > Notifications '
    "> Script Editor."
)
"""
macOS: how to allow notifications. ``osascript`` is not an app of its own, and does not request permission; without
permission, macOS drops the notification and reports success.
"""

_APPLESCRIPT: Final = """\
on run argv
display notification (item 3 of argv) with title (item 1 of argv) subtitle (item 2 of argv)
end run"""

# Windows PowerShell 5, which is part of Windows. Title and body are inserted as text nodes, so they are not parsed as
# XML. Windows shows toasts of registered programs only, hence the id of PowerShell itself. There are no double quotes
# in the script: Windows passes a command as one line, in which they would have to be escaped.
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


class DesktopNotifier:
    """The ``Notifier`` port."""

    def __init__(self, *, backend: Backend | None = None, deadline: float = DEADLINE) -> None:
        """
        Args:
            backend: Shows the notification; by default that of this platform.
            deadline: Seconds that it may take.
        """
        self._backend = backend or backend_of(sys.platform)
        self._deadline = deadline
        # Not the shared thread pool: a session bus that hangs would keep one of its threads.
        self._worker = Worker("notifications")

    async def show(self, *, title: str, body: str) -> bool:
        """Show a notification. Return False if that failed, or if an earlier call still hangs."""
        text = (_one_line(title, MAX_TITLE), _one_line(body, MAX_BODY))
        try:
            return await self._worker.run(lambda _: self._backend(*text, self._deadline), deadline=self._deadline)
        except JobFailed as failure:
            logger.info("notification_failed", extra={"error": type(failure.error).__name__})
        except (DeadlineExceeded, Busy) as failure:
            logger.info("notification_failed", extra={"error": type(failure).__name__})
        return False


class SilentNotifier:
    """The ``Notifier`` port for users who turned notifications off."""

    async def show(self, *, title: str, body: str) -> bool:  # noqa: ARG002 - the port's signature
        """Return False."""
        return False


def show_over_dbus(title: str, body: str, seconds: float, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Show a notification with the D-Bus interface of freedesktop.org."""
    address = session_bus_address(environ)
    if address is None:
        return False

    from jeepney import DBusAddress, MessageType, new_method_call  # type: ignore[import-untyped]
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    deadline = time.monotonic() + seconds
    hints = {"urgency": ("y", _NORMAL_URGENCY), "desktop-entry": ("s", _APP)}
    replaced, icon = 0, ""
    actions: list[str] = []  # none, so that clicking the notification does not move the focus
    server = DBusAddress(_PATH, _NAME, _NAME)
    with open_dbus_connection(address, auth_timeout=seconds) as bus:
        # Asked each time: the connection is for one notification, and meanwhile another server may run.
        asked = bus.send_and_get_reply(new_method_call(server, "GetCapabilities"), timeout=deadline - time.monotonic())
        found = asked.body[0] if asked.header.message_type == MessageType.method_return else None
        arguments = (_APP, replaced, icon, title, body_for(found, body), actions, hints, _DEFAULT_EXPIRY)
        message = new_method_call(server, "Notify", "susssasa{sv}i", arguments)
        reply = bus.send_and_get_reply(message, timeout=deadline - time.monotonic())
    return bool(reply.header.message_type == MessageType.method_return)


def body_for(capabilities: Sequence[str] | None, body: str) -> str:
    """
    Return a body that a notification server shows as exactly this text.

    Args:
        capabilities: What the server has answered to ``GetCapabilities``; None if it did not. A server that lacks
            ``body-markup`` would show an escaped character as its escape. One that does not answer may interpret
            markup, and an app must not be able to put any into a notification.
        body: Plain text.
    """
    if capabilities is not None and "body-markup" not in capabilities:
        return body
    return body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def capabilities(*, seconds: float, environ: Mapping[str, str] = os.environ) -> Sequence[str] | None:
    """Return the capabilities of the session's notification server, or None if they are unknown. Never raises."""
    address = session_bus_address(environ)
    if address is None:
        return None

    from jeepney import DBusAddress, MessageType, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    try:
        with open_dbus_connection(address, auth_timeout=seconds) as bus:
            server = DBusAddress(_PATH, _NAME, _NAME)
            reply = bus.send_and_get_reply(new_method_call(server, "GetCapabilities"), timeout=seconds)
    except Exception as error:  # noqa: BLE001 - jeepney has no base class, and a bad address raises anything
        logger.debug("notification_capabilities_unknown", extra={"error": type(error).__name__})
        return None
    return list(reply.body[0]) if reply.header.message_type == MessageType.method_return else None


def osascript_command(title: str, body: str) -> Command:
    """Return the command that shows a notification on macOS."""
    # The app's name comes first, so that a title that begins with a dash is not parsed as an option.
    return ("/usr/bin/osascript", "-e", _APPLESCRIPT, _APP, title, body), dict(os.environ)


def powershell_command(title: str, body: str) -> Command:
    """Return the command that shows a notification on Windows."""
    # The full path: Windows would prefer a powershell.exe in the current folder.
    program = os.environ.get("SYSTEMROOT", r"C:\Windows") + r"\System32\WindowsPowerShell\v1.0\powershell.exe"
    environ = dict(os.environ) | {"NOTIFICATION_TITLE": title, "NOTIFICATION_BODY": body}
    return (program, "-NoProfile", "-NonInteractive", "-Command", _POWERSHELL), environ


def command_backend(make_command: Callable[[str, str], Command]) -> Backend:
    """Return a backend that runs the command made from title and body."""

    def show(title: str, body: str, seconds: float) -> bool:
        from upstash_helper.system import bounded_run

        argv, environ = make_command(title, body)
        return bounded_run.run(argv, seconds=seconds, environ=environ, captures=False).code == 0

    return show


def backend_of(platform: str) -> Backend:
    """
    Return the backend of a system.

    Args:
        platform: Like ``sys.platform``.
    """
    command = {"darwin": osascript_command, "win32": powershell_command}.get(platform)
    return show_over_dbus if command is None else command_backend(command)


def _one_line(text: str, limit: int) -> str:
    text = printable(" ".join(text.split()))
    if len(text) <= limit:
        return text
    # Never the end, which may be that of a domain. Callers shorten what they know better.
    tail = limit // 2
    return f"{text[: limit - tail - 1].rstrip()}…{text[len(text) - tail :].lstrip()}"
