"""Errors that a client can have before it has talked to the daemon: with the discovery file, and with versions."""

from __future__ import annotations

from typing import Final, NamedTuple


class PeerVersion(NamedTuple):
    """The version of a program and of the protocol that it speaks."""

    version: str
    """Empty if unknown."""
    protocol: int | None
    """None if unknown."""

    def __str__(self) -> str:
        protocol = "" if self.protocol is None else f" (protocol {self.protocol})"
        return f"version {self.version or 'unknown'}{protocol}"


class ClientError(Exception):
    """Base of every error that the client raises on purpose. ``str()`` is for a person and contains no secret."""


class DiscoveryRefused(ClientError):
    """The discovery file was not written by this user's daemon, or cannot be read. Its token is not used."""


class VersionMismatch(DiscoveryRefused):
    """
    The running daemon and this program speak different versions of the protocol.

    No request was sent, and the token in the discovery file is not used. ``str()`` says which of the two is older and
    what to do. A daemon of another release that speaks the same version of the protocol is no error.
    """

    def __init__(self, *, ours: PeerVersion, daemon: PeerVersion, daemon_is_older: bool, restart_command: str) -> None:
        """
        Args:
            ours: The version of this program.
            daemon: The version of the daemon.
            daemon_is_older: Whether the daemon is the older of the two.
            restart_command: Command that restarts the daemon with the installed version.
        """
        self.daemon_is_older = daemon_is_older
        self.daemon_version: Final = daemon.version
        self.our_version: Final = ours.version
        if daemon_is_older:
            message = (
                f"The running daemon is older than this program and not compatible with it: the daemon has {daemon},"
                f" and this program has {ours}. Restart the daemon: {restart_command}"
            )
        else:
            message = (
                f"This program is older than the running daemon and not compatible with it: this program has {ours},"
                f" and the daemon has {daemon}. Update the package upstash-helper of this program, then start it again."
            )
        super().__init__(message)
