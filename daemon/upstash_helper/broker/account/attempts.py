"""
Attempts: runs of the OAuth flow, each a value of exactly one of a few types.

An attempt is found by its ``state``, is used once, and expires. A redirect for an attempt that is no longer pending
changes nothing. An attempt whose browser does not return gets a hint about the likely cause.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import FailureReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import AuthorizationServer, Clock
    from upstash_helper.protocol.messages import Message

LIFETIME: Final = 600.0
"""Seconds within which the user must sign in, or sign up and confirm the email address."""
HINT_SECONDS: Final = 90.0
"""Time after which a pending attempt has a hint about possible problems. Most sign-ins take less."""

_REMEMBERED: Final = 32
_MAX_REQUESTERS: Final = 8


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of the authorization response (RFC 6749, section 4.1.2; RFC 9207)."""

    state: str | None
    code: Secret | None
    error: str | None = None
    issuer: str | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The user is signing in."""

    id: str
    authorization_url: str
    expires_at: float
    began: float
    """Monotonic time of the start."""
    tls_before: int
    """Number of connections that had started a TLS handshake before the attempt began."""
    state: Secret
    code_verifier: Secret
    hint: str | None = None
    """Hint about possible problems, once the browser has been away for a long time."""

    @property
    def hinted(self) -> float:
        """Monotonic time from which it has a hint."""
        return self.began + HINT_SECONDS

    @property
    def deadline(self) -> float:
        """Monotonic time at which it expires."""
        return self.began + LIFETIME


class Exchanging(msgspec.Struct, frozen=True, kw_only=True):
    """The code has arrived and is being exchanged for a stored API key."""

    id: str
    authorization_url: str
    expires_at: float


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The API key is stored. If ``needs_email``, the user must still enter the account's email address."""

    id: str
    expires_at: float
    needs_email: bool = False


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was stored. An account that was connected before still is."""

    id: str
    expires_at: float
    reason: FailureReason
    detail: str = ""
    """What happened, where more is known than the reason."""


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """The browser did not return in time."""

    id: str
    expires_at: float


Attempt = Pending | Exchanging | Succeeded | Failed | Expired


class Attempts:
    """The attempts of this run of the daemon. At most one of them is alive."""

    def __init__(self, *, clock: Clock, tls_hellos: Callable[[], int]) -> None:
        """
        Args:
            clock: The clock.
            tls_hellos: Returns how many connections to the callback address have started a TLS handshake so far.
        """
        self._clock = clock
        self._tls_hellos = tls_hellos
        self._by_id: dict[str, Attempt] = {}
        self._id_by_state: dict[str, str] = {}
        self._askers: dict[str, tuple[Caller, ...]] = {}
        self._latest: str | None = None

    def begin(self, server: AuthorizationServer) -> Pending:
        """Start an attempt with a new ``state`` of 256 bits and a code verifier of 43 characters (RFC 7636, 4.1)."""
        state, verifier = Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(32))
        attempt = Pending(
            id=secrets.token_urlsafe(16),
            authorization_url=server.authorization_url(state=state, code_verifier=verifier),
            expires_at=self._clock.time() + LIFETIME,
            began=self._clock.monotonic(),
            tls_before=self._tls_hellos(),
            state=state,
            code_verifier=verifier,
        )
        self.put(attempt)
        self._id_by_state[state.reveal()] = attempt.id
        self._latest = attempt.id
        while len(self._by_id) > _REMEMBERED:
            self._forget(next(iter(self._by_id)))
        return attempt

    def add_requester(self, attempt_id: str, caller: Caller) -> None:
        """Add ``caller`` to the requesters of an attempt, after those that are known."""
        known = self.requesters(attempt_id)
        # Compared by ID, because the rest can change, such as the name.
        if attempt_id in self._by_id and caller.id not in {other.id for other in known}:
            self._askers[attempt_id] = (*known, caller)[:_MAX_REQUESTERS]

    def requesters(self, attempt_id: str) -> tuple[Caller, ...]:
        """Return who requested an attempt, the caller that started it first."""
        return self._askers.get(attempt_id, ())

    def put(self, attempt: Attempt) -> None:
        """Store an attempt, replacing the one with the same ID."""
        self._by_id[attempt.id] = attempt

    def get(self, attempt_id: str) -> Attempt | None:
        """Return the attempt: expired if its time is over, with a hint if the browser has been away for long."""
        attempt = self._by_id.get(attempt_id)
        if not isinstance(attempt, Pending):
            return attempt
        now = self._clock.monotonic()
        if now >= attempt.deadline:
            expired = Expired(id=attempt.id, expires_at=attempt.expires_at)
            self.put(expired)
            return expired
        if now >= attempt.hinted:
            hint = no_callback(self._tls_hellos() - attempt.tls_before)
            return msgspec.structs.replace(attempt, hint=hint)
        return attempt

    def by_state(self, state: str) -> Attempt | None:
        """
        Return the attempt whose authorization request had this ``state``.

        The time of the lookup reveals nothing useful: a dictionary compares hashes first, and a state is 256 random
        bits.
        """
        attempt_id = self._id_by_state.get(state)
        return None if attempt_id is None else self.get(attempt_id)

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt, in any state."""
        return None if self._latest is None else self.get(self._latest)

    @property
    def alive(self) -> Pending | Exchanging | None:
        """The attempt that can still succeed, if there is one."""
        latest = self.latest
        return latest if isinstance(latest, Pending | Exchanging) else None

    def _forget(self, attempt_id: str) -> None:
        del self._by_id[attempt_id]
        self._askers.pop(attempt_id, None)
        for state in [state for state, known in self._id_by_state.items() if known == attempt_id]:
            del self._id_by_state[state]


_REASONS: Final[dict[str, FailureReason]] = {
    "access_denied": "access_denied",
    "login_required": "login_required",
    "interaction_required": "login_required",
    "account_selection_required": "login_required",
    "consent_required": "consent_required",
    "unauthorized": "unauthorized",
    "unauthorized_client": "invalid_client",
    "invalid_client": "invalid_client",
    "temporarily_unavailable": "server_error",
    "server_error": "server_error",
}


def refusal(error: str) -> tuple[FailureReason, str]:
    """
    Return the reason, and a specific detail if there is one, for the ``error`` of a redirect.

    See RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6; and Auth0's ``unauthorized``. The redirect's
    ``error_description`` is not shown, because anyone can send the browser here with one.
    """
    if error in _REASONS:
        return _REASONS[error], ""
    code = f" ({error})" if re.fullmatch(r"[a-z_]{1,40}", error) else ""
    return "invalid_request", f"Upstash refused the authorization request{code}."


# --- hints ------------------------------------------------------------------------------------------------------------


def no_callback(tls_hellos: int) -> str:
    """
    Return the hint for an attempt whose browser has not returned after ``HINT_SECONDS``.

    Args:
        tls_hellos: Number of connections that started a TLS handshake since the attempt began.
    """
    from upstash_helper.protocol.messages import HINTS

    return (_https_forced(tls_hellos) if tls_hellos else HINTS["no_callback"]).text


def https_forced(tls_hellos: int) -> str:
    """
    Return the hint for connections to the helper's port that started a TLS handshake.

    Args:
        tls_hellos: Number of such connections; at least one.
    """
    return _https_forced(tls_hellos).detail


def _https_forced(tls_hellos: int) -> Message:
    from upstash_helper.protocol.messages import HINTS

    return HINTS["https_forced"].format(times="once" if tls_hellos == 1 else f"{tls_hellos} times")
