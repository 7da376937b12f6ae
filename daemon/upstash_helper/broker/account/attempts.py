"""
One run of the OAuth flow, as a value: an attempt is exactly one of these.

It is found by its ``state``, used once, and expires. What comes back for an attempt that is no longer pending changes
nothing.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import ConnectionMethod, ConnectionState, FailureReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import AuthorizationServer, Clock

PATIENCE: Final = 90.0
"""
Seconds after which an attempt says what may be in the way. Signing in takes less than that as a rule, and whoever is
told too early goes on signing in.
"""

PASTE: Final = "copy the whole address from the browser's address bar and run: upstash-helper connect --paste"

NO_CALLBACK: Final = (
    "The browser has not come back yet. If you are still signing in, go on. If it shows an error or another program's "
    "page at localhost instead, something on this computer is in the way (a service worker or an extension of another "
    f"local app, or HSTS, which forces https): {PASTE}"
)


def no_callback(tls_hellos: int) -> str:
    """
    Return what to say of an attempt whose browser has not come back in ``PATIENCE`` seconds.

    Args:
        tls_hellos: How many connections have asked for TLS since it began.
    """
    if tls_hellos:
        return f"{https_forced(tls_hellos)} To finish this sign-in: {PASTE}"
    return NO_CALLBACK


def https_forced(tls_hellos: int) -> str:
    """
    Return what to say of connections to the port that asked for TLS.

    Args:
        tls_hellos: How many; at least one.
    """
    times = "once" if tls_hellos == 1 else f"{tls_hellos} times"
    return (
        f"Something asked for https on the helper's port {times}, and only http:// is spoken there. Most likely a "
        "browser forces https on localhost because another local program once told it to (HSTS). To clear that: in "
        "Chrome and Edge, delete localhost at chrome://net-internals/#hsts; in Firefox, choose Forget About This Site "
        "for localhost in the history."
    )


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the connection is now."""

    state: ConnectionState
    detail: str | None = None
    """What is wrong, where more is known than the state."""
    can_sign_in: bool = True
    """False if no OAuth client ID is configured."""
    email: str | None = None
    method: ConnectionMethod | None = None
    since: float | None = None
    key_name: str | None = None
    attempt: Attempt | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a connect that has something to do."""

    attempt: Pending | Exchanging
    joined: bool
    browser_opened: bool


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """What the authorization server sent the browser back with (RFC 6749, section 4.1.2; RFC 9207)."""

    state: str | None
    code: Secret | None
    error: str | None = None
    issuer: str | None = None


LIFETIME: Final = 600.0
"""Seconds that a user has for signing in or up, mail confirmation included."""

_REMEMBERED: Final = 32
_MOST_ASKERS: Final = 8


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The user is signing in."""

    id: str
    authorization_url: str
    expires_at: float
    began: float
    """By the clock that never goes back, as all that is decided by time."""
    tls_before: int
    """How many connections had asked for TLS by then."""
    state: Secret
    code_verifier: Secret
    hint: str | None = None
    """What may be in the way, once the browser has been gone for long."""

    @property
    def hinted(self) -> float:
        """When it says what may be in the way."""
        return self.began + PATIENCE

    @property
    def deadline(self) -> float:
        """When it expires."""
        return self.began + LIFETIME


class Exchanging(msgspec.Struct, frozen=True, kw_only=True):
    """The code has come and is being turned into a stored API key."""

    id: str
    authorization_url: str
    expires_at: float


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The API key is stored. ``needs_email`` tells that the account's e-mail must still be asked for."""

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
    """The user did not come back in time."""

    id: str
    expires_at: float


Attempt = Pending | Exchanging | Succeeded | Failed | Expired


class Attempts:
    """The attempts of this run of the daemon; at most one of them is alive."""

    def __init__(self, *, clock: Clock, tls_hellos: Callable[[], int]) -> None:
        """
        Args:
            clock: Tells the time.
            tls_hellos: Returns how many connections have asked for TLS at the callback address, ever.
        """
        self._clock = clock
        self._tls_hellos = tls_hellos
        self._by_id: dict[str, Attempt] = {}
        self._id_by_state: dict[str, str] = {}
        self._askers: dict[str, tuple[Caller, ...]] = {}
        self._latest: str | None = None

    def begin(self, server: AuthorizationServer) -> Pending:
        """Make a new attempt with fresh secrets: 256 bits of ``state``, 43 characters of verifier (RFC 7636, 4.1)."""
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

    def asked(self, attempt_id: str, caller: Caller) -> None:
        """Remember that ``caller`` wants this attempt: whoever began it is first, then come those who joined."""
        known = self.requesters(attempt_id)
        # By id, for the rest of it changes: the dashboard's session, a new name.
        if attempt_id in self._by_id and caller.id not in {other.id for other in known}:
            self._askers[attempt_id] = (*known, caller)[:_MOST_ASKERS]

    def requesters(self, attempt_id: str) -> tuple[Caller, ...]:
        """Return who wanted an attempt."""
        return self._askers.get(attempt_id, ())

    def put(self, attempt: Attempt) -> None:
        """Replace the attempt of the same id."""
        self._by_id[attempt.id] = attempt

    def get(self, attempt_id: str) -> Attempt | None:
        """Return the attempt: expired if its time is over, with a hint if the browser has been gone for long."""
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

        A dictionary's look-up is by hash first, so what its time tells of 256 random bits is nothing.
        """
        attempt_id = self._id_by_state.get(state)
        return None if attempt_id is None else self.get(attempt_id)

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt, alive or not."""
        return None if self._latest is None else self.get(self._latest)

    @property
    def alive(self) -> Pending | Exchanging | None:
        """The attempt that can still succeed."""
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
