"""JSON-RPC 2.0 messages, as the Model Context Protocol uses them: one object per body, with an object as ``params``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import msgspec

from upstash_helper.system import validation

RequestId: TypeAlias = str | int

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Defined by the Model Context Protocol.
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
# In the range that JSON-RPC reserves for servers.
REFUSED: Final = -32000

MAX_ID_LENGTH: Final = 256
MAX_METHOD_LENGTH: Final = 128
MAX_DEPTH: Final = 64
"""Levels of nesting. Far below what makes Python's own functions fail."""

_MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON parser keeps exactly (RFC 8259, section 6). A response must repeat the ID."""


class RpcError(Exception):
    """An error response."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        data: object = None,
        status: int = 200,
        request_id: RequestId | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """
        Args:
            code: The error's code.
            message: A sentence.
            data: Details, if there are any.
            status: The HTTP status, unless the response is a stream that has begun.
            request_id: The ID of the request, if it is known.
            headers: Headers of the HTTP response.
        """
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.data: Final = data
        self.status: Final = status
        self.request_id: Final = request_id
        self.headers: Final = headers


@dataclass(frozen=True)
class Request:
    """A message that requires a response."""

    id: RequestId
    method: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Notification:
    """A message that gets no response."""

    method: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Response:
    """The client's response to a request from the daemon. ``result`` is None if it is an error."""

    id: RequestId
    result: dict[str, Any] | None


Message: TypeAlias = Request | Notification | Response


def parse(body: bytes) -> Message:
    """
    Return the message in ``body``.

    Raises:
        RpcError: With status 400, if it is not JSON, or not one message.
    """
    try:
        value = validation.decode_json(body, cast("type[Any]", Any), unique_keys=True)
    except validation.JsonInvalid as error:
        raise RpcError(PARSE_ERROR, f"The body is not valid JSON. {error}", status=400) from None
    except validation.ValuesInvalid:
        # Any value is valid here, except numbers that no float can hold.
        raise RpcError(PARSE_ERROR, "The body contains a number that is too large.", status=400) from None
    if _is_deep(value):
        raise _invalid(f"The body has more than {MAX_DEPTH} levels of nesting.")
    if isinstance(value, list):
        raise _invalid("Batches are not supported. Send one message in each request.")
    if not isinstance(value, dict):
        raise _invalid("The body must be a JSON-RPC message, that is, a JSON object.")
    request_id = value.get("id")
    known = request_id if _is_id(request_id) else None
    if value.get("jsonrpc") != "2.0":
        raise _invalid('The member "jsonrpc" must be "2.0".', known)
    if "id" in value and known is None:
        raise _invalid(f'The member "id" must be an integer or a string of at most {MAX_ID_LENGTH} characters.')
    if "method" in value:
        return _call(value, known)
    if known is not None and ("result" in value) != ("error" in value):
        result = value.get("result")
        return Response(known, result if isinstance(result, dict) else None)
    raise _invalid('The member "method" is missing.', known)


def _call(value: dict[str, Any], request_id: RequestId | None) -> Request | Notification:
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD_LENGTH:
        raise _invalid(f'The member "method" must be a string of 1 to {MAX_METHOD_LENGTH} characters.', request_id)
    if not isinstance(params, dict):
        raise _invalid('The member "params" must be an object.', request_id)
    return Notification(method, params) if request_id is None else Request(request_id, method, params)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return False
        containers = [each for each in level if isinstance(each, dict | list)]
        level = [it for each in containers for it in (each.values() if isinstance(each, dict) else each)]
    return True


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INTEGER


def _invalid(message: str, request_id: RequestId | None = None) -> RpcError:
    return RpcError(INVALID_REQUEST, message, status=400, request_id=request_id)


def convert(params: dict[str, Any], kind: Any) -> Any:
    """
    Return ``params`` as ``kind``. Members that it does not have are ignored.

    Raises:
        RpcError: If a value is missing or not valid.
    """
    try:
        return validation.convert(params, kind)
    except validation.ValuesInvalid as error:
        raise RpcError(INVALID_PARAMS, error.errors[0].sentence("The parameters")) from None


def result(request_id: RequestId, value: object) -> dict[str, object]:
    """Return a response."""
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def failure(error: RpcError, request_id: RequestId | None = None) -> dict[str, object]:
    """Return an error response. JSON-RPC 2.0, section 5: the ID is null if that of the request is unknown."""
    described: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        described["data"] = error.data
    known = error.request_id if request_id is None else request_id
    return {"jsonrpc": "2.0", "id": known, "error": described}


def notification(method: str, params: dict[str, object] | None = None) -> dict[str, object]:
    """Return a notification."""
    message: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    return message if params is None else {**message, "params": params}


def request(request_id: RequestId, method: str, params: dict[str, object]) -> dict[str, object]:
    """Return a request to the client."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def encode(message: object) -> bytes:
    """Return a message as JSON, without line breaks."""
    return msgspec.json.encode(message)
