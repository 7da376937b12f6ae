"""What the tray knows: one value, replaced whole whenever there is news."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Connection, Database
    from upstash_helper.protocol.wire_apps import App, Pairing

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
