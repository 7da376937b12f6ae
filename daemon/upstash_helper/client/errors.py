"""
What a call of the daemon can end with, other than its answer.

Every error that the client raises on purpose is a ``ClientError``, and ``str()`` of it is a sentence for a person. What
the daemon refuses is an ``ApiProblem``; the refusals that an app may want to tell apart have classes of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Attempt, Problem


class DaemonUnreachable(ClientError):
    """The daemon is not running, or does not answer. ``str()`` has the command that starts it."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        """
        Args:
            message: What happened and what to do, for a person.
            sent: Whether the request may have reached the daemon, and so been carried out.
        """
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(ClientError):
    """An answer that is not of this API: another version of the daemon, or another program at its address."""


class WaitTimedOut(ClientError):
    """What was waited for did not happen in the time given."""


class SignedOut(ClientError):
    """This client has signed out, so it has no token any more."""


class SignInFailed(ClientError):
    """The user's sign-in to Upstash failed, was given up, or took too long. ``str()`` says why and what to do."""

    def __init__(self, attempt: Attempt) -> None:
        """
        Args:
            attempt: As it ended.
        """
        super().__init__(attempt.detail or "The sign-in to Upstash did not succeed. Start again.")
        self.attempt = attempt
        self.reason: str = attempt.reason or attempt.state
        """Stable: programs tell the reasons apart by it."""


class TokenStoreUnavailable(ClientError):
    """The app's token cannot be kept, or not be read. ``str()`` says why, and how to keep it elsewhere."""


class TokenStoreLocked(TokenStoreUnavailable):
    """The keyring is locked, and the user has not unlocked it."""


# --- what the daemon refuses ------------------------------------------------------------------------------------------


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
        self.retry_after: float | None = None if problem.retry_after is UNSET else float(problem.retry_after)
        """Seconds after which the same call may succeed, if the daemon knows."""


class PairingRefused(ApiProblem):
    """The app was not let in. The classes below say why."""


class PairingDenied(PairingRefused):
    """The user said no."""


class PairingExpired(PairingRefused):
    """The user did not decide in time, or the app did not fetch its token in time."""


class PairingPending(PairingRefused):
    """
    Another request of this program waits for the user already, who is shown one at a time: of a run that was broken
    off a moment ago, or of another script, for all that run in one interpreter are one program to the system.

    ``retry_after`` tells when that one expires.
    """

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The answer as it came.
        """
        super().__init__(problem)
        message = (
            "Another request of this program still waits for the user, perhaps of a run that was broken off. Decide"
            f" about that one first (upstash-helper approvals list), or try again{_in_seconds(self.retry_after)}."
        )
        self.args = (message,)


class TooManyPairings(PairingRefused):
    """The user was asked too often or has just said no. ``retry_after`` tells when to come again."""

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The answer as it came.
        """
        super().__init__(problem)
        self.args = (f"{problem.detail} Try again{_in_seconds(self.retry_after)}.",)


class AppBlocked(PairingRefused):
    """The user does not want to be asked by this app any more: ask no further."""


class TokenRevoked(ApiProblem):
    """The token is not known to the daemon, or no longer: the user has revoked it, or it has expired. Pair anew."""


class InsufficientScope(ApiProblem):
    """The call needs a scope that the user has not granted. ``str()`` names it."""


class NotTheCreator(ApiProblem):
    """The app may read the credentials of the databases that it created, and this is another one."""


class RateLimited(ApiProblem):
    """The app calls too often; ``retry_after`` tells when to go on."""


class NotConnected(ApiProblem):
    """No Upstash account is connected: call ``connect``."""


class ReconnectRequired(ApiProblem):
    """Upstash no longer takes the stored API key: call ``connect``."""


class DatabaseNotFound(ApiProblem):
    """The account has no such database."""


class RequestInProgress(ApiProblem):
    """A request with the same idempotency key is being carried out right now."""


class OutcomeUnknown(ApiProblem):
    """Upstash's answer was lost. Asking again with the same idempotency key finds the database, or makes it."""


_CLASS_OF: Final[dict[str, type[ApiProblem]]] = {
    "app_blocked": AppBlocked,
    "database_not_found": DatabaseNotFound,
    "insufficient_scope": InsufficientScope,
    "invalid_token": TokenRevoked,
    "not_connected": NotConnected,
    "not_the_creator": NotTheCreator,
    "outcome_unknown": OutcomeUnknown,
    "pairing_denied": PairingDenied,
    "pairing_expired": PairingExpired,
    "pairing_pending": PairingPending,
    "rate_limited": RateLimited,
    "reconnect_required": ReconnectRequired,
    "request_in_progress": RequestInProgress,
    "too_many_pairings": TooManyPairings,
}


def of_problem(problem: Problem) -> ApiProblem:
    """Return the daemon's refusal as an error, of the class that its code has."""
    return _CLASS_OF.get(problem.code, ApiProblem)(problem)


def _in_seconds(seconds: float | None) -> str:
    return " later" if seconds is None else f" in {seconds:.0f} seconds"
