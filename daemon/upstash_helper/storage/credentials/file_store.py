"""A credential in a file, in clear: for machines without a keyring, and only if the settings say so."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.record import decode, encode
from upstash_helper.system import private_files
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.models import Credential

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LIMIT: Final = 65_536  # bytes; a record has a few hundred


class FileStore:
    """
    The ``CredentialStore`` port on one file that its user alone may read.

    It is used in a thread of its own: a disk may hang as a keyring does.
    """

    def __init__(self, path: Path, *, deadline: float = 5.0) -> None:
        """
        Args:
            path: The file; its folder is made when something is saved.
            deadline: Seconds that a call may take.
        """
        self._path = path
        self._deadline = deadline
        self._worker = Worker("credential-file")
        self._health = StoreHealth(kind="file", state="unknown")

    async def load(self) -> Credential | None:
        """Return the credential, or None if there is no file; raise as the port says."""
        return await self._ask(self._load)

    async def save(self, credential: Credential) -> None:
        """Put ``credential`` in place of the file, whole or not at all; raise as the port says."""
        await self._ask(partial(self._save, encode(credential).encode()))

    async def delete(self) -> None:
        """Remove the file; raise as the port says."""
        await self._ask(self._delete)

    def health(self) -> StoreHealth:
        """Return the state as of the last call."""
        return self._health

    def _load(self, _: Call) -> Credential | None:
        data = private_files.read(self._path, limit=_LIMIT)
        return None if data is None else decode(data, place=str(self._path))

    def _save(self, data: bytes, call: Call) -> None:
        if not private_files.write(self._path, data, commit=call.settle):
            return
        if private_files.read(self._path, limit=_LIMIT) != data:
            message = f"{self._path} does not hold what was written to it. Check the disk."
            raise StoreUnavailable(message)

    def _delete(self, call: Call) -> None:
        call.check()
        private_files.remove(self._path)

    async def _ask(self, job: Callable[[Call], T]) -> T:
        try:
            result = await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            failure = StoreUnavailable(f"The disk of {self._path} does not answer. Check it, then try again.")
        except JobFailed as failed:
            failure = self._explain(failed.error)
        else:
            self._health = StoreHealth(kind="file", state="ok")
            return result
        self._health = StoreHealth(kind="file", state="unavailable", detail=failure.detail)
        raise failure

    def _explain(self, error: BaseException) -> StoreUnavailable:
        match error:
            case StoreUnavailable():
                return error.with_traceback(None)  # its frames hold what was read
            case private_files.NotPrivate():
                return StoreUnavailable(str(error))
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return StoreUnavailable(f"The disk of {self._path} is full: free some space, then try again.")
            case OSError():
                reason = error.strerror or type(error).__name__
                return StoreUnavailable(f"{self._path} cannot be used: {reason}. Check the folder's owner and mode.")
            case _:
                _log.error("The credential file failed in a way that is not known: %s.", type(error).__name__)
                return StoreUnavailable(f"{self._path} cannot be used ({type(error).__name__}).")


class MemoryStore:
    """The ``CredentialStore`` port without a trace: for trying things out, and for tests."""

    def __init__(self) -> None:
        self._credential: Credential | None = None

    async def load(self) -> Credential | None:
        """Return what was saved since the start."""
        return self._credential

    async def save(self, credential: Credential) -> None:
        """Keep ``credential`` until the daemon stops."""
        self._credential = credential

    async def delete(self) -> None:
        """Forget it."""
        self._credential = None

    def health(self) -> StoreHealth:
        """Memory is always there."""
        return StoreHealth(kind="memory", state="ok")
