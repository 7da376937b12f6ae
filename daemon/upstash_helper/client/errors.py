"""What a call of the daemon can end with, other than its answer."""

from __future__ import annotations

from upstash_helper.client.wire import Problem


class ClientError(Exception):
    """The base of every error that the client raises on purpose. ``str()`` is for a person, and holds no secret."""


class DaemonUnreachable(ClientError):
    """The daemon is not running, or does not answer. ``str()`` has the command that starts it."""


class DiscoveryRefused(ClientError):
    """The discovery file is not one that this user's daemon wrote, so the token in it is not used."""


class UnexpectedAnswer(ClientError):
    """An answer that is not of this API: another version of the daemon, or another program at its address."""


class WaitTimedOut(ClientError):
    """What was waited for did not happen in the time given."""


class ApiProblem(ClientError):
    """The daemon refused a request, or failed at it (RFC 9457)."""

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The answer as it came.
        """
        super().__init__(problem.detail)
        self.problem = problem
        self.code = problem.code
        """Stable: programs tell errors apart by it."""
        self.status = problem.status
        self.detail = problem.detail
