"""Idle check: whether the daemon may exit while no client is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.oauth_flow import OAuthFlow
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.one_time_links import OneTimeLinks
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.pending_writes import PendingWrites


class IdleCheck:
    """Looks for state that exists only in this process and would be lost with it."""

    def __init__(
        self,
        *,
        flow: OAuthFlow,
        queue: PairingQueue,
        sessions: DashboardSessions,
        links: OneTimeLinks,
        credentials: CredentialCache,
        background: Background,
        pending: PendingWrites,
    ) -> None:
        self._flow = flow
        self._queue = queue
        self._sessions = sessions
        self._links = links
        self._credentials = credentials
        self._background = background
        self._pending = pending

    def blocker(self) -> str | None:  # noqa: PLR0911 - one line for each reason
        """Return the reason why the daemon must keep running, for the log; None if there is none."""
        if self._flow.alive is not None:
            return "a sign-in is pending"
        if self._queue.has_open:
            return "an app is waiting for the user or has yet to fetch its token"
        if self._sessions.has_tickets:
            return "a browser is opening the dashboard"
        if self._links.pending:
            return "a browser is opening a link"
        if self._background:
            return "background work is in progress"
        if self._pending:
            return "changes have yet to be written"
        if self._credentials.ends_with_process:
            return "the account's credential is only in memory"
        return None
