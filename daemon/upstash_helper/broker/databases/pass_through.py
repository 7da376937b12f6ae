"""Pass-through: apps' requests to the Developer API, sent with the account's credential."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from upstash_helper.broker.errors import PathNotAllowed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.databases.operations import Databases
    from upstash_helper.broker.ports import PassThroughApi, PassThroughRequest, PassThroughResponse

_READING: Final = frozenset({"GET", "HEAD"})


class PassThrough:
    """Passes requests through, except those for API keys: with a key of its own, an app could bypass the daemon."""

    def __init__(self, *, connection: Connection, api: PassThroughApi, databases: Databases) -> None:
        self._connection = connection
        self._api = api
        self._databases = databases

    @asynccontextmanager
    async def __call__(self, request: PassThroughRequest) -> AsyncIterator[PassThroughResponse]:
        """
        Send ``request`` and yield the response.

        Raises:
            PathNotAllowed: If the path is that of the API keys. Nothing is sent then.
            HelperError: Like ``Connection.call`` and ``PassThroughApi.open``.
        """
        if names_api_keys(request.target):
            raise PathNotAllowed
        async with AsyncExitStack() as stack:
            try:
                answer = await self._connection.call(
                    lambda credential: stack.enter_async_context(self._api.open(credential, request))
                )
            finally:
                if request.method not in _READING:
                    # After a failure, too, because the request may have taken effect.
                    self._databases.forget_list()
            yield answer


def names_api_keys(target: str) -> bool:
    """
    Return whether the first segment of a target is ``apikey`` in any spelling, with or without a version before it.

    Stricter than Upstash needs today, because its servers might decode a path twice or strip characters.
    """
    segments = [_plain(segment) for segment in target.partition("?")[0].split("/")]
    first, second = (*segments, "", "")[:2]
    return "apikey" in (first, second if first[:1] == "v" and first[1:].isdigit() else "")


def _plain(segment: str) -> str:
    raw = segment.encode("ascii", "replace")
    while (decoded := unquote_to_bytes(raw)) != raw:
        raw = decoded
    # A semicolon starts the parameters of a segment (RFC 3986, section 3.3).
    return raw.decode("latin-1").partition(";")[0].strip().casefold()
