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

from upstash_helper.broker.identity import Caller
from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import FailureReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.ports import AuthorizationServer, Clock
    from upstash_helper.protocol.messages import Message

LIFETIME: Final = 600.0
"""Seconds within which the user must sign in, or sign up and confirm the email address."""
HINT_SECONDS: Final = 90.0
"""Time after which a pending attempt has a hint about possible problems. Most sign-ins take less."""
CONFIRMATION_SECONDS: Final = 300.0
"""Time within which the user must decide whether an app's sign-in replaces the connected account."""

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
    expires_at: float


class ConfirmationRequired(msgspec.Struct, frozen=True, kw_only=True):
    """
    An app's sign-in led to another account than the connected one. Nothing is stored unless the user confirms it.
    """

    id: str
    expires_at: float
    asked: float
    """Monotonic time from which the user could decide."""
    starter: Caller
    """The app that started the sign-in."""
    email: str | None
    """Email address of the new account, if the tokens name one."""
    replaces: str | None
    """Email address of the connected account, if it is known."""

    @property
    def deadline(self) -> float:
        """Monotonic time at which it is too late to decide."""
        return self.asked + CONFIRMATION_SECONDS


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The API key is stored. If ``email`` is None, the user must still enter the account's email address."""

    id: str
    expires_at: float
    email: str | None


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


Attempt = Pending | Exchanging | ConfirmationRequired | Succeeded | Failed | Expired
Alive = Pending | Exchanging | ConfirmationRequired
"""An attempt that can still succeed."""


class Attempts:
    """The attempts of this run of the daemon. At most one of them is alive."""

    def __init__(self, *, clock: Clock, tls_hellos: Callable[[], int], has_access: Callable[[Caller], bool]) -> None:
        """
        Args:
            clock: The clock.
            tls_hellos: Returns how many connections to the callback address have started a TLS handshake so far.
            has_access: Returns whether a caller still has access. An app that has lost it can finish no attempt.
        """
        self._clock = clock
        self._tls_hellos = tls_hellos
        self._has_access = has_access
        self._by_id: dict[str, Attempt] = {}
        self._id_by_state: dict[str, str] = {}
        self._page_by_id: dict[str, str] = {}
        self._id_by_page: dict[str, str] = {}
        self._askers: dict[str, tuple[Caller, ...]] = {}
        self._latest: str | None = None

    def begin(self, server: AuthorizationServer, caller: Caller, *, taken_over: Pending | None = None) -> Pending:
        """
        Start an attempt with a new ``state`` of 256 bits and a code verifier of 43 characters (RFC 7636, 4.1).

        Args:
            server: The authorization server.
            caller: Who starts it.
            taken_over: An attempt of another caller that this one continues under the same ID. Its address, which
                that caller knows, becomes worthless; callers that wait for the attempt wait for this one.
        """
        known: tuple[Caller, ...] = ()
        if taken_over is not None:
            known = self.requesters(taken_over.id)
            self._forget_secrets(taken_over.id)
        state, verifier = Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(32))
        attempt = Pending(
            id=secrets.token_urlsafe(16) if taken_over is None else taken_over.id,
            authorization_url=server.authorization_url(state=state, code_verifier=verifier),
            expires_at=self._clock.time() + LIFETIME,
            began=self._clock.monotonic(),
            tls_before=self._tls_hellos(),
            state=state,
            code_verifier=verifier,
        )
        self.put(attempt)
        self._id_by_state[state.reveal()] = attempt.id
        page = secrets.token_urlsafe(16)
        self._page_by_id[attempt.id], self._id_by_page[page] = page, attempt.id
        self._askers[attempt.id] = (caller, *(other for other in known if other.id != caller.id))[:_MAX_REQUESTERS]
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

    def is_starter(self, attempt_id: str, caller: Caller) -> bool:
        """
        Return whether ``caller`` started an attempt. All of the user's own tools are the same caller, and so is an
        origin that has got access again, for example after a page without storage was reloaded.
        """
        return any(_principal(caller) == _principal(starter) for starter in self.requesters(attempt_id)[:1])

    def page(self, attempt_id: str) -> str:
        """
        Return the secret of 128 bits in the address of an attempt's result page; empty if there is no such attempt.

        Only a browser that brings the attempt's ``state`` gets it. The attempt's ID is known to more callers.
        """
        return self._page_by_id.get(attempt_id, "")

    def by_page(self, page: str) -> Attempt | None:
        """Return the attempt whose result page has this secret."""
        attempt_id = self._id_by_page.get(page)
        return None if attempt_id is None else self.get(attempt_id)

    def put(self, attempt: Attempt) -> None:
        """Store an attempt, replacing the one with the same ID."""
        self._by_id[attempt.id] = attempt

    def get(self, attempt_id: str) -> Attempt | None:
        """
        Return the attempt as it is now: expired if its time is over, failed if the app that started it has lost its
        access or the user did not decide in time, with a hint if the browser has been away for long.
        """
        attempt = self._by_id.get(attempt_id)
        if not isinstance(attempt, Pending | ConfirmationRequired):
            return attempt
        now = self._clock.monotonic()
        if not all(map(self._has_access, self.requesters(attempt_id)[:1])):
            return self.fail(attempt, "cancelled", "The app that started this sign-in no longer has access.")
        if isinstance(attempt, ConfirmationRequired):
            return attempt if now < attempt.deadline else self.fail(attempt, "confirmation_timeout")
        if now >= attempt.deadline:
            expired = Expired(id=attempt.id, expires_at=attempt.expires_at)
            self.put(expired)
            return expired
        if now >= attempt.hinted:
            hint = no_callback(self._tls_hellos() - attempt.tls_before)
            return msgspec.structs.replace(attempt, hint=hint)
        return attempt

    def end_if_due(self) -> Attempt | None:
        """
        End the newest attempt if its time is over, or its app has lost its access. Return it if it was alive until now.
        """
        before = self._by_id.get(self._latest or "")
        after = self.latest
        return None if isinstance(after, Alive) or after is before else after

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
    def alive(self) -> Alive | None:
        """The attempt that can still succeed, if there is one."""
        latest = self.latest
        return latest if isinstance(latest, Alive) else None

    def fail(self, attempt: Alive, reason: FailureReason, detail: str = "") -> Failed:
        """End an attempt that is alive. ``detail`` is what happened, where more is known than the reason."""
        failed = Failed(id=attempt.id, expires_at=attempt.expires_at, reason=reason, detail=detail)
        self.put(failed)
        return failed

    def _forget(self, attempt_id: str) -> None:
        del self._by_id[attempt_id]
        self._askers.pop(attempt_id, None)
        self._forget_secrets(attempt_id)

    def _forget_secrets(self, attempt_id: str) -> None:
        self._id_by_page.pop(self._page_by_id.pop(attempt_id, ""), None)
        for state in [state for state, known in self._id_by_state.items() if known == attempt_id]:
            del self._id_by_state[state]


def _principal(caller: Caller) -> str:
    return caller.creator_key or caller.id


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


def question(waiting: ConfirmationRequired) -> Message:
    """Return the question that the user must decide."""
    from upstash_helper.protocol.messages import REPLACEMENT, UNKNOWN_CONNECTED, UNKNOWN_NEW

    return REPLACEMENT.format(
        app=waiting.starter.shown,
        email=waiting.email or UNKNOWN_NEW,
        replaces=waiting.replaces or UNKNOWN_CONNECTED,
    )


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
