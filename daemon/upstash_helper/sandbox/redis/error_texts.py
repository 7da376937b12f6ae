"""
Errors that Redis and Upstash word differently from Valkey and fakeredis. Clients match these texts.

The texts are those that users of Upstash report. Its documentation has only some of them.
"""

from __future__ import annotations

import re

from upstash_helper.sandbox.redis.resp import ErrorReply

NOT_AVAILABLE = (
    b"ERR Command is not available: '%b'. See https://upstash.com/docs/redis/overall/rediscompatibility for details"
)
NO_SCRIPT = b"NOSCRIPT No matching script. Please use EVAL."
RECORD_TOO_LARGE = (
    b"ERR max single record size exceeded. "
    b"See https://upstash.com/docs/redis/troubleshooting/max_record_size_exceeded for details"
)

_UNKNOWN = re.compile(rb"ERR unknown command '(.*?)'(?:, with args beginning with: .*)?", re.DOTALL | re.IGNORECASE)
_NO_PERMISSION = re.compile(rb"NOPERM User \S* has no permissions to run ", re.DOTALL)


def as_upstash(error: ErrorReply) -> ErrorReply:
    """Return a server's error in Upstash's words."""
    text = error.text
    if match := _UNKNOWN.fullmatch(text):
        return ErrorReply(NOT_AVAILABLE % match[1].upper())
    if text.startswith(b"NOSCRIPT "):
        return ErrorReply(NO_SCRIPT)
    if text.startswith(b"NOPERM "):
        return ErrorReply(_NO_PERMISSION.sub(b"NOPERM this user has no permissions to run ", text, count=1))
    if text.startswith(b"ERR string exceeds maximum allowed size"):
        return ErrorReply(RECORD_TOO_LARGE)
    return error
