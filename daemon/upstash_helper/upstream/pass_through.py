"""The ``Passage`` port over HTTP: a request goes out with the account's credential, and the answer comes back."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from upstash_helper.broker.errors import InvalidRequest, ReconnectRequired, UpstreamTimeout, UpstreamUnavailable
from upstash_helper.broker.ports import PassedAnswer
from upstash_helper.upstream.developer_api import basic, transport_error
from upstash_helper.upstream.passage_headers import Fields, to_app, to_upstash
from upstash_helper.upstream.request import TransportFailed, failure_of
from upstash_helper.upstream.streaming import Opening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from aiohttp import ClientResponse

    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import PassedRequest
    from upstash_helper.upstream.http_client import Upstream

ANSWER_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 60.0

# Visible ASCII, without the fragment that no request-target has (RFC 9112, section 3.2.1).
_TARGET: Final = re.compile(r"[!\"$-~]+")


class DeveloperApiPassage:
    """The adapter."""

    def __init__(
        self,
        *,
        http: Upstream,
        api_url: str,
        answer_seconds: float = ANSWER_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """
        Args:
            http: The client.
            api_url: The Developer API without ``/v2``.
            answer_seconds: From the end of the request to the headers of the answer.
            idle_seconds: Between two pieces of the answer's body.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/"
        self._answer_seconds = answer_seconds
        self._idle_seconds = idle_seconds

    @asynccontextmanager
    async def open(self, credential: Credential, request: PassedRequest) -> AsyncIterator[PassedAnswer]:
        """Send ``request`` once and hand out the answer."""
        opening = Opening(
            method=request.method,
            url=self._url(request.target),
            headers=_fields(credential, request),
            body=request.body,
            seconds=self._answer_seconds,
        )
        failure: Exception
        try:
            async with (
                self._http.open(opening) as response,
                aclosing(self._pieces(response, opening.url)) as pieces,
            ):
                if response.status == 401:
                    raise ReconnectRequired("Upstash does not take the stored API key any more. Connect again.")
                yield PassedAnswer(status=response.status, headers=to_app(response.headers.items()), pieces=pieces)
                return
        except TransportFailed as error:
            failure = transport_error(error, changing=not opening.safe)
        raise failure

    def _url(self, target: str) -> str:
        """
        Return the address of ``target``. It is appended, so that nothing in it can be a scheme, a user or a host; the
        comparison is there for the day when somebody changes that.

        Raises:
            InvalidRequest: If it is not the path and query of an address at the Developer API.
        """
        address = self._base + target
        if _TARGET.fullmatch(target):
            url, base = URL(address, encoded=True), URL(self._base, encoded=True)
            if url.origin() == base.origin() and url.raw_path == base.raw_path + target.partition("?")[0]:
                return address
        raise InvalidRequest("The path or query has characters that are not percent-encoded.")

    async def _pieces(self, response: ClientResponse, url: str) -> AsyncGenerator[bytes]:
        failure: Exception
        try:
            while True:
                async with asyncio.timeout(self._idle_seconds):
                    piece = await response.content.readany()
                if not piece:
                    return
                yield piece
        except TimeoutError:
            failure = UpstreamTimeout(f"Upstash sent nothing more of its answer for {self._idle_seconds:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = UpstreamUnavailable(failure_of(error, "answered", URL(url, encoded=True)).detail)
        raise failure


def _fields(credential: Credential, request: PassedRequest) -> Fields:
    own = [("Authorization", f"Basic {basic(credential)}")]
    if request.body is not None and request.length is not None:
        own.append(("Content-Length", str(request.length)))
    return (*own, *to_upstash(request.headers))
