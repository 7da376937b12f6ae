"""The authorization server, which is created at the first request of an OAuth client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.authorization.clients import Registration
from upstash_helper.broker.authorization.codes import Codes
from upstash_helper.broker.authorization.requests import AuthorizationRequests
from upstash_helper.broker.authorization.store import AuthorizationStore
from upstash_helper.broker.authorization.tokens import TokenService

if TYPE_CHECKING:
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.authorization_records import AuthorizationRecords
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock


class McpAuthorization:
    """Clients register, request authorization, and get tokens for the MCP endpoint."""

    def __init__(
        self,
        *,
        records: AuthorizationRecords,
        pairings: Pairings,
        apps: AppRegistry,
        audit: Audit,
        events: EventBus,
        pending: PendingWrites,
        background: Background,
        port: int,
        clock: Clock,
    ) -> None:
        """
        Args:
            records: The ledger's tables.
            pairings: The requests for access.
            apps: The apps with access.
            audit: The audit log.
            events: Publishes the decisions of the user.
            pending: Writes that follow what they record.
            background: Completes what was started, even if a client disconnects.
            port: The daemon's own port.
            clock: The clock.
        """
        store, codes = AuthorizationStore(records=records, apps=apps, pending=pending, clock=clock), Codes(clock=clock)
        self.registration: Final = Registration(store=store, clock=clock)
        self.requests: Final = AuthorizationRequests(
            store=store, pairings=pairings, codes=codes, events=events, port=port, clock=clock
        )
        self.tokens: Final = TokenService(
            store=store, codes=codes, pairings=pairings, apps=apps, audit=audit, background=background, clock=clock
        )
