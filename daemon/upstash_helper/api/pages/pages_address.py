"""Where the owner's pages can be opened now: at their name, or at the numeric address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.one_time_links import OneTimeLinks
    from upstash_helper.broker.ports import NumericAddress
    from upstash_helper.protocol.wire import Listener


class PagesAddress:
    """The addresses of the owner's pages."""

    def __init__(
        self,
        *,
        origin: Callable[[], str],
        numeric: NumericAddress,
        listeners: Callable[[], tuple[Listener, ...]],
        sessions: DashboardSessions,
        links: OneTimeLinks,
        can_link: Callable[[], bool],
        reaches_numbers: bool,
    ) -> None:
        """
        Args:
            origin: Returns the origin with the name.
            numeric: The numeric address.
            listeners: Returns the states of the daemon's loopback addresses.
            sessions: The sessions of the pages, which keep the numeric address open.
            links: The one-time links, which keep it open as well.
            can_link: Returns whether a one-time link is safe on this system.
            reaches_numbers: Whether the user's browser reaches loopback addresses other than 127.0.0.1.
        """
        self.origin = origin
        self._numeric = numeric
        self._listeners = listeners
        self._sessions = sessions
        self._links = links
        self._can_link = can_link
        self._reaches_numbers = reaches_numbers

    @property
    def is_taken(self) -> bool:
        """
        Whether another program has the port of ::1. The name resolves to that as well, and browsers prefer it: the
        program would get what is sent there.
        """
        return any(one.state == "taken" and one.use != "sign_in" for one in self._listeners())

    async def numeric_host(self) -> str | None:
        """Open the numeric address. Return its Host, or None if it cannot be opened."""
        return await self._numeric.open(self._in_use)

    async def of_links(self) -> str | None:
        """Return the origin for one-time links, which every browser can open; None if they cannot be used here."""
        if not self._can_link():
            return None
        if self._reaches_numbers and (host := await self.numeric_host()) is not None:
            return f"http://{host}"
        return None if self.is_taken else self.origin()

    def _in_use(self, host: str) -> bool:
        """Return whether a page has a session at this host, or may get one."""
        return self._links.pending or self._sessions.has_tickets or self._sessions.is_open_at(f"http://{host}")
