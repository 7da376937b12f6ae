"""The parts of the Developer API that have no model of their own: backups, statistics, Vector, Search, and QStash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import ResourceRequest, ResourcesApi


class Resources:
    """Reads and changes them. A change runs to completion, even if its caller disconnects."""

    def __init__(
        self, *, connection: Connection, api: ResourcesApi, exchanges: Exchanges, background: Background
    ) -> None:
        self._connection = connection
        self._api = api
        self._exchanges = exchanges
        self._background = background

    async def __call__(self, request: ResourceRequest, caller: Caller) -> bytes:
        """
        Send ``request`` of ``caller`` and return Upstash's document, which can contain secrets.

        Raises:
            AccessEnded: If the caller's access has ended, or ends while something is read.
            HelperError: Like ``Connection.call`` and ``ResourcesApi.send``.
        """
        async with self._exchanges.begin(caller):
            if request.method == "GET":
                return await self._send(request)
        return await self._background.finish(self._send(request))

    async def _send(self, request: ResourceRequest) -> bytes:
        return await self._connection.call(
            lambda credential: self._api.send(credential, request), changes=request.method != "GET"
        )
