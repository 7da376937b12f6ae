"""What the ledger's rows have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from upstash_helper.broker.identity import Identity

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
_IDENTITY: Final = ("kind", "name", "program", "pid")
Row = dict[str, Any]


class Run(Protocol):
    """Carries out a job in a transaction of its own."""

    async def __call__(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``job`` returns, once it is on the disk; raise as the ports of the ledger may."""


def identity_columns(identity: Identity) -> Row:
    """Return the columns that hold ``identity``."""
    return {f"identity_{name}": getattr(identity, name) for name in _IDENTITY}


def with_identity(row: sqlite3.Row) -> Row:
    """Return the columns of ``row``, with those of an identity made one."""
    columns = dict(row)
    columns["identity"] = {name: columns.pop(f"identity_{name}") for name in _IDENTITY}
    return columns


def as_json(value: object) -> str:
    """Return ``value`` for a column of JSON."""
    return msgspec.json.encode(value).decode()


def record(columns: Row, kind: type[T]) -> T:
    """
    Return the record that ``columns`` hold; those that it has no field for are left out.

    Raises:
        msgspec.ValidationError: If it is none, which means that the file is damaged.
    """
    return msgspec.convert(columns, kind)
