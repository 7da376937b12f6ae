"""The credential in a file, in plaintext, for machines without a keyring; and in memory, for tests."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.record import decode, encode
from upstash_helper.system import disk_errors, private_files
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.models import Credential

T = TypeVar("T")

_log = logging.getLogger(__name__)

_MAX_BYTES: Final = 65_536  # a record has a few hundred


class FileStore:
    """
    The ``CredentialStore`` port on a private file. It is used only if the settings say so.

    File access runs in a worker thread, since a disk can hang like a keyring.
    """

    def __init__(self, path: Path, *, deadline: float = 5.0) -> None:
        """
        Args:
            path: The file. Its folder is created by the first save.
            deadline: Seconds that a call may take.
        """
        self._path = path
        self._deadline = deadline
        self._worker = Worker("credential-file")
        self._health = StoreHealth(kind="file", state="unknown")

    async def load(self, *, prompt: bool = True) -> Credential | None:  # noqa: ARG002 - a file has no password
        """Return the credential, or None if there is no file. Raises what the port allows."""
        return await self._run(self._load)

    async def save(self, credential: Credential) -> None:
        """Replace the file atomically. Raises what the port allows."""
        await self._run(partial(self._save, encode(credential).encode()))

    async def delete(self) -> None:
        """Remove the file. Raises what the port allows."""
        await self._run(self._delete)

    def health(self) -> StoreHealth:
        """Return the state after the last call."""
        return self._health

    def _load(self, _: Call) -> Credential | None:
        data = self._read()
        return None if data is None else decode(data, place=str(self._path))

    def _save(self, data: bytes, call: Call) -> None:
        if not private_files.write_durably(self._path, data, commit=call.settle):
            return
        if self._read() != data:
            message = f"{self._path} does not contain what was written to it. Check the disk."
            raise StoreUnavailable(message)

    def _delete(self, call: Call) -> None:
        call.check()
        private_files.remove(self._path)

    def _read(self) -> bytes | None:
        return private_files.read(self._path, limit=_MAX_BYTES, fix_mode=True)

    async def _run(self, job: Callable[[Call], T]) -> T:
        try:
            result = await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            failure = StoreUnavailable(f"The disk of {self._path} does not respond. Check it, then try again.")
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
                return error.with_traceback(None)  # its frames hold the file's content
            case private_files.NotPrivate():
                return StoreUnavailable(str(error))
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return StoreUnavailable(f"The disk of {self._path} is full. Free some space, then try again.")
            case OSError(errno=errno.EISDIR):
                return StoreUnavailable(f"{self._path} is a folder, not a file. Move it away, then try again.")
            case OSError():
                reason = disk_errors.reason(error)
                return StoreUnavailable(f"{self._path} cannot be used: {reason}. Check the folder's owner and mode.")
            case _:
                _log.error("Unexpected error of the credential file: %s.", type(error).__name__)
                return StoreUnavailable(f"{self._path} cannot be used. The daemon's log has the kind of error.")


class MemoryStore:
    """The ``CredentialStore`` port in memory: the credential is lost when the daemon stops."""

    def __init__(self) -> None:
        self._credential: Credential | None = None

    async def load(self, *, prompt: bool = True) -> Credential | None:  # noqa: ARG002 - memory has no password
        """Return the credential."""
        return self._credential

    async def save(self, credential: Credential) -> None:
        """Replace the credential."""
        self._credential = credential

    async def delete(self) -> None:
        """Delete the credential."""
        self._credential = None

    def health(self) -> StoreHealth:
        """Return "ok"."""
        return StoreHealth(kind="memory", state="ok")
