"""Whether the daemon may leave while nobody is connected to it: what is under way without a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.oauth_flow import OAuthFlow
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.background import Background


class IdleCheck:
    """Knows what is in this process alone, and would be lost with it."""

    def __init__(
        self,
        *,
        flow: OAuthFlow,
        queue: PairingQueue,
        sessions: DashboardSessions,
        credentials: CredentialCache,
        background: Background,
    ) -> None:
        self._flow = flow
        self._queue = queue
        self._sessions = sessions
        self._credentials = credentials
        self._background = background

    def keeps(self) -> str | None:
        """Return what the daemon has to stay for, or None if there is nothing."""
        if self._flow.alive is not None:
            return "a sign-in is running"
        if self._queue.has_open:
            return "an app waits for the user or has its token to fetch"
        if self._sessions.awaited:
            return "a browser is on its way to the dashboard"
        if self._background:
            return "work goes on in the background"
        if self._credentials.ends_with_process:
            return "the API key is in memory alone"
        return None
