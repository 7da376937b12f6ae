"""What the tray knows: one value, replaced whole whenever there is news."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.protocol.wire import Attempt, Connection, DaemonStatus, Database
from upstash_helper.protocol.wire_apps import App, Pairing, RevokedApp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.client.events import Event

DaemonState = Literal["absent", "mismatched", "starting", "running"]
"""``mismatched``: it runs, and it and the tray are of versions that do not understand each other."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The state of daemon, connection, databases and apps, as far as it is known."""

    daemon: DaemonState = "absent"
    trouble: str = ""
    """Why the daemon is absent or of no use, where there is more to say than that: a sentence for the user."""
    connection: Connection | None = None
    """None while the daemon is not running."""
    databases: tuple[Database, ...] | None = None
    """By name. None: not read, or no account is connected."""
    databases_trouble: str = ""
    """Why they could not be read."""
    pairings: tuple[Pairing, ...] = ()
    """Those that wait for the user, the oldest first."""
    apps: tuple[App, ...] = ()
    console_url: str | None = None
    """Where Upstash's console is; None where there is none, as with a sandbox."""
    starts_at_login: bool | None = None
    """None: it cannot be set on this system."""


class Sign(Enum):
    """What the icon says. Each has a shape of its own: nobody has to tell colours apart."""

    ABSENT = auto()
    DISCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    ATTENTION = auto()
    """The user is waited for: an app wants in, or the connection needs a hand."""


Need = Literal["state", "apps", "databases"]

_NEEDS: Final[dict[str, frozenset[Need]]] = {
    "hello": frozenset({"state"}),
    "reset": frozenset({"state"}),
    "database": frozenset({"databases"}),
}


@dataclass(frozen=True)
class Folded:
    """The next view, and what an event does not say itself, so that it must be read."""

    view: View
    needs: frozenset[Need] = frozenset()


def folded(view: View, event: Event) -> Folded:
    """Return what ``event`` makes of ``view``. An event that this version does not know makes nothing of it."""
    match event.data:
        case Connection() as connection:
            return with_connection(view, connection)
        case Attempt() as attempt:
            return Folded(_with_attempt(view, attempt))
        case Pairing() as pairing:
            return _with_pairing(view, pairing)
        case RevokedApp(app_id=app_id):
            return Folded(replace(view, apps=tuple(app for app in view.apps if app.id != app_id)))
        case _:
            return Folded(view, _NEEDS.get(event.event, frozenset()))


# --- what was read ----------------------------------------------------------------------------------------------------


def with_status(view: View, status: DaemonStatus, connection: Connection) -> Folded:
    """
    Return the view of a daemon that answered. What has become of its databases is not known.

    Args:
        view: The view before.
        status: The answer.
        connection: The answer's own, or a newer one.
    """
    running = replace(view, daemon="running", trouble="", console_url=status.console_url)
    after = with_connection(running, connection).view
    return Folded(after, frozenset({"databases"}) if is_connected(after) else frozenset())


def with_connection(view: View, connection: Connection) -> Folded:
    """Return the view with another connection. The databases of another account, or of none, are not kept."""
    same = _account(view.connection) == _account(connection)
    after = replace(view, connection=connection)
    if same:
        return Folded(after)
    after = replace(after, databases=None, databases_trouble="")
    return Folded(after, frozenset({"databases"}) if is_connected(after) else frozenset())


def with_pairings(view: View, pairings: Iterable[Pairing]) -> View:
    """Return the view with the requests that wait. One that waits shows that the daemon runs, before all else."""
    waiting = tuple(pairings)
    return replace(view, pairings=waiting, daemon="running" if waiting else view.daemon)


def without_pairing(view: View, pairing_id: str) -> View:
    """Return the view without a request of which the daemon says that it waits no longer."""
    return with_pairings(view, (one for one in view.pairings if one.id != pairing_id))


def with_apps(view: View, apps: Iterable[App]) -> View:
    """Return the view with the apps that are let in."""
    return replace(view, apps=tuple(apps))


def with_databases(view: View, of: Connection | None, databases: Iterable[Database]) -> View:
    """Return the view with the databases, unless another account is connected by now than the one they are ``of``."""
    if not is_connected(view) or _account(view.connection) != _account(of):
        return view
    return replace(view, databases=tuple(databases), databases_trouble="")


def without_databases(view: View, of: Connection | None, trouble: str) -> View:
    """Return the view after the databases could not be read. Those that were read before are shown further on."""
    if not is_connected(view) or _account(view.connection) != _account(of):
        return view
    return replace(view, databases_trouble=trouble)


# --- the daemon -------------------------------------------------------------------------------------------------------


def mismatched(view: View, trouble: str) -> View:
    """Return the view of a daemon that runs and cannot be understood."""
    return View(daemon="mismatched", trouble=trouble, starts_at_login=view.starts_at_login)


def absent(view: View, trouble: str = "", *, starting: bool = False) -> View:
    """Return the view of a daemon that is not there; only what is no word of the daemon's stays."""
    return View(
        daemon="starting" if starting else "absent",
        trouble="" if starting else trouble,
        starts_at_login=view.starts_at_login,
    )


def is_connected(view: View) -> bool:
    """Return whether an account is connected and usable."""
    return view.connection is not None and view.connection.state == "connected"


def _account(connection: Connection | None) -> tuple[str, str | None] | None:
    if connection is None or connection.state != "connected" or connection.account is None:
        return None
    return connection.account.email, connection.since


def _with_attempt(view: View, attempt: Attempt) -> View:
    if view.connection is None:
        return view
    return replace(view, connection=msgspec.structs.replace(view.connection, attempt=attempt))


def _with_pairing(view: View, pairing: Pairing) -> Folded:
    others = tuple(one for one in view.pairings if one.id != pairing.id)
    if pairing.state == "pending":
        return Folded(with_pairings(view, (*others, pairing)))
    # The app fetches its token after the yes, and only then is it let in; both are told as ``approved``.
    needs: frozenset[Need] = frozenset({"apps"}) if pairing.state == "approved" else frozenset()
    return Folded(with_pairings(view, others), needs)


Change = Callable[[View], View]
Shown = Callable[[View, View, "Event | None"], None]
"""Is called with the view before, the view after, and the event that made the difference, if one did."""


class Views:
    """Keeps the current view. Several threads change it; each change is told in order, one at a time."""

    def __init__(self, shown: Shown) -> None:
        """
        Args:
            shown: Is told of each change, on the thread that made it. It must return soon, and not change the view.
        """
        self._shown = shown
        self._turn = threading.Lock()
        self._view = View()

    @property
    def current(self) -> View:
        """What is known now."""
        return self._view

    def change(self, change: Change, *, event: Event | None = None) -> View:
        """Replace the view by what ``change`` makes of it, tell, and return the new one."""
        with self._turn:
            before = self._view
            after = change(before)
            self._view = after
            # An event may say what no view shows, such as why an app is let in no longer.
            if after != before or event is not None:
                self._shown(before, after, event)
            return after
