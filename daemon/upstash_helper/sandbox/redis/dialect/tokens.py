"""
The tokens of database users: the password over TCP, and the token over REST.

A token contains the database's ID and the user's name, so that a REST request needs nothing else, and a password, which
makes it a secret. It is not stored: the server has the hash of each token that ``ACL SETUSER`` has added to the user.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import string

import msgspec

VERSION = b"\x01"
CHECKSUM_BYTES = 6
MAX_NAME_BYTES = 255
MIN_ENTROPY_BITS = 60
"""The minimum length of a password that a token is made of. Upstash's own minimum is not documented."""

_ALPHABETS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_OTHER_CHARACTERS = 33


class UserToken(msgspec.Struct, frozen=True):
    """The content of a token. Its form alone proves nothing."""

    database_id: str
    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return f"UserToken({self.database_id}, {self.user!r}, …)"

    def encode(self) -> bytes:
        """Return the token."""
        database_id = self.database_id.encode()
        names = bytes([len(database_id)]) + database_id + bytes([len(self.user)]) + self.user
        content = VERSION + names + self.password
        return base64.urlsafe_b64encode(content + checksum(content)).rstrip(b"=")


def parse_token(token: bytes) -> UserToken | None:
    """Return the content of a token, or None if it is another kind of password."""
    try:
        data = base64.b64decode(token + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        content = data[:-CHECKSUM_BYTES]
        if not content.startswith(VERSION) or data[-CHECKSUM_BYTES:] != checksum(content):
            return None
        database_id, rest = _split(content[len(VERSION) :])
        user, password = _split(rest)
        return UserToken(database_id.decode(), user, password)
    except (binascii.Error, IndexError, UnicodeDecodeError):
        return None


def is_too_weak(password: bytes) -> bool:
    """Return whether a password is too easy to guess, by its length and the characters in it."""
    text = password.decode("latin-1")
    alphabet = sum(len(characters) for characters in _ALPHABETS if set(characters) & set(text))
    if set(text) - set("".join(_ALPHABETS)):
        alphabet += _OTHER_CHARACTERS
    counted = sum(text[max(0, index - 2) : index].find(character) < 0 for index, character in enumerate(text))
    return counted * math.log2(max(alphabet, 1)) < MIN_ENTROPY_BITS


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return a name, which is preceded by its length, and the rest."""
    return data[1 : 1 + data[0]], data[1 + data[0] :]


def checksum(content: bytes) -> bytes:
    """Return what shows that a token is complete. It protects nothing: anybody can compute it."""
    return hashlib.sha256(b"upstash-sandbox-token" + content).digest()[:CHECKSUM_BYTES]
