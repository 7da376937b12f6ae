"""
Sessions of the dashboard, which acts for the owner.

A page cannot read the owner token, and cookies are not used because all ports of localhost share them. So a tool that
has the owner token requests a ticket and opens the browser with the ticket in the URL fragment, which browsers do not
send. The page exchanges the ticket for a session token and keeps it while its tab is open.
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
    from collections.abc import Callable

    from upstash_helper.broker.ports import Clock

TICKET_SECONDS: Final = 60.0
"""Lifetime of a ticket: enough for a browser to start."""
IDLE_SECONDS: Final = 12 * 3600.0
"""A session ends after this time without a request. A page with an open event stream sends one now and then."""

_MAX: Final = 16


class Session(msgspec.Struct, kw_only=True):
    """One page's session."""

    caller: Caller
    deadline: float


class DashboardSessions:
    """The tickets and sessions of this run of the daemon. Only their SHA-256 is kept."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[bytes, float] = {}
        self._sessions: dict[bytes, Session] = {}
        self.on_end: Callable[[str], None] = lambda _: None
        """Called with the ``Caller.session`` of a session that is over."""

    def ticket(self) -> Secret:
        """Return a ticket for one session. If there are too many tickets, the oldest is dropped."""
        self._prune()
        while len(self._tickets) >= _MAX:
            del self._tickets[next(iter(self._tickets))]
        ticket = Secret(f"uht_{secrets.token_urlsafe(32)}")
        self._tickets[token_digest(ticket.reveal().encode())] = self._clock.monotonic() + TICKET_SECONDS
        return ticket

    @property
    def has_tickets(self) -> bool:
        """Whether a browser may be opening the dashboard with a ticket."""
        self._prune()
        return bool(self._tickets)

    def is_open_at(self, page: str) -> bool:
        """Return whether a page of the origin ``page`` has a session."""
        self._prune()
        return any(session.caller.page == page for session in self._sessions.values())

    def begin(self, ticket: Secret, *, page: str) -> Secret:
        """
        Exchange a ticket for the token of a session that is valid only in pages of the origin ``page``. If there are
        too many sessions, the oldest ends.

        Raises:
            TicketNotValid: If the ticket was used before, has expired, or is unknown.
        """
        self._prune()
        if self._tickets.pop(token_digest(ticket.reveal().encode()), None) is None:
            raise TicketNotValid
        while len(self._sessions) >= _MAX:
            self._end(next(iter(self._sessions)))
        token = Secret(f"uhs_{secrets.token_urlsafe(32)}")
        caller = Caller(kind="owner", id="owner", name="dashboard", page=page, session=secrets.token_hex(8))
        digest, deadline = token_digest(token.reveal().encode()), self._clock.monotonic() + IDLE_SECONDS
        self._sessions[digest] = Session(caller=caller, deadline=deadline)
        self._clock.call_at(deadline, lambda: self._end_if_idle(digest))
        return token

    def find(self, token: bytes) -> Caller | None:
        """Return the caller with this session token, and extend the session; None if there is no such session."""
        session = self._sessions.get(token_digest(token))
        now = self._clock.monotonic()
        if session is None or now >= session.deadline:
            return None
        session.deadline = now + IDLE_SECONDS
        return session.caller

    def end(self, token: bytes) -> None:
        """End a session, if it exists."""
        self._end(token_digest(token))

    def _end(self, digest: bytes) -> None:
        session = self._sessions.pop(digest, None)
        if session is not None and session.caller.session is not None:
            self.on_end(session.caller.session)

    def _end_if_idle(self, digest: bytes) -> None:
        session = self._sessions.get(digest)
        if session is None:
            return
        if self._clock.monotonic() >= session.deadline:
            self._end(digest)
        else:
            self._clock.call_at(session.deadline, lambda: self._end_if_idle(digest))

    def _prune(self) -> None:
        now = self._clock.monotonic()
        self._tickets = {digest: deadline for digest, deadline in self._tickets.items() if now < deadline}
        for digest in [digest for digest, session in self._sessions.items() if now >= session.deadline]:
            self._end(digest)
