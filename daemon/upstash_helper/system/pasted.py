"""
What people paste: the text without what came along with it, and what is wrong with it in words.

A key is copied from a web page, an ``.env`` file, a chat, or a terminal, and brings along quotes, the name of a
variable, line ends, or characters that cannot be seen. The API cleans it, so that every client accepts the same.
No message repeats the text, which may be a secret in the wrong field.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

# Written around pasted text by a terminal (xterm's "bracketed paste"). A program in between may remove the escape.
_PASTE_MARK: Final = re.compile(r"(?:\x1b|\^\[)?\[20[01]~")
# Byte order marks, zero-width characters, soft hyphens, and marks that reorder text. Spaces are not among them.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufffe]"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_QUOTES: Final = "\"'`´“”„‘’‚«»‹›"  # noqa: RUF001 - quotation marks
_AROUND: Final = f"{_QUOTES},;"

_VARIABLE: Final = re.compile(
    r"""(?:export\s+|set\s+|setx\s+|\$env:)?["']?(?P<name>[A-Z][A-Z0-9_-]*)["']?\s*[=:]\s*""", re.IGNORECASE
)
_OURS: Final = ("UPSTASH_", "QSTASH_", "KV_", "REDIS_")
"""How the names of variables begin whose values are other secrets and addresses of Upstash."""
_KEY_NAMES: Final = frozenset({"API_KEY", "APIKEY", "KEY"})
_EMAIL_NAMES: Final = frozenset({"EMAIL", "E_MAIL", "MAIL", "MAILTO", "UPSTASH_EMAIL", "USER", "USERNAME"})
_SCHEME: Final = re.compile(r"(?:authorization\s*:\s*)?(?:bearer|basic)\s+(?=\S)", re.IGNORECASE)

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://|(?:www\.|console\.)\S+\.\S|[\w.-]+\.upstash\.io\b", re.IGNORECASE)
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_TOKEN_OF_OURS: Final = re.compile(r"uh[a-z]_[\w-]{20,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_EMAIL: Final = re.compile(r"[^\s:@]+@[^\s:@]+")
_NAMED_EMAIL: Final = re.compile(r"[^<>]*<\s*([^<>]+?)\s*>")

_CONSOLE: Final = "Create an API key in the Upstash console (Account > Management API)."
_MAX_KEY: Final = 512
_MAX_EMAIL: Final = 254
_REST_TOKEN_LENGTH: Final = 40
_BYTES_BEFORE_TEXT: Final = 6
_TEXT_BYTES: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz-")
_TEXT_SHARE: Final = 0.85


class NotUsable(ValueError):
    """The text cannot be what it was pasted as. ``str()`` says why, in sentences."""


def clean(text: str) -> str:
    """Return pasted text without what cannot be seen, and without quotes and white space around it."""
    text = _CONTROL.sub("", _INVISIBLE.sub("", _PASTE_MARK.sub("", text)))
    previous = None
    while text != previous:
        previous, text = text, text.strip().strip(_AROUND)
    return text


def api_key(text: str) -> str:
    """
    Return the API key in pasted text.

    Raises:
        NotUsable: If there is none.
    """
    key, name = _without_name(clean(text), _KEY_NAMES)
    reason = _named_otherwise(name) or _why_no_key(key)
    if reason:
        raise NotUsable(reason)
    return key


def email(text: str) -> str:
    """
    Return the email address in pasted text.

    Raises:
        NotUsable: If there is none.
    """
    address, _ = _without_name(clean(text), _EMAIL_NAMES)
    named = _NAMED_EMAIL.fullmatch(address)
    address = clean(named[1] if named else address).strip("<>")
    if not address:
        reason = "The email address is empty."
    elif _URL.match(address):
        reason = "This looks like a URL, not an email address. Enter the email address of your Upstash account."
    elif "@" not in address:
        reason = "This is not an email address: it has no @. Enter the email address of your Upstash account."
    elif re.search(r"\s", address):
        reason = "The email address has a space in the middle. Enter one address, such as ann@example.com."
    elif address.count("@") > 1:
        reason = "The email address has more than one @. Enter one address, such as ann@example.com."
    elif not _EMAIL.fullmatch(address) or len(address) > _MAX_EMAIL:
        reason = "This is not a complete email address, such as ann@example.com."
    else:
        return address
    raise NotUsable(reason)


def _without_name(text: str, names: frozenset[str]) -> tuple[str, str]:
    """Return text without the name of a variable or header in front of it, and that name if it is none of ``names``."""
    other = ""
    while True:
        found = _VARIABLE.match(text)
        name = found["name"].upper().replace("-", "_") if found else ""
        if found and (name in names or ("_" in name and name.startswith(_OURS))):
            other = other or ("" if name in names or name.endswith("API_KEY") else name)
            text = clean(text[found.end() :])
        elif scheme := _SCHEME.match(text):
            text = clean(text[scheme.end() :])
        else:
            return text, other


def _named_otherwise(name: str) -> str:
    """Return why the value of an environment variable with this name is not an API key; empty if it can be one."""
    if "REST" in name and name.endswith("TOKEN"):
        return _REST_TOKEN
    if "QSTASH" in name:
        return f"This is a QStash token, not an API key. {_CONSOLE}"
    return _URL_TEXT if name.endswith("URL") else ""


_REST_TOKEN: Final = (
    "This is a database's REST token, not an API key: it opens one database and cannot manage your account. " + _CONSOLE
)
_URL_TEXT: Final = f"This looks like a URL, not an API key. {_CONSOLE}"


def _why_no_key(key: str) -> str:
    for applies, reason in (
        (not key, f"The API key is empty. {_CONSOLE}"),
        (_URL.match(key), _URL_TEXT),
        (_EMAIL.fullmatch(key), "This is an email address, not an API key. The key goes into this field."),
        (
            set(key) <= set("•*●…"),
            f"This is a masked key: the console shows a key only once, when it is created. {_CONSOLE}",
        ),
        (
            re.search(r"\s", key),
            "The API key has a space or a line break in the middle. Copy only the key, without its name or other text.",
        ),
        (not (key.isascii() and key.isprintable()), "The API key has characters that no API key has. Copy it again."),
        (len(key) > _MAX_KEY, f"This is too long for an API key ({len(key)} characters). Copy only the key."),
        (_TOKEN_OF_OURS.fullmatch(key), f"This is a token of upstash-helper, not an API key. {_CONSOLE}"),
        (
            _JWT.fullmatch(key) or (key.startswith("eyJ") and len(key) > _REST_TOKEN_LENGTH),
            f"This is a token, such as one from a sign-in or from QStash, not an API key. {_CONSOLE}",
        ),
        (_is_rest_token(key), _REST_TOKEN),
    ):
        if applies:
            return reason
    return ""


def _is_rest_token(key: str) -> bool:
    """
    Return whether this is certainly the token of a database's REST API: base64 of a few bytes and of text in
    hexadecimal. An API key is a UUID, or random.
    """
    if not key.startswith("A") or not may_be_rest_token(key):
        return False
    body = key.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error:
        return False
    rest = decoded[_BYTES_BEFORE_TEXT:]
    return sum(byte in _TEXT_BYTES for byte in rest) > _TEXT_SHARE * len(rest)


def may_be_rest_token(key: str) -> bool:
    """Return whether a key that Upstash has rejected could be the token of a database's REST API, by its form."""
    return len(key) >= _REST_TOKEN_LENGTH and _BASE64.fullmatch(key) is not None


REST_TOKEN_HINT: Final = f"It may be a database's REST token, which is not an API key. {_CONSOLE}"
