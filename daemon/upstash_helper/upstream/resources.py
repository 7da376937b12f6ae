"""The ``ResourcesApi`` port: the parts of the Developer API that have no ports of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import msgspec

from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.upstream.authorization import authorization
from upstash_helper.upstream.developer_api import ID, READ_SECONDS, WRITE_SECONDS, as_helper_error, check
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import ResourceRequest
    from upstash_helper.upstream.http_client import HttpClient

MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024


class DeveloperApiResources:
    """The adapter."""

    def __init__(self, *, http: HttpClient, api_url: str) -> None:
        """
        Args:
            http: The HTTP client.
            api_url: The Developer API's URL without ``/v2``.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/v2"

    async def send(self, credential: Credential, request: ResourceRequest) -> bytes:
        """Send ``request`` and return the body of the response."""
        reading = request.method == "GET"
        headers = {"Authorization": authorization(credential), "Accept": "application/json"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        outgoing = Request(
            method=request.method,
            url=self._url(request),
            headers=headers,
            body=None if request.body is None else msgspec.json.encode(request.body),
            retry=RetryPolicy.ALWAYS if reading else RetryPolicy.UNSENT,
            deadline=READ_SECONDS if reading else WRITE_SECONDS,
            limit=MAX_RESPONSE_BYTES,
        )
        try:
            response = await self._http.send(outgoing)
        except TransportFailed as error:
            failure = error
        else:
            check(response, credential)
            return response.body
        raise as_helper_error(failure, changing=not reading)

    def _url(self, request: ResourceRequest) -> str:
        for segment in request.path:
            if not ID.fullmatch(segment):
                raise InvalidRequest("An ID has characters that no ID has.")
        path = "/".join(quote(segment, safe="") for segment in request.path)
        query = f"?{urlencode(request.query)}" if request.query else ""
        return f"{self._base}/{path}{query}"
