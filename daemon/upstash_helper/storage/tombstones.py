"""
Tombstones: revocations that could not be written to the ledger or the keyring, for the next start of the daemon.

Here, a revocation is also a denial, a block, or a disconnect.

The file has its final size from the beginning and is changed in place, so that it can be written on a full disk.
Another one, such as in a folder in memory, is used if the first cannot be written because its disk is read-only. A file
system that never overwrites data in place may need free space nevertheless; ``add`` reports that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from upstash_helper.system import private_files
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RECORD: Final = 16
"""Bytes. A record is the beginning of the SHA-256 of a name; zeros are a free place."""
_SIZE: Final = 4096
_FREE: Final = bytes(_RECORD)


class TombstoneFile:
    """The ``Tombstones`` port. Names are kept as hashes. All access runs in a worker thread."""

    def __init__(self, *paths: Path, deadline: float = 2.0) -> None:
        """
        Args:
            paths: The files, in the order in which they are tried. Their folders may be missing.
            deadline: Seconds that a call may take.
        """
        self._paths = paths
        self._deadline = deadline
        self._worker = Worker("tombstones")

    async def load(self) -> Container[str]:
        """Return the names that are kept, and create the first file if it is missing."""
        return _Names(await self._run(self._load, default=frozenset()))

    async def add(self, name: str) -> bool:
        """Keep ``name``. Return whether that was possible."""
        return await self._run(partial(self._add, _digest(name)), default=False)

    async def remove(self, name: str) -> None:
        """Forget ``name``, if it is kept."""
        await self._run(partial(self._remove, _digest(name)), default=None)

    async def _run(self, job: Callable[[Call], T], *, default: T) -> T:
        try:
            return await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            _log.warning("tombstones_unavailable", extra={"error": "no answer"})
        except JobFailed as failed:
            _log.warning("tombstones_unavailable", extra={"error": type(failed.error).__name__})
        return default

    def _load(self, _: Call) -> frozenset[bytes]:
        found: set[bytes] = set()
        for path in self._paths:
            try:
                if path == self._paths[0]:
                    _reserve(path)
                found |= set(_records(private_files.read(path, limit=_SIZE, fix_mode=True) or b""))
            except (OSError, private_files.NotPrivate) as error:
                _log.warning("tombstones_not_read", extra={"file": path.name, "error": type(error).__name__})
        return frozenset(found - {_FREE})

    def _add(self, record: bytes, _: Call) -> bool:
        for path in self._paths:
            try:
                _reserve(path)
                with _opened(path) as file:
                    records = _records(file.read(_SIZE))
                    if record in records or _replace(file, records, _FREE, record):
                        return True
            except (OSError, private_files.NotPrivate) as error:
                _log.info("tombstone_not_kept", extra={"file": path.name, "error": type(error).__name__})
        return False

    def _remove(self, record: bytes, _: Call) -> None:
        for path in self._paths:
            try:
                with _opened(path) as file:
                    _replace(file, _records(file.read(_SIZE)), record, _FREE)
            except FileNotFoundError:
                continue
            except (OSError, private_files.NotPrivate) as error:
                _log.info("tombstone_not_removed", extra={"file": path.name, "error": type(error).__name__})


class _Names:
    """The names with these hashes."""

    def __init__(self, records: frozenset[bytes]) -> None:
        self._records = records

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _digest(name) in self._records


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:_RECORD]


def _reserve(path: Path) -> None:
    """Create the file with its final size, unless it exists."""
    if private_files.check(path) is not None:
        return
    private_files.make_folder(path.parent)
    private_files.create(path, bytes(_SIZE), durable=True)


def _opened(path: Path) -> BinaryIO:
    private_files.check(path)
    return open(path, "r+b", buffering=0, opener=private_files.opener)


def _records(data: bytes) -> list[bytes]:
    return [data[at : at + _RECORD] for at in range(0, len(data) - len(data) % _RECORD, _RECORD)]


def _replace(file: BinaryIO, records: list[bytes], old: bytes, new: bytes) -> bool:
    """Write ``new`` over the first record that equals ``old``, and sync it. Return False if there is none."""
    if old not in records:
        return False
    file.seek(records.index(old) * _RECORD)
    file.write(new)
    private_files.sync(file.fileno())
    return True
