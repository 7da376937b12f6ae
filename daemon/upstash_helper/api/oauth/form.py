"""Decoding of ``application/x-www-form-urlencoded``, as a query or a body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from upstash_helper.broker.authorization.errors import OAuthError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_FIELDS: Final = 64


def parse(text: str) -> dict[str, list[str]]:
    """
    Return the values of each name, in order.

    Raises:
        OAuthError: ``invalid_request`` if it is not encoded correctly, or has too many fields.
    """
    if not text.isascii():
        raise OAuthError("invalid_request", "The parameters are not encoded correctly.")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:  # also for what is not UTF-8
        detail = f"The parameters are not encoded correctly, or there are more than {_MAX_FIELDS}."
        raise OAuthError("invalid_request", detail) from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def single_values(body: bytes) -> Mapping[str, str]:
    """
    Return the parameters in a body. RFC 6749, section 3.2: one without a value counts as omitted, and none is repeated.

    Raises:
        OAuthError: ``invalid_request`` if one is repeated, or the body is not encoded correctly.
    """
    values = parse(body.decode("ascii", "replace"))
    repeated = next((name for name, found in values.items() if len(found) > 1), None)
    if repeated is not None:
        raise OAuthError("invalid_request", f"The parameter {repeated[:40]} is repeated.")
    return {name: found[0] for name, found in values.items() if found[0]}
