"""
The stored form of a credential: a JSON object with a version.

It is short because Windows stores at most 2560 bytes of UTF-16 (``CRED_MAX_CREDENTIAL_BLOB_SIZE``).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Grant, Secret
from upstash_helper.protocol.literals import ConnectionMethod
from upstash_helper.system.text import foreign_encoding, without_bom

VERSION: Final = 2
"""Version 2 added grants. API keys are still written as version 1, which earlier versions of the daemon read."""


class _Versioned(msgspec.Struct):
    version: int


class _GrantRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Version 2. The access token is not stored: it is short-lived, and the record must stay small."""

    version: int
    email: str | None
    since: float
    grant: Grant


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Version 1. Unknown fields are ignored: a later daemon may add some that this one does not need."""

    version: int
    email: str | None
    api_key: Secret | None
    method: ConnectionMethod
    since: float
    key_name: str | None = None


def encode(credential: Credential) -> str:
    """Return the record of ``credential``."""
    record: _Record | _GrantRecord
    if credential.grant is not None:
        record = _GrantRecord(version=VERSION, email=credential.email, since=credential.since, grant=credential.grant)
        return msgspec.json.encode(record, enc_hook=_reveal).decode()
    record = _Record(
        version=1,
        email=credential.email,
        api_key=credential.api_key,
        method=credential.method,
        since=credential.since,
        key_name=credential.key_name,
    )
    return msgspec.json.encode(record, enc_hook=_reveal).decode()


def decode(text: str | bytes, *, place: str) -> Credential:
    """
    Return the credential in a record.

    Args:
        text: The record.
        place: Where it is stored, for the error message.

    Raises:
        StoreUnavailable: If it is invalid or of a later version. The message does not quote it.
    """
    if isinstance(text, bytes):
        text = without_bom(text)
    if not text.strip():
        detail = f"The credential in {place} is empty: storing it was interrupted. Connect again to replace it."
        raise StoreUnavailable(detail)
    encoding = foreign_encoding(text) if isinstance(text, bytes) else None
    if encoding is not None:
        detail = f"The credential in {place} is encoded in {encoding}. Save it as UTF-8, or connect again."
        raise StoreUnavailable(detail)
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
        if version == 1:
            return _credential(msgspec.json.decode(text, type=_Record, dec_hook=_conceal))
        if version == VERSION:
            return _grant(msgspec.json.decode(text, type=_GrantRecord, dec_hook=_conceal))
    except (msgspec.MsgspecError, UnicodeError, ValueError):
        # The error may quote the record, so it must not become the cause of the next one.
        version = None
    if version is None:
        detail = f"The credential in {place} is damaged, or another program wrote it. Connect again to replace it."
    else:
        detail = (
            f"The credential in {place} was written by a newer version of upstash-helper (its format is {version}, and"
            f" this version reads {VERSION}). Upgrade upstash-helper, or connect again to replace it."
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


def _grant(record: _GrantRecord) -> Credential:
    return Credential(email=record.email, grant=record.grant, method="grant", since=record.since)


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _conceal(_: type, value: Any) -> Secret:
    if isinstance(value, str):
        return Secret(value)
    message = "expected text"
    raise ValueError(message)
