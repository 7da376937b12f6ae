"""The exceptions that the sandbox's subpackages share. It imports nothing, so every module can import it."""

from __future__ import annotations


class StartupError(Exception):
    """The sandbox cannot start. The message gives the reason and what to do."""


class RequestError(Exception):
    """A request is rejected with an HTTP status and a message for the caller."""

    def __init__(self, status: int, message: str, *, allow: str = "") -> None:
        """
        Args:
            status: HTTP status.
            message: The reason, worded as Upstash would.
            allow: For status 405, the methods that are allowed.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"Allow": allow} if allow else {}
        """Headers of the response."""


class ServerError(Exception):
    """A database's server did not start, or stopped responding."""


class WrongPassword(ServerError):
    """A database's server rejected a user's password."""


class PortInUse(ServerError):
    """The server could not listen because another program uses its port."""
