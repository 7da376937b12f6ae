"""
The errors of a call to the daemon.

Every error that the client raises deliberately is a ``ClientError``, and its ``str()`` is a sentence for a person. An
error answer of the daemon is an ``ApiProblem``, with a subclass for each one that an app may want to handle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Attempt, Problem


class DaemonUnreachable(ClientError):
    """The daemon is not running, or does not answer. ``str()`` contains the command that starts it."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        """
        Args:
            message: What happened and what to do, for a person.
            sent: Whether the daemon may have received the request and carried it out.
        """
        super().__init__(message)
        self.sent = sent


class DaemonNotRunning(DaemonUnreachable):
    """There is no discovery file where this client looks, so no daemon is running or it uses another folder."""


class UnexpectedAnswer(ClientError):
    """The answer does not match the API: the daemon has another version, or another program is at its address."""


class WaitTimedOut(ClientError):
    """The timeout has passed."""


class SignedOut(ClientError):
    """This client has signed out, so it no longer has a token."""


class SignInFailed(ClientError):
    """The sign-in to Upstash failed, was canceled, or took too long. ``str()`` says why and what to do."""

    def __init__(self, attempt: Attempt) -> None:
        """
        Args:
            attempt: The attempt in its final state.
        """
        super().__init__(attempt.detail or "The sign-in to Upstash did not succeed. Try again.")
        self.attempt = attempt
        self.reason: str = attempt.reason or attempt.state
        """A stable code, for programs."""


class TokenStoreUnavailable(ClientError):
    """The app's token cannot be stored or read. ``str()`` says why, and how to store it elsewhere."""


class TokenStoreLocked(TokenStoreUnavailable):
    """The keyring is locked, and the user has not unlocked it."""


# --- error answers ----------------------------------------------------------------------------------------------------


class ApiProblem(ClientError):
    """The daemon refused a request or failed to carry it out (RFC 9457)."""

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The error answer.
        """
        super().__init__(problem.detail)
        self.problem = problem
        self.code = problem.code
        """A stable code, for programs."""
        self.status = problem.status
        self.detail = problem.detail
        self.retry_after: float | None = None if problem.retry_after is UNSET else float(problem.retry_after)
        """Seconds after which the same call may succeed, if the daemon knows."""


class PairingRefused(ApiProblem):
    """The app was not given access. The subclasses say why."""


class PairingDenied(PairingRefused):
    """The user denied the request."""


class PairingExpired(PairingRefused):
    """The user did not decide in time, or the app did not fetch its token in time."""


class PairingReplaced(PairingExpired):
    """This program has sent a new request with the same name, which replaced this one."""


class PairingPending(PairingRefused):
    """
    Another request with this name is already pending, and the user sees one at a time. It is from another running
    process of the same program, or the request was repeated too often.

    ``retry_after`` is when that request expires.
    """

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The error answer.
        """
        super().__init__(problem)
        message = (
            "Another request with this name is still pending, perhaps from another process of this program. Approve or"
            f" deny it first (upstash-helper approvals list), or try again{_in_seconds(self.retry_after)}."
        )
        self.args = (message,)


class TooManyPairings(PairingRefused):
    """Too many requests, or the user has just denied one. ``retry_after`` is when the app may try again."""

    def __init__(self, problem: Problem) -> None:
        """
        Args:
            problem: The error answer.
        """
        super().__init__(problem)
        self.args = (f"{problem.detail} Try again{_in_seconds(self.retry_after)}.",)


class AppBlocked(PairingRefused):
    """The user has blocked this app. It should not request access again."""


class TokenRevoked(ApiProblem):
    """The daemon does not accept the token: it was revoked or has expired. Pair again."""


class InsufficientScope(ApiProblem):
    """The call requires a scope that the user has not granted. ``str()`` names it."""


class NotTheCreator(ApiProblem):
    """The app may read only the credentials of databases that it created, and it did not create this one."""


class RateLimited(ApiProblem):
    """The app has sent too many requests. ``retry_after`` is when it may continue."""


class NotConnected(ApiProblem):
    """No Upstash account is connected: call ``connect``."""


class ReconnectRequired(ApiProblem):
    """Upstash no longer accepts the account's credential, or has ended the sign-in: call ``connect``."""


class ReadOnlyAccess(ApiProblem):
    """The user connected the account with read-only access, so nothing was sent. Only the user can change that."""


class DatabaseNotFound(ApiProblem):
    """The account has no such database."""


class RequestInProgress(ApiProblem):
    """A request with the same idempotency key is in progress."""


class OutcomeUnknown(ApiProblem):
    """Upstash's answer was lost. Repeating the call with the same idempotency key finds or creates the database."""


_CLASSES: Final[dict[str, type[ApiProblem]]] = {
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
    "pairing_replaced": PairingReplaced,
    "rate_limited": RateLimited,
    "read_only_access": ReadOnlyAccess,
    "reconnect_required": ReconnectRequired,
    "request_in_progress": RequestInProgress,
    "too_many_pairings": TooManyPairings,
}


def from_problem(problem: Problem) -> ApiProblem:
    """Return an error answer as an exception of the class for its code."""
    return _CLASSES.get(problem.code, ApiProblem)(problem)


def _in_seconds(seconds: float | None) -> str:
    return " later" if seconds is None else f" in {seconds:.0f} seconds"
