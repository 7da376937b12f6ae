"""
The dashboard's sessions: the owner, in a page of the daemon's own.

A page cannot read the owner token, and no cookie is used (cookies are shared by all ports of localhost). So a tool that
has the token asks for a ticket and opens the browser at an address with it in the fragment, which is sent to nobody;
the page hands it in for a token of its own, which it keeps for as long as its tab is open.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.registry import token_digest
from upstash_helper.broker.errors import TicketNotValid
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

TICKET_SECONDS: Final = 60.0
"""A browser that takes longer to start gets a new one."""
IDLE_SECONDS: Final = 12 * 3600.0
"""A page that has asked for nothing this long is out; one with an open event stream asks now and then."""

_MOST: Final = 16


class Session(msgspec.Struct, kw_only=True):
    """One page's session."""

    caller: Caller
    deadline: float


class DashboardSessions:
    """Tickets and sessions, for this run of the daemon. Both are known by their SHA-256 alone."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[bytes, float] = {}
        self._sessions: dict[bytes, Session] = {}

    def ticket(self) -> Secret:
        """Return a ticket for one session. The oldest one gives way where there are too many."""
        self._prune()
        while len(self._tickets) >= _MOST:
            del self._tickets[next(iter(self._tickets))]
        ticket = Secret(f"uht_{secrets.token_urlsafe(32)}")
        self._tickets[token_digest(ticket.reveal().encode())] = self._clock.monotonic() + TICKET_SECONDS
        return ticket

    @property
    def has_tickets(self) -> bool:
        """Whether a browser may be on its way with a ticket."""
        self._prune()
        return bool(self._tickets)

    def begin(self, ticket: Secret, *, page: str) -> Secret:
        """
        Hand in a ticket and return the token of a session that is good in pages of the origin ``page`` alone.

        Raises:
            TicketNotValid: If it was handed in before, is too old, or was never given.
        """
        self._prune()
        if self._tickets.pop(token_digest(ticket.reveal().encode()), None) is None:
            raise TicketNotValid(
                "This address has been used, or is too old. Open the dashboard anew: upstash-helper open"
            )
        while len(self._sessions) >= _MOST:
            del self._sessions[next(iter(self._sessions))]
        token = Secret(f"uhs_{secrets.token_urlsafe(32)}")
        caller = Caller(kind="owner", id="owner", name="dashboard", page=page)
        deadline = self._clock.monotonic() + IDLE_SECONDS
        self._sessions[token_digest(token.reveal().encode())] = Session(caller=caller, deadline=deadline)
        return token

    def find(self, token: bytes) -> Caller | None:
        """Return whose ``token`` is, and let its session live on; None for one that is unknown or was idle too long."""
        session = self._sessions.get(token_digest(token))
        now = self._clock.monotonic()
        if session is None or now >= session.deadline:
            return None
        session.deadline = now + IDLE_SECONDS
        return session.caller

    def end(self, token: bytes) -> None:
        """End a session; nothing happens if it is none."""
        self._sessions.pop(token_digest(token), None)

    def _prune(self) -> None:
        now = self._clock.monotonic()
        self._tickets = {digest: deadline for digest, deadline in self._tickets.items() if now < deadline}
        self._sessions = {digest: session for digest, session in self._sessions.items() if now < session.deadline}
