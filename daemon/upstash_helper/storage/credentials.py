"""
A credential in the system's keyring: the one module that touches the ``keyring`` library.

The library is imported with the first call and used in a thread of its own, for a keyring may wait for its user for
ever. It is not asked to choose a keyring: it would scan all installed packages, and take one that writes in clear.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage import backends, secret_service
from upstash_helper.storage.record import decode, encode
from upstash_helper.storage.worker import Busy, Call, JobFailed, Overdue, Worker

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from upstash_helper.broker.models import Credential

T = TypeVar("T")

_log = logging.getLogger(__name__)

LIMIT: Final = 1200
"""UTF-16 units of a record: Windows keeps 2560 bytes, of which some are left for what its API adds."""

PATIENCE: Final = 120.0
"""Seconds that the user has to unlock the keyring before the question is taken back."""

QUIET: Final = 60.0
"""Seconds without a question after the user declined one: a page that asks for the status is no reason to ask again."""

# Deleting may have to be repeated: another program can have stored an entry of the same name.
_DELETIONS: Final = 3

# Security.framework, SecBase.h: the keychain is locked and nobody can be asked (over SSH).
_INTERACTION_NOT_ALLOWED: Final = -25308


class KeyringStore:
    """
    The ``CredentialStore`` port on the system's keyring.

    A call that ended in an error changed nothing: what ends after its caller has gone is undone before the next begins.
    """

    def __init__(
        self,
        service: str,
        username: str,
        *,
        deadline: float = 5.0,
        patience: float = PATIENCE,
        trusted: Mapping[str, str] = backends.TRUSTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            service: What the keyring shows the entry as being for.
            username: Whose entry it is: the profile's name.
            deadline: Seconds that a call may take.
            patience: Seconds that the user has to unlock the keyring.
            trusted: The backends that may be used, and what to call them.
            monotonic: Tells seconds that never go back.
        """
        self._entry: Final = (service, username)
        self._deadline = deadline
        self._patience = patience
        self._trusted = trusted
        self._monotonic = monotonic
        self._worker = Worker("keyring")
        self._backend: KeyringBackend | None = None
        self._kind = trusted.get(backends.native()[0], "keyring")
        self._quiet_until = 0.0
        self._health = StoreHealth(kind=self._kind, state="unknown")

    async def load(self) -> Credential | None:
        """Return the credential, or None if there is none; raise as the port says."""
        return await self._ask(self._load)

    async def save(self, credential: Credential) -> None:
        """Store ``credential`` and read it back; raise as the port says, with what was there before still there."""
        text = encode(credential)
        length = len(text.encode("utf-16-le")) // 2
        if length > LIMIT:
            detail = (
                f"The e-mail, the API key and the key's name make a record of {length} characters, and a keyring is"
                f" given {LIMIT} at most. See whether one of them is mistaken."
            )
            raise self._remember(StoreUnavailable(detail))
        await self._ask(partial(self._save, text))

    async def delete(self) -> None:
        """Forget the credential, if there is one; raise as the port says."""
        await self._ask(self._delete)

    def health(self) -> StoreHealth:
        """Return the state as of the last call."""
        return self._health

    # --- in the event loop --------------------------------------------------------------------------------------------

    async def _ask(self, job: Callable[[Call], T]) -> T:
        failure: StoreLocked | StoreUnavailable
        try:
            result = await self._worker.run(job, deadline=self._deadline)
        except (Overdue, Busy):
            failure = StoreLocked(
                f"The keyring ({self._kind}) did not answer within {self._deadline:g} seconds: it seems to wait for"
                " you. Unlock it in the window that asks for its password, then try again."
            )
        except JobFailed as failed:
            failure = _explain(failed.error, kind=self._kind)
        else:
            self._health = StoreHealth(kind=self._kind, state="ok")
            return result
        # Out of the handlers, so that no traceback keeps the frames that held the key.
        raise self._remember(failure)

    def _remember(self, failure: StoreLocked | StoreUnavailable) -> StoreLocked | StoreUnavailable:
        state: Final = "locked" if isinstance(failure, StoreLocked) else "unavailable"
        self._health = StoreHealth(kind=self._kind, state=state, detail=failure.detail)
        return failure

    # --- in the worker's thread ---------------------------------------------------------------------------------------

    def _load(self, call: Call) -> Credential | None:
        backend = self._open(call, insist=False)
        text = None if backend is None else self._read(backend)
        return None if text is None else decode(text, place=self._place)

    def _save(self, text: str, call: Call) -> None:
        backend = self._open(call, insist=True)
        before = None
        with contextlib.suppress(StoreUnavailable):  # what cannot be read cannot be put back either
            before = self._read(backend)
        call.check()
        kept = None
        try:
            backend.set_password(*self._entry, text)
            kept = self._read(backend)
        finally:
            if kept != text or not call.settle():
                self._put_back(backend, before)
        if kept != text:
            detail = f"The keyring ({self._kind}) does not keep what it is given. {backends.OTHERWISE}"
            raise StoreUnavailable(detail)

    def _delete(self, call: Call) -> None:
        from keyring.errors import PasswordDeleteError

        backend = self._open(call, insist=False)
        if backend is None:
            return
        for _ in range(_DELETIONS):
            # Raised if there is no entry; on macOS for any other reason too, so it is looked after.
            with contextlib.suppress(PasswordDeleteError):
                backend.delete_password(*self._entry)
            if backend.get_password(*self._entry) is None:
                return
        detail = f"{self._place} is still there after it was deleted. Delete it with your desktop's password tool."
        raise StoreUnavailable(detail)
