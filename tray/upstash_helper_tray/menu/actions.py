"""What the user can choose in the tray. An action is complete in itself, so it can run after the menu has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Section = Literal["overview", "databases", "apps", "audit", "settings", "key"]
"""A page of the dashboard; ``key``: the overview, with the dialog for an API key."""

CredentialsFormat = Literal["redis_url", "rest", "dotenv"]


@dataclass(frozen=True)
class StartDaemon:
    """Start the daemon in the background."""


@dataclass(frozen=True)
class StopDaemon:
    """Stop the daemon. The tray stays."""


@dataclass(frozen=True)
class Quit:
    """End the tray. The daemon keeps running."""


@dataclass(frozen=True)
class Connect:
    """Sign in to Upstash in the browser."""

    force: bool = False
    """Sign in even if an account is connected."""


@dataclass(frozen=True)
class CancelConnect:
    """Cancel the pending sign-in."""

    attempt_id: str


@dataclass(frozen=True)
class ReplaceAccount:
    """Let an app's sign-in replace the connected account."""

    attempt_id: str


@dataclass(frozen=True)
class KeepAccount:
    """Keep the connected account, and end an app's sign-in to another one."""

    attempt_id: str


@dataclass(frozen=True)
class Disconnect:
    """Disconnect the account."""


@dataclass(frozen=True)
class OpenDashboard:
    """Open the dashboard in the browser."""

    section: Section = "overview"


@dataclass(frozen=True)
class CopyCredentials:
    """Copy a database's credentials to the clipboard."""

    database_id: str
    name: str
    form: CredentialsFormat


@dataclass(frozen=True)
class OpenConsole:
    """Open a database's page in the Upstash console."""

    url: str


@dataclass(frozen=True)
class RefreshDatabases:
    """Read the databases from Upstash, bypassing the daemon's cache."""


@dataclass(frozen=True)
class Approve:
    """Approve an app's request with all scopes that it requests."""

    pairing_id: str
    once: bool = False
    """For one hour only."""


@dataclass(frozen=True)
class Deny:
    """Deny an app's request."""

    pairing_id: str


@dataclass(frozen=True)
class Block:
    """Deny an app's request, and reject its further requests."""

    pairing_id: str
    site: bool = False
    """Whether the whole site is blocked."""


@dataclass(frozen=True)
class AllowQuestion:
    """Answer an app's question with yes: for this call, or from now on, as the question says."""

    confirmation_id: str


@dataclass(frozen=True)
class DenyQuestion:
    """Deny what an app asks."""

    confirmation_id: str


@dataclass(frozen=True)
class Revoke:
    """Revoke an app's access."""

    app_id: str
    name: str


@dataclass(frozen=True)
class StartAtLogin:
    """Turn starting the tray at login on or off."""

    enabled: bool


@dataclass(frozen=True)
class ShowLog:
    """Open the folder that contains the logs."""


@dataclass(frozen=True)
class ShowAbout:
    """Show the versions of the tray and the daemon."""


Action = (
    StartDaemon
    | StopDaemon
    | Quit
    | Connect
    | CancelConnect
    | ReplaceAccount
    | KeepAccount
    | Disconnect
    | OpenDashboard
    | CopyCredentials
    | OpenConsole
    | RefreshDatabases
    | Approve
    | Deny
    | Block
    | AllowQuestion
    | DenyQuestion
    | Revoke
    | StartAtLogin
    | ShowLog
    | ShowAbout
)
