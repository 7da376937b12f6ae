"""How the view follows from what the daemon says: pure functions, from one view to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.protocol.wire import Attempt, Connection, DaemonStatus, Database
from upstash_helper.protocol.wire_apps import App, Pairing, RevokedApp
from upstash_helper_tray.state import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.client.events import Event

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
