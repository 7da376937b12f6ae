"""The ``CommandsApi`` port: Redis commands over a database's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.errors import (
    InvalidRequest,
    UpstreamForbidden,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from upstash_helper.broker.models import CommandReply
from upstash_helper.upstream.developer_api import as_helper_error
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text

if TYPE_CHECKING:
    from upstash_helper.broker.models import Secret
    from upstash_helper.broker.ports import Command
    from upstash_helper.upstream.http_client import HttpClient
    from upstash_helper.upstream.response import Response

COMMAND_SECONDS: Final = 30.0
MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024
"""Much more than is shown to an agent, so that a reply that is too long can still be truncated."""


class _Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None

    def __repr__(self) -> str:
        return "_Reply(…)"


class RedisRest:
    """The adapter."""

    def __init__(self, *, http: HttpClient, seconds: float = COMMAND_SECONDS) -> None:
        """
        Args:
            http: The HTTP client.
            seconds: Deadline for one request.
        """
        self._http = http
        self._seconds = seconds

    async def run(self, rest_url: str, token: Secret, commands: tuple[Command, ...]) -> tuple[CommandReply, ...]:
        """Run the commands in one request, and return the reply to each."""
        request = Request(
            method="POST",
            url=f"{rest_url.rstrip('/')}/pipeline",
            headers={
                "Authorization": f"Bearer {token.reveal()}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
            body=_encoded(commands),
            retry=RetryPolicy.UNSENT,
            deadline=self._seconds,
            limit=MAX_RESPONSE_BYTES,
        )
        try:
            response = await self._http.send(request)
        except TransportFailed as error:
            failure = error
        else:
            _check(response, token)
            return _replies(response, len(commands))
        raise as_helper_error(failure, changing=True)


def _encoded(commands: tuple[Command, ...]) -> bytes:
    try:
        return msgspec.json.encode(commands)
    except UnicodeEncodeError:
        pass
    raise InvalidRequest("The commands contain half of a surrogate pair, which is not a character.")


def _check(response: Response, token: Secret) -> None:
    if response.status == 200:
        return
    message = error_text(response, token.reveal())
    said = f" The database says: {message}" if message else ""
    if response.status >= 500:
        detail = f"The database failed (status {response.status}). The commands may have run."
        raise UpstreamUnavailable(detail, retry_after=response.retry_after)
    if response.status in {401, 403}:
        raise UpstreamForbidden(f"The database does not accept the token that Upstash returned for it.{said}")
    if response.status == 429:
        detail = f"The database's rate limit has been reached. Try again later.{said}"
        raise UpstreamRateLimited(detail, retry_after=response.retry_after)
    raise UpstreamRejected(f"The database rejected the request (status {response.status}).{said}")


def _replies(response: Response, count: int) -> tuple[CommandReply, ...]:
    # A value can contain any bytes. The commands have run, so one that is not UTF-8 must not lose the other replies.
    text = response.body.decode("utf-8", "replace")
    try:
        replies = msgspec.json.decode(text, type=list[_Reply])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        replies = []
    if len(replies) == count:
        return tuple(CommandReply(result=bytes(reply.result), error=reply.error) for reply in replies)
    # Raised outside the handler, since the decoder's error may quote the document.
    raise UpstreamUnavailable("The database sent an unreadable response. The commands may have run.")
