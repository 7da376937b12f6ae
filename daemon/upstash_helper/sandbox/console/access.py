"""
Access to the sandbox's console: only for the user who started the sandbox, in a browser with a session.

Web pages of other origins, other programs, and other users of the machine can reach the port, too. A browser gets a
session with a link that works once, or with the admin token. Only the user who sees the sandbox's output knows
either. The session is a cookie, since the pages work without JavaScript. Browsers send a cookie to every port of its
host, so the console never shows an existing secret.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from upstash_helper.sandbox.accounts import digest

if TYPE_CHECKING:
    from aiohttp import web

TICKET_SECONDS = 600.0
"""How long a link works: enough to switch to the browser."""
IDLE_SECONDS = 12 * 3600.0
"""A session ends after this time without a request."""
MAX_TICKETS = 16
MAX_SESSIONS = 64


class ConsoleAccess:
    """The tickets and sessions of this run of the sandbox. Only their hashes are kept."""

    def __init__(
        self, *, origin: str, path: str, admin_token: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            origin: Scheme, host, and port of the console, as the browser sees them.
            path: The path that all pages are below.
            admin_token: What the sign-in form accepts.
            clock: Returns seconds.
        """
        parts = urlsplit(origin)
        self._host = parts.netloc
        # All ports of a host share their cookies, and several sandboxes can run.
        self._cookie = f"upstash_sandbox_console_{parts.port}"
        self._path = path
        self._admin_token = admin_token
        self._clock = clock
        self._tickets: dict[bytes, float] = {}
        self._sessions: dict[bytes, float] = {}

    def new_ticket(self) -> str:
        """Return a ticket for one session. If there are too many tickets, the oldest is dropped."""
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(32)
        self._tickets[digest(ticket)] = self._clock() + TICKET_SECONDS
        return ticket

    def redeem(self, ticket: str) -> bool:
        """Use a ticket. Return whether it was valid."""
        return self._clock() < self._tickets.pop(digest(ticket), 0.0)

    def is_admin_token(self, text: str) -> bool:
        """Return whether ``text`` is the admin token."""
        return hmac.compare_digest(text.strip().encode("utf-8", "surrogatepass"), self._admin_token.encode())

    def is_own_host(self, request: web.Request) -> bool:
        """
        Return whether the request names the console's own host.

        A page of another site whose name resolves to this machine (DNS rebinding) has the same origin as its requests,
        but they name its own host.
        """
        return request.headers.get("Host", "") == self._host

    def is_same_origin(self, request: web.Request) -> bool:
        """Return whether the browser sent a form from one of the console's own pages."""
        return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"

    def is_signed_in(self, request: web.Request) -> bool:
        """Return whether the browser has a session, and extend it."""
        key, now = digest(request.cookies.get(self._cookie, "")), self._clock()
        if now >= self._sessions.get(key, 0.0):
            self._sessions.pop(key, None)
            return False
        self._sessions[key] = now + IDLE_SECONDS
        return True

    def start(self, response: web.StreamResponse) -> None:
        """Give the browser a session. If there are too many, the oldest is ended."""
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        secret = secrets.token_urlsafe(32)
        self._sessions[digest(secret)] = self._clock() + IDLE_SECONDS
        response.set_cookie(self._cookie, secret, httponly=True, samesite="Strict", path=self._path)

    def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the browser's session."""
        self._sessions.pop(digest(request.cookies.get(self._cookie, "")), None)
        response.del_cookie(self._cookie, path=self._path)
