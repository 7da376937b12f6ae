"""TODO docstring."""

from __future__ import annotations

from typing import Final, NamedTuple


class PeerVersion(NamedTuple):
    """A version of the program, and of the protocol that it speaks."""

    version: str
    """Empty if it is not known."""
    protocol: int | None
    """None if it is not known."""

    def __str__(self) -> str:
        protocol = "" if self.protocol is None else f" (protocol {self.protocol})"
        return f"version {self.version or 'unknown'}{protocol}"


class ClientError(Exception):
    """The base of every error that the client raises on purpose. ``str()`` is for a person, and holds no secret."""


class DiscoveryRefused(ClientError):
    """The discovery file is not one that this user's daemon wrote for this client: the token in it is not used."""


class VersionMismatch(DiscoveryRefused):
    """
    The daemon that runs and this program are of versions that do not understand each other. Nothing was asked of it,
    and the token that it announced is not used.

    ``str()`` says which of the two is older, and what to do. A daemon of another version that speaks the same version
    of the API is no error.
    """

    def __init__(self, *, ours: PeerVersion, daemon: PeerVersion, daemon_is_older: bool, restart_command: str) -> None:
        """
        Args:
            ours: This program's version.
            daemon: The daemon's.
            daemon_is_older: Else it is this program that is older.
            restart_command: What brings the daemon to the version of the program that is installed.
        """
        self.daemon_is_older = daemon_is_older
        self.daemon_version: Final = daemon.version
        self.our_version: Final = ours.version
        if daemon_is_older:
            message = (
                f"The daemon that runs is older than this program, and they do not understand each other: it has"
                f" {daemon}, and this program {ours}. Restart the daemon: {restart_command}"
            )
        else:
            message = (
                f"This program is older than the daemon that runs, and they do not understand each other: it has"
                f" {ours}, and the daemon {daemon}. Update the package upstash-helper of this program, then start it"
                " again."
            )
        super().__init__(message)
