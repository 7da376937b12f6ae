"""Checks of the desktop: keyring, session bus, notifications, system tray, and browser."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.system import disk_errors, keychain
from upstash_helper.system.notifications import SCRIPT_EDITOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

KEYRING_SECONDS: Final = 10.0
"""A working keyring takes a fraction of a second. One that waits for the user, or hangs, never returns."""
CLEAN_UP_SECONDS: Final = 4.0
BUS_SECONDS: Final = 3.0
TRAY_SECONDS: Final = 12.0

_PROBE: Final = "upstash_helper.storage.credentials.probe"
_NOTIFICATIONS: Final = "org.freedesktop.Notifications"
_WATCHER: Final = "org.kde.StatusNotifierWatcher"


# --- the keyring ------------------------------------------------------------------------------------------------------


class _ProbeOutput(msgspec.Struct):
    """The output of ``storage.credentials.probe``."""

    state: Literal["ok", "unlocked", "not_running", "locked", "absent", "not_created", "broken"]
    kind: str
    detail: str = ""
    left_behind: bool = False


def keyring(
    context: DoctorContext, *, seconds: float = KEYRING_SECONDS, clean_up: float = CLEAN_UP_SECONDS
) -> Iterator[CheckResult]:
    """
    Whether the keyring works: an entry is written, read back, and deleted, if that opens no window and leaves no trace.

    Args:
        context: The settings and the daemon's status.
        seconds: The time limit of the probe.
        clean_up: The time limit for deleting the entry of a probe that was killed.
    """
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.system.processes import command_line

    name, store = "Keyring", _store(context)
    if store != "keyring":
        yield ok(name, f"not used: the account's credential is stored in {'a file' if store == 'file' else 'memory'}")
        return
    entry = f"doctor {secrets.token_hex(4)}"
    result = subprocesses.run(command_line(entry, module=_PROBE), seconds=seconds)
    output = result.last_line(_ProbeOutput)
    left_behind = output is not None and output.left_behind
    if result.code is None:
        # It may have been killed between writing and deleting.
        cleaned = subprocesses.run(command_line("--forget", entry, module=_PROBE), seconds=clean_up)
        after = cleaned.last_line(_ProbeOutput)
        left_behind = after is None or after.state not in {"ok", "absent", "not_created"}
        yield error(
            name,
            f"no response within {seconds:g} s: it hangs, or is waiting for you",
            "Look for a window that asks for its password, or log out and in again.",
        )
    elif output is None:
        yield error(name, "the probe of the keyring failed", "Please report this: upstash-helper doctor --report")
    else:
        yield _keyring(name, output, reported=_reported(context))
    if left_behind:
        yield warning(
            name,
            f'a test entry may be left in it: "upstash-helper", "{entry}"; it contains no secret',
            "Delete it with your desktop's password manager.",
        )


def _store(context: DoctorContext) -> str:
    """Return the credential store: the running daemon's, which may have been started with other settings."""
    status = context.daemon().status
    store = status.connection.credential_store if status else None
    if store is None:
        return context.settings.credential_store
    return store.kind if store.kind in {"file", "memory"} else "keyring"


_WORKS: Final = {
    "ok": "an entry was written, read back, and deleted",
    "unlocked": "unlocked; not tested with an entry, which would open a window or leave a trace",
    "not_running": "not running, and not tested; it is started when it is needed",
}


def _reported(context: DoctorContext) -> str:
    """Return the problem of the keyring that the check of the connection has shown; empty if it has not."""
    status = context.daemon().status
    return (status.connection.detail or "") if status else ""


def _keyring(name: str, output: _ProbeOutput, *, reported: str = "") -> CheckResult:  # noqa: PLR0911 - the states
    if output.detail and output.detail in reported:
        return error(name, f"{output.state.replace('_', ' ')}; see the connection above", "See Connection.")
    or_file = 'or, on a machine without a keyring: credential_store = "file", which stores the credential in plaintext'
    if output.kind == keychain.KIND and output.state in {"locked", "broken"}:
        return error(name, f"{keychain.KIND}: it cannot be used", output.detail)
    match output.state:
        case "ok" | "unlocked" | "not_running":
            return ok(name, f"{output.kind}: {_WORKS[output.state]}")
        case "locked":
            return error(name, "locked", output.detail)
        case "absent":
            return error(name, f"none. {output.detail}", f"Start one in your session, {or_file}.")
        case "not_created":
            return error(name, "not created yet", f"{output.detail.rstrip('.')}, {or_file}.")
        case "broken":
            return error(name, f"broken. {output.detail}", f"Make sure that it is running, {or_file}.")


# --- the session bus --------------------------------------------------------------------------------------------------


class _NoBus(Exception):
    """There is no session bus, or it does not answer. ``str()`` says which."""


@contextlib.contextmanager
def _bus() -> Iterator[Any]:
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    from upstash_helper.system.session_bus import session_bus_address

    address = session_bus_address()
    if address is None:
        raise _NoBus("no session bus")
    try:
        connection = open_dbus_connection(address, auth_timeout=BUS_SECONDS)
    except Exception as problem:  # the library raises errors of many types
        why = "it refuses this user, or is not a D-Bus address"
        if isinstance(problem, OSError):
            why = disk_errors.reason(problem)
        raise _NoBus(f"no response at {address}: {why}") from problem
    with contextlib.closing(connection):
        yield connection


