"""What stops the sandbox from starting, and what a request to it may be refused for."""

from __future__ import annotations


class CannotStart(Exception):
    """The sandbox cannot run here; the message says why and what to do."""


class Refused(Exception):
    """A request is refused: ``status`` and a message that the caller sees."""

    def __init__(self, status: int, message: str) -> None:
        """
        Args:
            status: HTTP status.
            message: What is wrong, as Upstash would say it.
        """
        super().__init__(message)
        self.status = status
        self.message = message


class ServerFailed(Exception):
    """A database's server did not start, or stopped answering."""


class PortTaken(ServerFailed):
    """The server could not listen, because another program holds its port."""
