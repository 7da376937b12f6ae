"""Conversion between rows and records, for all tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from upstash_helper.broker.identity import Identity

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
_IDENTITY: Final = ("kind", "name", "program", "pid")
_LISTS: Final = ("warnings", "others")
"""Fields of an identity that are stored as JSON."""
Row = dict[str, Any]


class RunTransaction(Protocol):
    """Runs a job in a transaction, in the ledger's thread."""

    async def __call__(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Return the job's result once its changes are on the disk. Raises what the ledger's ports allow."""


def identity_columns(identity: Identity) -> Row:
    """Return the columns for ``identity``."""
    columns = {f"identity_{name}": getattr(identity, name) for name in _IDENTITY}
    return columns | {f"identity_{name}": as_json(getattr(identity, name)) for name in _LISTS}


def with_identity(row: sqlite3.Row) -> Row:
    """Return the columns of ``row``, with those of the identity combined into one."""
    columns = dict(row)
    identity = {name: columns.pop(f"identity_{name}") for name in _IDENTITY}
    identity |= {name: msgspec.json.decode(columns.pop(f"identity_{name}")) for name in _LISTS}
    columns["identity"] = identity
    return columns


def as_json(value: object) -> str:
    """Return ``value`` as JSON."""
    return msgspec.json.encode(value).decode()


def decode_row(columns: Row, kind: type[T]) -> T:
    """
    Return the record in ``columns``. Columns without a field are ignored.

    Raises:
        msgspec.ValidationError: If the values do not fit, which means that the file is damaged.
    """
    return msgspec.convert(columns, kind)
