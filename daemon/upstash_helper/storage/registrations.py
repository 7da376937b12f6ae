"""This installation's registrations as an OAuth client: a small private file. They have no secret."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from upstash_helper.broker.models import Registration
from upstash_helper.system import private_files
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

logger = logging.getLogger(__name__)

_MAX_BYTES: Final = 65_536
_KEPT: Final = 16
"""Issuers. A sandbox that is started on other ports has another issuer each time."""


class RegistrationFile:
    """The ``Registrations`` port. A file that cannot be read counts as empty: registering again is harmless."""

    def __init__(self, path: Path, *, deadline: float = 2.0) -> None:
        """
        Args:
            path: The file. Its folder may be missing.
            deadline: Seconds that a call may take.
        """
        self._path = path
        self._deadline = deadline
        self._worker = Worker("registrations")
        self._turn = asyncio.Lock()

    async def load(self, issuer: str) -> Registration | None:
        """Return the registration at ``issuer``, or None."""
        none: tuple[Registration, ...] = ()
        kept = await self._run(self._read, default=none)
        return next((each for each in kept if each.issuer == issuer), None)

    async def save(self, registration: Registration) -> None:
        """Keep ``registration``, in place of an earlier one at the same issuer."""
        await self._change(lambda kept: (registration, *(each for each in kept if each.issuer != registration.issuer)))

    async def forget(self, registration: Registration) -> None:
        """Forget ``registration``, unless another one has replaced it."""
        await self._change(lambda kept: tuple(each for each in kept if not _is_same_client(each, registration)))

    async def _change(self, change: Callable[[tuple[Registration, ...]], tuple[Registration, ...]]) -> None:
        def job(call: Call) -> None:
            self._write(change(self._read(call))[:_KEPT])

        async with self._turn:
            await self._run(job, default=None)

    async def _run(self, job: Callable[[Call], T], *, default: T) -> T:
        try:
            return await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy, JobFailed):
            logger.warning("registrations_unavailable")
            return default

    def _read(self, _: Call) -> tuple[Registration, ...]:
        try:
            content = private_files.read(self._path, limit=_MAX_BYTES, fix_mode=True)
            return () if content is None else msgspec.json.decode(content, type=tuple[Registration, ...])
        except (OSError, private_files.NotPrivate, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            logger.warning("registrations_unreadable")
            return ()

    def _write(self, registrations: tuple[Registration, ...]) -> None:
        private_files.make_folder(self._path.parent)
        private_files.write(self._path, msgspec.json.encode(registrations))


def _is_same_client(one: Registration, other: Registration) -> bool:
    return (one.issuer, one.client_id) == (other.issuer, other.client_id)


class MemoryRegistrations:
    """The ``Registrations`` port in memory, for tests."""

    def __init__(self) -> None:
        self._kept: dict[str, Registration] = {}

    async def load(self, issuer: str) -> Registration | None:
        """Return the registration at ``issuer``, or None."""
        return self._kept.get(issuer)

    async def save(self, registration: Registration) -> None:
        """Keep ``registration``."""
        self._kept[registration.issuer] = registration

    async def forget(self, registration: Registration) -> None:
        """Forget ``registration``, unless another one has replaced it."""
        kept = self._kept.get(registration.issuer)
        if kept is not None and _is_same_client(kept, registration):
            del self._kept[registration.issuer]
