"""The ``KeyIssuer`` port: creates Developer API keys with a user's access token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from upstash_helper.broker.models import IssuedKey, Secret
from upstash_helper.broker.ports import AuthorizationFailed, KeyNameTaken
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.oauth import transport_failure_reason, valid_email
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text

if TYPE_CHECKING:
    from upstash_helper.upstream.response import Response

ISSUE_SECONDS: Final = 20.0
MAX_RESPONSE_BYTES: Final = 64 * 1024

_CONSOLE: Final = "the Upstash console (Account → Management API)"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,1024}")
# An account can have 37 keys. The error's text is not documented.
_LIMIT_REACHED: Final = re.compile(r"\b(limit|maximum|max|too many|at most|quota|37)\b", re.IGNORECASE)


class _CreatedKey(msgspec.Struct):
    api_key: str
    email: object = None


class ApiKeyIssuer:
    """The adapter, with ``POST /apikey``."""

    def __init__(self, *, http: HttpClient, api_url: str, issue_seconds: float = ISSUE_SECONDS) -> None:
        """
        Args:
            http: The HTTP client.
            api_url: The Developer API's URL without ``/v2``.
            issue_seconds: Deadline of the request.
        """
        self._http = http
        self._url = f"{api_url.rstrip('/')}/apikey"
        self._issue_seconds = issue_seconds

    async def issue(self, *, access_token: Secret, name: str) -> IssuedKey:
        """Create a key named ``name``. A request that the server may have received is not repeated."""
        request = Request(
            method="POST",
            url=self._url,
            headers={
                "Authorization": f"Bearer {access_token.reveal()}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            body=msgspec.json.encode({"name": name}),
            retry=RetryPolicy.UNSENT,
            deadline=self._issue_seconds,
            limit=MAX_RESPONSE_BYTES,
        )
        try:
            response = await self._http.send(request)
        except TransportFailed as error:
            failure = error
        else:
            return _issued(response, name, access_token.reveal())
        warning = "" if failure.stage == "connecting" else f" {_may_exist(name)}"
        raise AuthorizationFailed(transport_failure_reason(failure), f"{failure.detail}{warning}")


def _issued(response: Response, name: str, token: str) -> IssuedKey:
    if not 200 <= response.status < 300:
        _refuse(response, name, token)
    try:
        created = msgspec.json.decode(response.body, type=_CreatedKey)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        created = None
    if created is None or not _KEY.fullmatch(created.api_key):
        detail = f"Upstash sent an unreadable response instead of an API key. {_may_exist(name)}"
        raise AuthorizationFailed("invalid_response", detail)
    return IssuedKey(api_key=Secret(created.api_key), email=valid_email(created.email))


def _refuse(response: Response, name: str, token: str) -> NoReturn:
    if response.status == 429:
        wait = "" if response.retry_after is None else f" Try again in {response.retry_after:.0f} s."
        raise AuthorizationFailed("rate_limited", f"Upstash's rate limit has been reached.{wait}")
    if response.status >= 500:
        detail = f"Upstash failed to create an API key (status {response.status}). {_may_exist(name)}"
        raise AuthorizationFailed("server_error", detail)
    message = error_text(response, token)
    quote = f" Upstash says: {message}" if message else ""
    if response.status != 401 and _LIMIT_REACHED.search(message):
        detail = f"The account has reached its limit of API keys. Delete one in {_CONSOLE}.{quote}"
        raise AuthorizationFailed("api_key_limit", detail)
    kind = KeyNameTaken if response.status == 409 else AuthorizationFailed
    raise kind("api_key_refused", f"Upstash refused to create an API key (status {response.status}).{quote}")


def _may_exist(name: str) -> str:
    return f"A key may have been created anyway: if {name} is listed in {_CONSOLE}, delete it."
