"""
One-time links: addresses for a browser's command line that continue to a secret address.

A program that opens the browser passes an address as an argument, which on Linux every user of the machine can read. A
link is useless to them: it works once, for half a minute, and only for a connection of this user.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.broker.apps.registry import token_digest
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.ports import Browser, Clock

LINK_SECONDS: Final = 30.0
"""Lifetime of a link: enough for a browser to start."""
PATH: Final = "/links/"
_MAX: Final = 16


class Destination(NamedTuple):
    """Where a link continues to."""

    address: Secret
    fallback: Secret | None
    """The address for a browser that gets no response from the first one; None: the first one is not tried."""


class OneTimeLinks:
    """The links of this run of the daemon. Only the SHA-256 of what makes one secret is kept."""

    def __init__(self, *, clock: Clock) -> None:
        """
        Args:
            clock: The clock.
        """
        self._clock = clock
        self._links: dict[bytes, tuple[float, Destination]] = {}
        self.origin: Callable[[], Awaitable[str | None]] = _nowhere
        """
        Returns the origin of the links: one where no other program can have left a service worker, which would see the
        destination. None if links cannot be used here.
        """

    async def create(self, address: str, *, fallback: str | None = None) -> str | None:
        """
        Return a link to ``address``, or None if this system cannot tell who opens it. If there are too many links, the
        oldest is dropped.

        Args:
            address: The address.
            fallback: The address for a browser that gets no response from the first one. None: it is not tried.
        """
        self._prune()
        while len(self._links) >= _MAX:
            del self._links[next(iter(self._links))]
        key = secrets.token_urlsafe(32)
        digest = token_digest(key.encode())
        # Before the origin, which is closed when it is not in use.
        deadline = self._clock.monotonic() + LINK_SECONDS
        self._links[digest] = (deadline, Destination(Secret(address), None if fallback is None else Secret(fallback)))
        origin = await self.origin()
        if origin is None:
            self._links.pop(digest, None)  # unless others have displaced it
            return None
        return f"{origin}{PATH}{key}"

    def take(self, key: Secret) -> Destination | None:
        """Return where a link continues to, once. None if it was used before, has expired, or is unknown."""
        self._prune()
        found = self._links.pop(token_digest(key.reveal().encode()), None)
        return None if found is None else found[1]

    @property
    def pending(self) -> bool:
        """Whether a browser may be opening a link."""
        self._prune()
        return bool(self._links)

    def _prune(self) -> None:
        now = self._clock.monotonic()
        self._links = {digest: link for digest, link in self._links.items() if now < link[0]}


async def _nowhere() -> str | None:
    return None


class LinkedBrowser:
    """A browser that gets a link in place of the address, which contains a secret."""

    def __init__(self, browser: Browser, links: OneTimeLinks) -> None:
        """
        Args:
            browser: The user's browser.
            links: The links.
        """
        self._browser = browser
        self._links = links

    async def open(self, url: str, *, link: str | None = None) -> bool:
        """Open ``url`` through a link."""
        return await self._browser.open(url, link=link or await self._links.create(url))
