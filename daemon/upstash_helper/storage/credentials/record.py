"""
How a credential is written down: one short JSON object with a version.

Short, because Windows keeps 2560 bytes of UTF-16 at most (``CRED_MAX_CREDENTIAL_BLOB_SIZE``).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.protocol.literals import ConnectionMethod

VERSION: Final = 1


class _Versioned(msgspec.Struct):
    version: int


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Version 1. Unknown fields are passed over: a later daemon may add some that this one can do without."""

    version: int
    email: str | None
    api_key: Secret
    method: ConnectionMethod
    since: float
    key_name: str | None = None


def encode(credential: Credential) -> str:
    """Return ``credential`` as text."""
    record = _Record(
        version=VERSION,
        email=credential.email,
        api_key=credential.api_key,
        method=credential.method,
        since=credential.since,
        key_name=credential.key_name,
    )
    return msgspec.json.encode(record, enc_hook=_reveal).decode()


def decode(text: str | bytes, *, place: str) -> Credential:
    """
    Return the credential that ``text`` is.

    Args:
        text: What ``encode`` made.
        place: Where it was found, for the message.

    Raises:
        StoreUnavailable: If it is damaged, not ours, or of a later version. Nothing of it is in the message.
    """
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
        if version <= VERSION:
            return _credential(msgspec.json.decode(text, type=_Record, dec_hook=_conceal))
    except (msgspec.MsgspecError, UnicodeError):
        # Without the cause: it may quote what it could not read.
        version = None
    if version is None:
        detail = f"What {place} holds is damaged or not ours. Connect again: that writes it anew."
    else:
        detail = (
            f"What {place} holds was written by a newer upstash-helper (record version {version}, this one reads"
            f" {VERSION}). Upgrade upstash-helper, or connect again: that writes it anew."
        )
    raise StoreUnavailable(detail)


def _credential(record: _Record) -> Credential:
    return Credential(
        email=record.email,
        api_key=record.api_key,
        method=record.method,
        since=record.since,
        key_name=record.key_name,
    )


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _conceal(_: type, value: Any) -> Secret:
    if isinstance(value, str):
        return Secret(value)
    message = "expected text"
    raise ValueError(message)
