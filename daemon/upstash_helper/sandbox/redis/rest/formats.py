"""The formats of responses: JSON, JSON with strings in base64, and RESP2."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply, SimpleString, encode_reply
from upstash_helper.sandbox.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ("json", "resp2")


class ResponseFormat(msgspec.Struct, frozen=True):
    """What a request's headers ask for."""

    resp2: bool
    in_base64: bool

    def response(self, reply: Reply, headers: dict[str, str]) -> web.Response:
        """Return the response to one command: 400 if it failed."""
        status = 400 if isinstance(reply, ErrorReply) else 200
        if self.resp2:
            return _binary(encode_reply(reply), status, headers)
        return json_response(self._as_json(reply), status=status, headers=headers)

    def responses(self, replies: Sequence[Reply], headers: dict[str, str]) -> web.Response:
        """Return the response to several commands. In RESP2, their replies follow one another, as over TCP."""
        if self.resp2:
            return _binary(b"".join(map(encode_reply, replies)), 200, headers)
        return json_response([self._as_json(reply) for reply in replies], headers=headers)

    def _as_json(self, reply: Reply) -> dict[str, Any]:
        if isinstance(reply, ErrorReply):
            return {"error": _decode(reply.text)}
        return {"result": _json_value(reply, _encode_base64 if self.in_base64 else _decode)}


def requested_format(request: web.Request, *, only_json: bool = False) -> ResponseFormat:
    """
    Return the format that the headers ask for.

    Args:
        request: The request.
        only_json: Ignore a request for RESP2. Transactions have only JSON.

    Raises:
        RequestError: If there is no such format, or RESP2 is combined with base64.
    """
    name = request.headers.get("Upstash-Response-Format", "json").lower()
    in_base64 = request.headers.get("Upstash-Encoding", "").lower() == "base64"
    if name not in FORMATS:
        raise RequestError(400, f"ERR unsupported Upstash-Response-Format: it must be {' or '.join(FORMATS)}")
    resp2 = name == "resp2" and not only_json
    if resp2 and in_base64:
        raise RequestError(400, "ERR Upstash-Encoding: base64 cannot be combined with Upstash-Response-Format: resp2")
    return ResponseFormat(resp2, in_base64)


def _binary(body: bytes, status: int, headers: dict[str, str]) -> web.Response:
    headers = {"Cache-Control": "no-store", **headers}
    return web.Response(body=body, status=status, content_type="application/octet-stream", headers=headers)


def _json_value(reply: Reply, text: Callable[[bytes], str]) -> Any:
    match reply:
        case bytes():
            return text(reply)
        case list():
            return [_json_value(item, text) for item in reply]
        case SimpleString(b"OK"):
            return "OK"  # also with base64: Upstash excludes it
        case SimpleString(content) | ErrorReply(content):
            return text(content)
        case _:
            return reply


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(data: bytes) -> str:
    """Decode UTF-8 with replacement characters. Clients that store binary data request base64."""
    return data.decode("utf-8", "replace")
