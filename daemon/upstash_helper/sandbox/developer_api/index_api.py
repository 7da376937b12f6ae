"""The operations on indexes that Vector and Search have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic

import msgspec

from upstash_helper.sandbox.accounts import Caller, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api import index_wire, wire
from upstash_helper.sandbox.developer_api.authentication import Access, Authentication, Operation
from upstash_helper.sandbox.developer_api.index_stats import PERIODS, GlobalStats, Period, index_stats
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.indexes import Indexes, Record, new_tokens
from upstash_helper.sandbox.responses import json_response, read_json
from upstash_helper.sandbox.teams import Teams

if TYPE_CHECKING:
    from aiohttp import web

OK = "OK"


class IndexApi(ABC, Generic[Record]):
    """The endpoints of a product with indexes."""

    BASE: str
    """The path of the list of indexes."""
    TITLE: str
    """What the audit log calls an index."""

    def __init__(self, *, auth: Authentication, indexes: Indexes[Record], teams: Teams, audit_log: AuditLog) -> None:
        """
        Args:
            auth: Authenticates the callers.
            indexes: The product's indexes of all accounts.
            teams: The teams that indexes can be transferred to.
            audit_log: Logs each change.
        """
        self._auth = auth
        self._indexes = indexes
        self._teams = teams
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            self._auth.route(method, self.BASE + path, operation, access)
            for method, path, operation, access in self.operations()
        ]

    def operations(self) -> list[tuple[str, str, Operation, Access]]:
        """Return the method, the path below ``BASE``, and the access of each operation."""
        return [
            ("GET", "", self.list, "read"),
            ("POST", "", self.create, "write"),
            ("GET", "/stats", self.global_stats, "read"),
            ("GET", "/{id}", self.get, "read"),
            ("DELETE", "/{id}", self.delete, "write"),
            ("GET", "/{id}/stats", self.stats, "read"),
            ("POST", "/{id}/rename", self.rename, "write"),
            ("POST", "/{id}/reset-password", self.reset_password, "write"),
            ("POST", "/{id}/transfer", self.transfer, "write"),
        ]

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the indexes of the account, or of the team that the caller acts for."""
        return json_response([self.as_json(record) for record in self._indexes.list(caller.owner)])

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show one index."""
        return json_response(self.as_json(self._index(request, caller)))

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Create an index."""
        record = await self.new_record(request, caller)
        self._indexes.put(record)
        self._log(request, caller, f"Create {self.TITLE}", record)
        return json_response(self.as_json(record))

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Delete an index."""
        record = self._index(request, caller)
        self._indexes.remove(record)
        self._log(request, caller, f"Delete {self.TITLE}", record)
        return json_response(OK)

    async def rename(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Rename an index."""
        name = (await read_json(request, wire.Rename)).name
        return self._change(request, caller, f"Rename {self.TITLE}", name=name)

    async def reset_password(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace both tokens."""
        tokens = new_tokens(self._index(request, caller).endpoint)
        return self._change(request, caller, f"Reset {self.TITLE} Passwords", **tokens)

    async def transfer(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Transfer an index to a team of the account."""
        team_id = (await read_json(request, index_wire.Transfer)).target_account
        record = self._index(request, caller)  # an index that does not exist is reported first, as for databases
        self._teams.require_resource_manager(caller.account, team_id)
        response = self._change(request, caller, f"Transfer {self.TITLE}", team_id, account_id=team_id)
        team = msgspec.structs.replace(caller, owner=Owner(team_id, caller.account.email))
        self._log(request, team, f"Transfer {self.TITLE}", record, team_id)
        return response

    async def global_stats(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """Return the statistics of all indexes."""
        return json_response(GlobalStats())

    async def stats(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Return the statistics of one index."""
        period = _period_of(request)
        self._index(request, caller)
        return json_response(index_stats(period))

    # --- what the products have of their own ---

    @abstractmethod
    async def new_record(self, request: web.Request, caller: Caller) -> Record:
        """
        Return the index that a request describes.

        Raises:
            RequestError: If its body is invalid.
        """

    @abstractmethod
    def as_json(self, record: Record) -> index_wire.Index:
        """Return an index in Upstash's format."""

    # --- shared steps ---

    def _index(self, request: web.Request, caller: Caller) -> Record:
        return self._indexes.get(caller.owner, request.match_info["id"])

    def _change(
        self, request: web.Request, caller: Caller, action: str, other: str = "NA", /, **changes: Any
    ) -> web.StreamResponse:
        record = msgspec.structs.replace(self._index(request, caller), **changes)
        self._indexes.put(record)
        self._log(request, caller, action, record, other)
        return json_response(OK)

    def _log(self, request: web.Request, caller: Caller, action: str, record: Record, other: str = "NA") -> None:
        self._audit_log.add(
            caller.owner, action, source=caller.source, entity=record.name, other=other, ip=request.remote
        )


def _period_of(request: web.Request) -> Period:
    """
    Return the period that statistics are requested for.

    Raises:
        RequestError: If there is no such period.
    """
    value = request.query.get("period", "1h")
    for period in PERIODS:
        if period == value:
            return period
    raise RequestError(400, f"invalid query: period: Must be one of {', '.join(PERIODS)}.")
