"""Pass-through: apps' requests to the Developer API, sent with the account's credential."""

from __future__ import annotations

import re
import unicodedata
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from upstash_helper.broker.errors import InvalidRequest, PathNotAllowed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.databases.operations import Databases
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import PassThroughApi, PassThroughRequest, PassThroughResponse

_READING: Final = frozenset({"GET", "HEAD"})


class PassThrough:
    """Passes requests through, except those for API keys: with a key of its own, an app could bypass the daemon."""

    def __init__(
        self, *, connection: Connection, api: PassThroughApi, databases: Databases, exchanges: Exchanges
    ) -> None:
        self._connection = connection
        self._api = api
        self._databases = databases
        self._exchanges = exchanges

    @asynccontextmanager
    async def __call__(self, request: PassThroughRequest, caller: Caller) -> AsyncIterator[PassThroughResponse]:
        """
        Send ``request`` of ``caller`` and yield the response. Both end as soon as the caller's rights do.

        Raises:
            PathNotAllowed: If the path may be that of the API keys. Nothing is sent then.
            InvalidRequest: If a parameter names another method, or the target is encoded too often. Nothing is sent
                then.
            AccessEnded: If the caller's access ends meanwhile. A change may have been made.
            HelperError: Like ``Connection.call`` and ``PassThroughApi.open``.
        """
        if names_api_keys(request.target):
            raise PathNotAllowed
        if names_a_method(request.target):
            raise InvalidRequest(
                "The path and the query must not have a parameter that some servers take for the request's method, such"
                " as _method."
            )
        async with self._exchanges.begin(caller), AsyncExitStack() as stack:
            answer: PassThroughResponse | None = None
            try:
                answer = await self._connection.call(
                    lambda credential: stack.enter_async_context(self._api.open(credential, request)),
                    changes=request.method not in _READING,
                    repeatable=lambda: request.body is None,
                )
            finally:
                # After a failure, too, because the request may have taken effect. But not after a refusal: an app could
                # use those to have the list read again and again.
                if request.method not in _READING and (answer is None or not 400 <= answer.status < 500):
                    self._databases.forget_list()
            yield answer


def names_api_keys(target: str) -> bool:
    """
    Return whether any segment of a target's path, or any part of its query, contains ``apikey`` in any spelling.

    Stricter than Upstash needs today, because a server or a proxy in front of it might decode a path twice, drop
    punctuation and parameters (``api.key;v=1``), fold case and width, or route on a value of the query. No documented
    path contains the word. Only letters and digits are compared.

    Raises:
        InvalidRequest: If the target is encoded more than ``MAX_DECODINGS`` times.
    """
    return any(_WORD in _letters(segment) for segment in _SEPARATORS.split(_decoded(target)))


def names_a_method(target: str) -> bool:
    """
    Return whether a parameter of the query or of a path segment is one that some servers take for the method.

    It could turn a GET into a change. Names are compared by their letters alone: PHP reads ``.method`` and ``[method``
    as ``_method``, and others separate parameters with semicolons. Upstash has no parameter ``method``.

    Raises:
        InvalidRequest: Like ``names_api_keys``.
    """
    _, *parameters = _PARAMETERS.split(_decoded(target))
    return any(_letters(one.partition("=")[0]) in _METHOD_PARAMETERS for one in parameters)


MAX_DECODINGS: Final = 8
"""
How often a target may be encoded. No client needs more than two. Without a limit, a target of 2 KB that is encoded a
thousand times would keep the daemon from doing anything else for 40 ms.
"""

_METHOD_PARAMETERS: Final = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "x")
    for name in ("method", "httpmethod", "methodoverride", "httpmethodoverride")
)
_PARAMETERS: Final = re.compile(r"[?&;]")
_WORD: Final = "apikey"
# Of a path, of its parameters (RFC 3986, section 3.3), and of a query.
_SEPARATORS: Final = re.compile(r"[/\\?&=#,]")
_ESCAPE: Final = re.compile(rb"%[uU]([0-9a-fA-F]{4})")
# UTF-8 with lead bytes of two to four bytes. Unlike a strict decoder's, the forms may be longer than necessary.
_MULTIBYTE: Final = re.compile(
    rb"[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}", re.DOTALL
)


def _decoded(target: str) -> str:
    """
    Return a target decoded until nothing changes: percent-encoding, ``%uXXXX``, and UTF-8, even if overlong.

    Raises:
        InvalidRequest: If that takes more than ``MAX_DECODINGS`` rounds.
    """
    raw = target.encode("utf-8", "replace")
    for _ in range(MAX_DECODINGS + 1):
        decoded = _decoded_once(raw)
        if decoded == raw:
            return raw.decode("utf-8", "replace")
        raw = decoded
    raise InvalidRequest(f"The path or query is percent-encoded more than {MAX_DECODINGS} times.")


def _decoded_once(raw: bytes) -> bytes:
    def character(match: re.Match[bytes]) -> bytes:
        return _utf8(int(match[1], 16))

    def shortest(match: re.Match[bytes]) -> bytes:
        first, *rest = match[0]
        code = first & (0x7F >> len(match[0]))
        for byte in rest:
            code = code << 6 | byte & 0x3F
        return _utf8(code)

    return _MULTIBYTE.sub(shortest, unquote_to_bytes(_ESCAPE.sub(character, raw)))


def _utf8(code: int) -> bytes:
    """Return a character in UTF-8; for a surrogate or a number that is none, a question mark, which is shorter."""
    return chr(code).encode("utf-8", "replace") if code <= 0x10FFFF else b"?"


def _letters(segment: str) -> str:
    """Return the letters and digits of a segment, without case, width, and accents."""
    plain = unicodedata.normalize("NFKD", segment).upper().casefold()
    return "".join(filter(str.isalnum, plain))
