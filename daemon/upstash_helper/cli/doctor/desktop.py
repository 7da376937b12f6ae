"""The checks of the desktop: keyring, session bus, notifications, panel, browser."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

KEYRING_SECONDS: Final = 10.0
"""It takes some tenths of one; a keyring that asks somebody, or hangs, takes for ever."""
CLEAN_UP_SECONDS: Final = 4.0
BUS_SECONDS: Final = 3.0
TRAY_SECONDS: Final = 12.0

_PROBE: Final = "upstash_helper.storage.credentials.probe"
_NOTIFICATIONS: Final = "org.freedesktop.Notifications"
_WATCHER: Final = "org.kde.StatusNotifierWatcher"
_TEXT_BROWSERS: Final = frozenset({"www-browser", "lynx", "links", "elinks", "w3m"})


# --- the keyring ------------------------------------------------------------------------------------------------------


class _Probed(msgspec.Struct):
    """What ``storage.keyring_probe`` says."""

    state: Literal["ok", "locked", "absent", "broken"]
    kind: str
    detail: str = ""
    left_behind: bool = False


def keyring(
    context: DoctorContext, *, seconds: float = KEYRING_SECONDS, clean_up: float = CLEAN_UP_SECONDS
) -> Iterator[CheckResult]:
    """
    Whether the keyring keeps what it is given: an entry is written, read back, and deleted.

    Args:
        context: What the checks go by.
        seconds: That the probe has.
        clean_up: Seconds that there are to delete what a probe left that had to be ended.
    """
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.system.processes import command_line

    name, store = "Keyring", _store(context)
    if store != "keyring":
        yield ok(name, f"not used: the API key is kept in {'a file' if store == 'file' else 'memory alone'}")
        return
    entry = f"doctor {secrets.token_hex(4)}"
    ended = subprocesses.run(command_line(entry, module=_PROBE), seconds=seconds)
    probed = ended.last_line(_Probed)
    left_behind = probed is not None and probed.left_behind
    if ended.code is None:
        # It may have been ended between writing and deleting.
        cleaned = subprocesses.run(command_line("--forget", entry, module=_PROBE), seconds=clean_up)
        after = cleaned.last_line(_Probed)
        left_behind = after is None or after.state not in {"ok", "absent"}
        yield error(
            name,
            f"no answer within {seconds:g} s: it hangs, or waits for you",
            "Check for a window that asks for its password, or log in anew.",
        )
    elif probed is None:
        yield error(name, "the probe of the keyring failed", "Please report it: upstash-helper doctor --report")
    else:
        yield _keyring(name, probed)
    if left_behind:
        yield warning(
            name,
            f'an entry of the probe may be left in it: "upstash-helper", "{entry}"; it is of no use to anybody',
            "Delete it with your desktop's password tool.",
        )


def _store(context: DoctorContext) -> str:
    """Return where the API key is kept: by the daemon that runs, which may have been told otherwise than the file."""
    status = context.daemon().status
    kept = status.connection.credential_store if status else None
    if kept is None:
        return context.settings.credential_store
    return kept.kind if kept.kind in {"file", "memory"} else "keyring"


def _keyring(name: str, probed: _Probed) -> CheckResult:
    in_clear = 'or, on a machine without a keyring: credential_store = "file", which keeps the API key in clear'
    match probed.state:
        case "ok":
            return ok(name, f"{probed.kind}: an entry was written, read back and deleted")
        case "locked":
            return error(
                name, f"locked. {probed.detail}", "Unlock it with your desktop's password tool, or log in anew."
            )
        case "absent":
            return error(name, f"none. {probed.detail}", f"Start one in your session, {in_clear}.")
        case "broken":
            return error(name, f"broken. {probed.detail}", f"See that it is running, {in_clear}.")


# --- the session bus --------------------------------------------------------------------------------------------------


class _NoBus(Exception):
    """There is none, or it does not answer. ``str()`` says which."""


@contextlib.contextmanager
def _bus() -> Iterator[Any]:
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    from upstash_helper.system.session_bus import session_bus_address

    address = session_bus_address()
    if address is None:
        raise _NoBus("there is none")
    try:
        connection = open_dbus_connection(address, auth_timeout=BUS_SECONDS)
    except Exception as problem:  # whatever the library raises, it is that
        why = problem.strerror if isinstance(problem, OSError) and problem.strerror else type(problem).__name__
        raise _NoBus(f"it does not answer at {address}: {why}") from problem
    with contextlib.closing(connection):
        yield connection


def _ask_bus(connection: Any, method: str, signature: str = "", *body: object) -> Any:
    from jeepney import DBusAddress, MessageType, new_method_call  # type: ignore[import-untyped]

    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    message = new_method_call(bus, method, signature or None, body)
    reply = connection.send_and_get_reply(message, timeout=BUS_SECONDS)
    if reply.header.message_type != MessageType.method_return:
        raise _NoBus("it refuses to answer")
    return reply.body[0]


def session_bus(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether there is a session bus: keyring, notifications and the icon go over it."""
    if sys.platform != "linux":
        return
    name = "Session bus"
    try:
        with _bus() as connection:
            names = _ask_bus(connection, "ListNames")
    except (_NoBus, OSError) as problem:
        why = str(problem) if isinstance(problem, _NoBus) else f"it does not answer ({type(problem).__name__})"
        needed = context.settings.credential_store == "keyring"
        lost = "no keyring, no notifications, and no icon" if needed else "no notifications and no icon"
        fix = "Log in to a desktop, or start one for a session: dbus-run-session"
        yield warning(name, f"{why}: {lost}", fix)
        return
    yield ok(name, f"it answers; {sum(1 for one in names if not one.startswith(':'))} services are on it")


