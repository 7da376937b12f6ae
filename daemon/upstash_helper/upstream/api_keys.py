"""Developer API keys, made with a user's access token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from upstash_helper.broker.models import IssuedKey, Secret
from upstash_helper.broker.ports import AuthorizationFailed, KeyNameTaken
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.oauth import email, transport_failure_reason
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text

if TYPE_CHECKING:
    from upstash_helper.upstream.response import Response

ISSUE_SECONDS: Final = 20.0
MAX_RESPONSE_BYTES: Final = 64 * 1024

_CONSOLE: Final = "the Upstash console (Account → Management API)"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,1024}")
# An account holds at most 37 keys; the documents do not give the words of the refusal.
_LIMIT: Final = re.compile(r"\b(limit|maximum|max|too many|at most|quota|37)\b", re.IGNORECASE)


class _Answer(msgspec.Struct):
    api_key: str
    email: object = None


class ApiKeyIssuer:
    """The ``KeyIssuer`` port on ``POST /apikey``."""

    def __init__(self, *, http: HttpClient, api_url: str, issue_seconds: float = ISSUE_SECONDS) -> None:
        """
        Args:
            http: The client.
            api_url: The Developer API without ``/v2``.
            issue_seconds: Deadline of the request.
        """
        self._http = http
        self._url = f"{api_url.rstrip('/')}/apikey"
        self._issue_seconds = issue_seconds

    async def issue(self, *, access_token: Secret, name: str) -> IssuedKey:
        """Make a key called ``name``; a request that may have arrived is never repeated, for it may have made one."""
        call = Request(
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
            reply = await self._http.send(call)
        except TransportFailed as error:
            failure = error
        else:
            return _issued(reply, name, access_token.reveal())
        orphan = "" if failure.stage == "connecting" else f" {_orphan(name)}"
        raise AuthorizationFailed(transport_failure_reason(failure), f"{failure.detail}{orphan} Connect again.")


def _issued(reply: Response, name: str, token: str) -> IssuedKey:
    if not 200 <= reply.status < 300:
        _refuse(reply, name, token)
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if answer is None or not _KEY.fullmatch(answer.api_key):
        detail = f"Upstash sent no readable API key. {_orphan(name)} Connect again."
        raise AuthorizationFailed("invalid_response", detail)
    return IssuedKey(api_key=Secret(answer.api_key), email=email(answer.email))


def _refuse(reply: Response, name: str, token: str) -> NoReturn:
    if reply.status == 429:
        wait = "later" if reply.retry_after is None else f"in {reply.retry_after:.0f} s"
        raise AuthorizationFailed("rate_limited", f"Upstash asks for fewer requests. Connect again {wait}.")
    if reply.status >= 500:
        detail = f"Upstash failed to make an API key (status {reply.status}). {_orphan(name)} Connect again later."
        raise AuthorizationFailed("server_error", detail)
    said = error_text(reply, token)
    quote = f" Upstash says: {said}" if said else ""
    if reply.status != 401 and _LIMIT.search(said):
        detail = f"The account has as many API keys as it may have; delete one in {_CONSOLE}.{quote}"
        raise AuthorizationFailed("api_key_limit", detail)
    refusal = KeyNameTaken if reply.status == 409 else AuthorizationFailed
    raise refusal("api_key_refused", f"Upstash refused to make an API key (status {reply.status}).{quote}")


def _orphan(name: str) -> str:
    return f"It may have been made: if {name} is listed in {_CONSOLE}, delete it."
