"""
The audit of requests.

A change is recorded before it is made, and its result afterwards. The disclosure of secrets is recorded before the
response is sent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

from upstash_helper.api.server.body import BodyError
from upstash_helper.api.server.problems import BodyInvalid
from upstash_helper.api.server.routes import CALLER, TARGET
from upstash_helper.broker.audit import OK
from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from upstash_helper.api.server.routes import Policy
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller

logger = logging.getLogger(__name__)


class RequestAudit:
    """Runs handlers, and makes the audit entries that their policies require."""

    def __init__(self, *, audit: Audit, background: Background) -> None:
        self._audit = audit
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
        if policy.audit is None or caller is None:
            return await handler(request)
        if request.method not in ("GET", "HEAD"):
            # Runs to its end even if the client disconnects, so that no change is left half-made.
            return await self._background.finish(self._change(request, handler, caller, policy.audit))
        if policy.body == "any":
            await self._audit.note(caller, policy.audit, _target(request))
            return await handler(request)
        return await self._read(request, handler, caller, policy.audit)

    async def _change(self, request: web.Request, handler: Handler, caller: Caller, action: str) -> web.StreamResponse:
        entry = await self._audit.begin(caller, action, _target(request))
        result = "internal_error"
        try:
            response = await handler(request)
            result = OK if response.status < 400 else f"status_{response.status}"
        except HelperError as error:
            result = error.code
            raise
        except BodyInvalid as error:
            result = error.code
            raise
        except BodyError:
            result = "body_not_read"
            raise
        except web.HTTPException as error:
            result = f"status_{error.status}"
            raise
        else:
            return response
        finally:
            await self._settle(entry, _target(request), result)

    async def _settle(self, entry: int, target: str, result: str) -> None:
        try:
            await self._audit.settle(entry, target=target, result=result)
        except HelperError as error:
            # The change has been made, and the entry shows that it was started.
            logger.warning("audit_unsettled", extra={"entry": entry, "result": result, "error": error.code})

    async def _read(self, request: web.Request, handler: Handler, caller: Caller, action: str) -> web.StreamResponse:
        try:
            response = await handler(request)
        except HelperError as error:
            await self._audit.note(caller, action, _target(request), error.code)
            raise
        await self._audit.note(caller, action, _target(request))
        return response


def _target(request: web.Request) -> str:
    return request.get(TARGET) or "/".join(request.match_info.values())
