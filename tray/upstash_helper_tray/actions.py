"""What the user can choose in the tray. An action says all that it takes, so it can be run after the menu is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class StartDaemon:
    """Start the daemon in the background."""


@dataclass(frozen=True)
class StopDaemon:
    """Stop the daemon; the tray stays."""


@dataclass(frozen=True)
class Quit:
    """End the tray; the daemon goes on."""


@dataclass(frozen=True)
class Connect:
    """Sign in at Upstash, in the browser."""

    again: bool = False
    """Although an account is connected, or its key is not taken any more."""


@dataclass(frozen=True)
class CancelConnect:
    """Give up the sign-in that runs."""

    attempt_id: str


@dataclass(frozen=True)
class Disconnect:
    """Forget the account."""


Section = Literal["overview", "databases", "apps", "audit", "settings"]


@dataclass(frozen=True)
class OpenDashboard:
    """Open the dashboard in the browser."""

    section: Section = "overview"


@dataclass(frozen=True)
class CopyCredentials:
    """Put a database's credentials on the clipboard."""

    database_id: str
    name: str
    form: Literal["redis_url", "rest", "dotenv"]


@dataclass(frozen=True)
class OpenConsole:
    """Open a database's page in Upstash's console."""

    url: str


@dataclass(frozen=True)
class RefreshDatabases:
    """Ask Upstash for the databases anew."""


@dataclass(frozen=True)
class Approve:
    """Let an app in, with all that it wishes for."""

    pairing_id: str
    once: bool = False
    """For an hour."""


@dataclass(frozen=True)
class Deny:
    """Do not let an app in."""

    pairing_id: str


@dataclass(frozen=True)
class Block:
    """Do not let an app in, and never be asked by it again."""

    pairing_id: str


@dataclass(frozen=True)
class Revoke:
    """Let an app in no longer."""

    app_id: str
    name: str


@dataclass(frozen=True)
class StartAtLogin:
    """Start the tray whenever the user logs in, or no longer."""

    wanted: bool


@dataclass(frozen=True)
class ShowLog:
    """Open the folder of the logs."""


@dataclass(frozen=True)
class ShowAbout:
    """Tell the versions, and where the project is at home."""


Action = (
    StartDaemon
    | StopDaemon
    | Quit
    | Connect
    | CancelConnect
    | Disconnect
    | OpenDashboard
    | CopyCredentials
    | OpenConsole
    | RefreshDatabases
    | Approve
    | Deny
    | Block
    | Revoke
    | StartAtLogin
    | ShowLog
    | ShowAbout
)