def notifications(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the desktop shows notifications."""
    name = "Notifications"
    if not context.settings.notifications:
        yield ok(name, "not wanted: notifications = false")
        return
    if sys.platform != "linux":
        yield ok(name, "by the system's own means; not tried, for one would be shown")
        return
    try:
        with _bus() as connection:
            there = _ask_bus(connection, "NameHasOwner", "s", _NOTIFICATIONS)
            startable = there or _NOTIFICATIONS in _ask_bus(connection, "ListActivatableNames")
    except (_NoBus, OSError):
        there = startable = False
    if there:
        yield ok(name, "the desktop's service is there")
    elif startable:
        yield ok(name, "the desktop's service starts when it is needed")
    else:
        yield warning(
            name,
            "no service of the desktop shows any, so you are not told that an app waits",
            f"See who waits with: {context.command('approvals', 'list')}",
        )


# --- the panel --------------------------------------------------------------------------------------------------------


class _Backend(msgspec.Struct):
    backend: str


class _Problem(msgspec.Struct):
    code: str
    detail: str


def tray(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether an icon can be shown, and how: what `upstash-helper tray` would choose."""
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.system.processes import command_line

    name = "Tray"
    command = command_line("--profile", context.session.profile, "tray", "--check", "--json")
    ended = subprocesses.run(command, seconds=TRAY_SECONDS)
    found = ended.last_line(_Backend)
    if ended.code == exit_codes.OK and found is not None:
        yield ok(name, f"an icon can be shown, by the backend {found.backend}{_watcher()}")
        return
    if ended.code is None:
        detail = f"whether an icon can be shown was not known within {TRAY_SECONDS:g} s"
        yield warning(name, detail, "See whether the desktop hangs. The helper does without the icon.")
        return
    problem = _problem_in(ended.err)
    if problem.code == "tray_not_installed":
        yield ok(name, f"not installed, and not needed. {problem.detail}")
    else:
        yield warning(name, f"no icon can be shown. {problem.detail}{_watcher()}", "The helper does without it.")


def _problem_in(text: str) -> _Problem:
    """Return the problem on the last line of an error output."""
    try:
        return msgspec.json.decode(text.strip().rpartition("\n")[2], type=_Problem)
    except msgspec.MsgspecError:
        return _Problem(code="failure", detail="The check of the icon failed.")


def _watcher() -> str:
    """Return whether there is a panel that speaks StatusNotifierItem, where that is what panels speak."""
    if sys.platform != "linux":
        return ""
    try:
        with _bus() as connection:
            there = _ask_bus(connection, "NameHasOwner", "s", _WATCHER)
    except (_NoBus, OSError):
        return ""
    return f"; {_WATCHER} is {'there' if there else 'not there'}"


# --- the browser ------------------------------------------------------------------------------------------------------


def browser(context: DoctorContext) -> Iterator[CheckResult]:
    """Which browser would be opened."""
    import webbrowser

    name, by_hand = "Browser", f"Open the address yourself: {context.command('connect', '--no-browser')}"
    if not context.settings.open_browser:
        yield ok(name, "not opened: open_browser = false")
        return
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        yield warning(name, "none was found", by_hand)
        return
    called = str(getattr(found, "name", "") or type(found).__name__)
    from_environment = " (BROWSER says so)" if os.environ.get("BROWSER") else ""
    if called in _TEXT_BROWSERS:
        yield warning(name, f"{called}, which shows text alone and cannot show the sign-in", by_hand)
    else:
        yield ok(name, f"{called}{from_environment}")
