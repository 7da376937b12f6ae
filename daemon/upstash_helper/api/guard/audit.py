"""
The audit of requests.

A change is recorded before it is made, and its result afterwards. The disclosure of secrets is recorded before the
response is sent. What takes rights away is done first, and recorded as soon as possible (``Order``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from upstash_helper.api.server import render
from upstash_helper.api.server.body import BodyError
from upstash_helper.api.server.problems import BodyInvalid
from upstash_helper.api.server.routes import CALLER, TARGET, Order
from upstash_helper.broker.audit import OK
from upstash_helper.broker.errors import (
    AppNotFound,
    AttemptNotFound,
    BlockNotFound,
    ConfirmationNotFound,
    DatabaseNotFound,
    HelperError,
    OutcomeUnknown,
    PairingNotFound,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from upstash_helper.api.server.routes import Policy
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.pending_writes import PendingWrites

logger = logging.getLogger(__name__)


_NOT_FOUND: Final = (
    AppNotFound,
    AttemptNotFound,
    BlockNotFound,
    ConfirmationNotFound,
    DatabaseNotFound,
    PairingNotFound,
)


class RequestAudit:
    """Runs handlers, and makes the audit entries that their policies require."""

    def __init__(self, *, audit: Audit, pending: PendingWrites, background: Background) -> None:
        self._audit = audit
        self._pending = pending
        self._background = background

    async def __call__(self, request: web.Request, handler: Handler, policy: Policy) -> web.StreamResponse:
        """
        Run ``handler``.

        Raises:
            LedgerUnavailable: If the entry could not be made. Then nothing is changed or disclosed.
            LedgerFull: Like LedgerUnavailable.
            HelperError: If the handler raises it.
        """
        caller = request[CALLER]
        if policy.order is Order.ACT_FIRST:
            return await self._background.finish(self._act_first(request, handler, caller, policy.audit))
        if policy.audit is None or caller is None or policy.order is Order.BY_HANDLER:
            return await handler(request)
        if request.method not in ("GET", "HEAD"):
            # Runs to its end even if the client disconnects, so that no change is left half-made.
            return await self._background.finish(self._change(request, handler, caller, policy.audit))
        if policy.body == "any":
            await self._audit.note(caller, policy.audit, _target(request))
            return await handler(request)
        return await self._read(request, handler, caller, policy.audit)

    async def _act_first(
        self, request: web.Request, handler: Handler, caller: Caller | None, action: str | None
    ) -> web.StreamResponse:
        outcome = _Outcome()
        try:
            response = await outcome.of(handler, request)
        finally:
            if caller is not None and action is not None:
                self._audit.note_later(caller, action, outcome.target, outcome.result)
        if await self._pending.written() or not isinstance(response, web.Response):
            return response
        return _not_recorded(response, self._pending.notice)

    async def _change(self, request: web.Request, handler: Handler, caller: Caller, action: str) -> web.StreamResponse:
        entry = await self._audit.begin(caller, action, _target(request))
        outcome = _Outcome()
        try:
            return await outcome.of(handler, request)
        finally:
            await self._settle(entry, outcome, merge=not caller.is_owner)

    async def _settle(self, entry: int, outcome: _Outcome, *, merge: bool) -> None:
        try:
            await self._audit.settle(
                entry, target=outcome.target, result=outcome.result, refused=merge and outcome.is_refused
            )
        except HelperError as error:
            # The change has been made, and the entry shows that it was started.
            fields = {"entry": entry, "result": outcome.result, "error": error.code}
            logger.warning("audit_unsettled", extra=fields)

    async def _read(self, request: web.Request, handler: Handler, caller: Caller, action: str) -> web.StreamResponse:
        outcome = _Outcome()
        try:
            response = await outcome.of(handler, request)
        except HelperError:
            await self._audit.note(caller, action, outcome.target, outcome.result)
            raise
        await self._audit.note(caller, action, _target(request))
        return response


class _Outcome:
    """What became of a request, for the audit."""

    def __init__(self) -> None:
        self.result = "internal_error"
        self.target = ""
        self.is_refused = False
        """Whether it certainly changed nothing."""

    async def of(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        """Run ``handler`` and return its response. Raises what it raises."""
        is_made_up = False
        try:
            response = await handler(request)
            self.result = OK if response.status < 400 else f"status_{response.status}"
            self.is_refused = 400 <= response.status < 500
        except HelperError as error:
            self.result, self.is_refused = error.code, not isinstance(error, OutcomeUnknown)
            # The caller has made up an ID that does not exist. It may make up thousands.
            is_made_up = isinstance(error, _NOT_FOUND)
            raise
        except BodyInvalid as error:
            self.result, self.is_refused = error.code, True
            raise
        except BodyError:
            self.result = "body_not_read"
            raise
        except web.HTTPException as error:
            self.result, self.is_refused = f"status_{error.status}", True
            raise
        finally:
            self.target = "" if is_made_up else _target(request)
        return response


def _not_recorded(response: web.Response, notice: str) -> web.Response:
    """Return the response with the fields of ``wire.Recorded``."""
    fields: dict[str, object] = {} if response.status == 204 else msgspec.json.decode(response.text or "{}")
    changed = render.json(fields | {"recorded": False, "notice": notice}, status=200 if not fields else response.status)
    if "Location" in response.headers:
        changed.headers["Location"] = response.headers["Location"]
    return changed


def _target(request: web.Request) -> str:
    return request.get(TARGET) or "/".join(request.match_info.values())
