"""
The maximum size of a record.

Only SETRANGE and SETBIT are checked here, which can make a value large with a small request. The
server has the same limit for the length of a string (``proto-max-bulk-len``), so APPEND and BITFIELD fail as well, with
the server's text. The sizes of lists, sets, hashes, and streams are not checked, since they would have to be measured
with each command.
"""

from __future__ import annotations

from collections.abc import Sequence

from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused

BITS_PER_BYTE = 8
MAX_DIGITS = 20
"""Of an offset. The server has its own error for one that is no 64-bit integer."""


def check_setrange(command: Sequence[bytes], dialect: Dialect) -> None:
    """
    Check where SETRANGE writes.

    Raises:
        Refused: If the value would be too large.
    """
    if len(command) == 4 and _is_offset(command[2]) and command[3]:
        _check(int(command[2]) + len(command[3]), dialect)


def check_setbit(command: Sequence[bytes], dialect: Dialect) -> None:
    """
    Check where SETBIT writes.

    Raises:
        Refused: If the value would be too large.
    """
    if len(command) == 4 and _is_offset(command[2]):
        _check(int(command[2]) // BITS_PER_BYTE + 1, dialect)


def _is_offset(text: bytes) -> bool:
    return text.isdigit() and len(text) <= MAX_DIGITS


def _check(size: int, dialect: Dialect) -> None:
    limit = dialect.max_record_bytes
    if size > limit:
        raise Refused(b"ERR max single record size exceeded. Limit: %d bytes, Actual: %d bytes" % (limit, size))