def _ask_bus(connection: Any, method: str, signature: str = "", *body: object) -> Any:
    from jeepney import DBusAddress, MessageType, new_method_call  # type: ignore[import-untyped]

    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    message = new_method_call(bus, method, signature or None, body)
    reply = connection.send_and_get_reply(message, timeout=BUS_SECONDS)
    if reply.header.message_type != MessageType.method_return:
        raise _NoBus("it returned an error")
    return reply.body[0]


def session_bus(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the session bus works, which the keyring, notifications, and the tray icon use."""
    if sys.platform != "linux":
        return
    name = "Session bus"
    try:
        with _bus() as connection:
            names = _ask_bus(connection, "ListNames")
    except (_NoBus, OSError) as problem:
        why = str(problem) if isinstance(problem, _NoBus) else "no response"
        keyring = context.settings.credential_store == "keyring"
        lost = "no keyring, notifications, or tray icon" if keyring else "no notifications or tray icon"
        fix = "Log in to a desktop, or start a session bus: dbus-run-session"
        yield warning(name, f"{why}: {lost}", fix)
        return
    yield ok(name, f"works; {sum(1 for one in names if not one.startswith(':'))} services")


def notifications(context: DoctorContext, *, platform: str = sys.platform) -> Iterator[CheckResult]:
    """
    Whether the desktop shows notifications.

    Args:
        context: The settings and the daemon's status.
        platform: Like ``sys.platform``.
    """
    name = "Notifications"
    if not context.settings.notifications:
        yield ok(name, "turned off: notifications = false")
        return
    if platform == "darwin":
        # macOS returns success for a notification that it does not show.
        yield ok(name, f"not tested: macOS does not report whether you allow them. {SCRIPT_EDITOR}")
        return
    if platform == "win32":
        yield ok(name, "shown by the system; not tested, because that would show one")
        return
    try:
        with _bus() as connection:
            running = _ask_bus(connection, "NameHasOwner", "s", _NOTIFICATIONS)
            startable = running or _NOTIFICATIONS in _ask_bus(connection, "ListActivatableNames")
    except (_NoBus, OSError):
        running = startable = False
    if running:
        yield ok(name, "the desktop's notification service is running")
    elif startable:
        yield ok(name, "the desktop's notification service starts when needed")
    else:
        yield warning(
            name,
            "the desktop has no notification service, so you are not notified of access requests",
            f"List pending requests with: {context.command('approvals', 'list')}",
        )


# --- the system tray --------------------------------------------------------------------------------------------------


class _Backend(msgspec.Struct):
    backend: str


class _Problem(msgspec.Struct):
    code: str
    detail: str


def tray(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether a tray icon can be shown, and the backend that `upstash-helper tray` would use."""
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.system.processes import command_line

    name = "Tray"
    command = command_line("--profile", context.session.profile, "tray", "--check", "--json")
    result = subprocesses.run(command, seconds=TRAY_SECONDS)
    found = result.last_line(_Backend)
    if result.code == exit_codes.OK and found is not None:
        yield ok(name, f"an icon can be shown, with the backend {found.backend}{_watcher()}")
        return
    if result.code is None:
        detail = f"no response within {TRAY_SECONDS:g} s"
        yield warning(name, detail, "Find out whether the desktop hangs. The helper works without the icon.")
        return
    problem = _problem_in(result.err)
    if problem.code == "tray_not_installed":
        yield ok(name, f"not installed (optional). {problem.detail}")
    else:
        yield warning(name, f"no icon can be shown. {problem.detail}{_watcher()}", "The helper works without it.")


def _problem_in(text: str) -> _Problem:
    """Return the problem on the last line of an error output."""
    try:
        return msgspec.json.decode(text.strip().rpartition("\n")[2], type=_Problem)
    except msgspec.MsgspecError:
        return _Problem(code="failure", detail="The check failed.")


def _watcher() -> str:
    """Return on Linux whether a panel supports StatusNotifierItem."""
    if sys.platform != "linux":
        return ""
    try:
        with _bus() as connection:
            running = _ask_bus(connection, "NameHasOwner", "s", _WATCHER)
    except (_NoBus, OSError):
        return ""
    return f"; {_WATCHER} is {'available' if running else 'not available'}"


# --- the browser ------------------------------------------------------------------------------------------------------


def browser(context: DoctorContext) -> Iterator[CheckResult]:
    """The browser that would be opened."""
    from upstash_helper.system.browser import candidates, default_browser, missing_browsers, text_browser

    name, manual = "Browser", f"Open the address yourself: {context.command('connect', '--no-browser')}"
    if not context.settings.open_browser:
        yield ok(name, "turned off: open_browser = false")
        return
    missing = missing_browsers()
    found = next((one for one in candidates() if one.name != "xdg-open" or default_browser() is not None), None)
    if found is not None and missing:
        detail = f"BROWSER names {', '.join(missing)}, which cannot be started here; {found.name} is used instead"
        yield warning(name, detail, "Set BROWSER to an installed browser, or unset it.")
        return
    if missing:
        detail = f"BROWSER names {', '.join(missing)}, which cannot be started here, and no other browser was found"
        yield warning(name, detail, manual)
        return
    if found is None:
        text = text_browser()
        reason = f"{text}, a text browser, which cannot show the sign-in" if text else "no browser was found"
        yield warning(name, reason, manual)
        return
    from_environment = " (set by BROWSER)" if os.environ.get("BROWSER") else ""
    opens = f", which opens {default_browser()}" if found.name == "xdg-open" else ""
    yield ok(name, f"{found.name}{from_environment}{opens}")
