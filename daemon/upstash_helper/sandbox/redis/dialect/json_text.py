r"""
JSON text in the form in which the server stores it.

The functions on the server never parse a document: they find values in its text. For that, a string must not contain
a character that has a meaning in JSON, so quotation marks, backslashes, braces, and brackets are written as ``\u00xx``.
Then ``%b{}``, Lua's pattern for balanced braces, matches exactly one object, at the speed of C.

The text is compact, and no object contains a key twice. Integers of any size keep their digits.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 128
"""Of nested arrays and objects in one value, as in RedisJSON."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_BRACKETS = re.compile(r"[\[\]{}]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "[]{}"})


class InvalidJson(ValueError):
    """The text is not JSON, or a number or its nesting is too large."""


def to_stored(text: bytes) -> bytes:
    """
    Return a JSON value in the form in which it is stored.

    Raises:
        InvalidJson: With the reason.
    """
    try:
        encoded = _ENCODER.encode(json.loads(text.decode(), parse_constant=_reject_constant))
        stored = _escape(encoded).encode()
    except UnicodeError:
        raise InvalidJson("a string is not valid Unicode") from None
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise InvalidJson(f"{reason} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidJson("recursion limit exceeded") from None
    except ValueError:  # infinity, or an integer with more digits than Python converts
        raise InvalidJson("number out of range") from None
    if _is_too_deep(stored):
        raise InvalidJson("recursion limit exceeded")
    return stored


def string_to_stored(text: str) -> str:
    """Return a string in the form in which it is stored, with its quotation marks."""
    return _escape(_ENCODER.encode(text))


def _reject_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"unexpected {name}", name, 0)


def _escape(encoded: str) -> str:
    # A backslash only begins an escape, so that pairs of backslashes are found in the right place from left to right.
    if "\\" in encoded:
        encoded = encoded.replace("\\\\", "\\u005c").replace('\\"', "\\u0022")
    parts = encoded.split('"')
    if _BRACKETS.search("".join(parts[1::2])):  # rare, and slow to change
        parts[1::2] = [part.translate(_ESCAPES) for part in parts[1::2]]
        encoded = '"'.join(parts)
    return encoded


def _is_too_deep(stored: bytes) -> bool:
    brackets = stored.translate(_BRACES_TO_BRACKETS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # the innermost level
        if not brackets:
            return False
    return True
