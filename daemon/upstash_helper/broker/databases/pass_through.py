"""Requests of apps that go through to the Developer API, with the account's credential put in."""

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
    """Lets a request through, unless it would make an API key: with one an app would be out of the user's hands."""

    def __init__(self, *, connection: Connection, api: PassThroughApi, databases: Databases) -> None:
        self._connection = connection
        self._api = api
        self._databases = databases

    @asynccontextmanager
    async def __call__(self, request: PassThroughRequest) -> AsyncIterator[PassThroughResponse]:
        """
        Send ``request`` and hand out the answer.

        Raises:
            PathNotAllowed: If the path is that of the API keys; nothing is sent.
            HelperError: As ``Connection.call`` and ``PassThroughApi.open``.
        """
        if names_api_keys(request.target):
            raise PathNotAllowed("API keys are not made or read through the helper: it has one, and keeps it.")
        async with AsyncExitStack() as stack:
            try:
                answer = await self._connection.call(
                    lambda credential: stack.enter_async_context(self._api.open(credential, request))
                )
            finally:
                if request.method not in _READING:
                    # Also after a failure: what was sent may have taken effect.
                    self._databases.forget_list()
            yield answer


def names_api_keys(target: str) -> bool:
    """
    Return whether a target's first segment is ``apikey``, however it is written. A version may stand before it.

    Judged more broadly than Upstash needs today: what its servers decode twice, or strip, is not ours to know.
    """
    segments = [_plain(segment) for segment in target.partition("?")[0].split("/")]
    first, second = (*segments, "", "")[:2]
    return "apikey" in (first, second if first[:1] == "v" and first[1:].isdigit() else "")


def _plain(segment: str) -> str:
    raw = segment.encode("ascii", "replace")
    while (decoded := unquote_to_bytes(raw)) != raw:
        raw = decoded
    # What follows a semicolon are parameters of the segment (RFC 3986, section 3.3).
    return raw.decode("latin-1").partition(";")[0].strip().casefold()
