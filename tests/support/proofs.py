"""The helper's proof that it knows a token, for servers that take its place. Computed without the product's code."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = "/v1/proof"


def is_challenge(target: str) -> bool:
    """Return whether a request asks for a proof."""
    return urlsplit(target).path == PATH


def answer_to(target: str, host: str, tokens: Iterable[str]) -> tuple[int, bytes]:
    """
    Return the status and body of the answer to a challenge.

    Args:
        target: The request target, with its query.
        host: The value of Host.
        tokens: The tokens that the server knows.
    """
    query = parse_qs(urlsplit(target).query)
    for token in tokens:
        digest = hashlib.sha256(token.encode()).digest()
        if query["key"] == [hashlib.sha256(b"upstash-helper key id v1\n" + digest).hexdigest()[:32]]:
            message = f"upstash-helper proof v1\n{host}\n{query['nonce'][0]}"
            return 200, json.dumps({"proof": hmac.new(digest, message.encode(), "sha256").hexdigest()}).encode()
    return 200, b'{"proof": null}'
