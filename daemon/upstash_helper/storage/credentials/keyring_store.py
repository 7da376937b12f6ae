"""
A credential in the system's keyring: the one module of the daemon that touches the ``keyring`` library.

The library is imported with the first call and used in a thread of its own, for a keyring may wait for its user for
ever. It is not asked to choose a keyring: it would scan all installed packages, and take one that writes in clear.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.record import decode, encode
from upstash_helper.system import keyrings
from upstash_helper.system import keyrings as known
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker
from upstash_helper.system.keyrings import TRUSTED, is_secret_service, native
from upstash_helper.system.session_bus import find_session_bus

if TYPE_CHECKING:
    from pathlib import Path

    from keyring.backend import KeyringBackend

    from upstash_helper.broker.models import Credential

__all__ = ["OTHERWISE", "TRUSTED", "candidates", "native"]

OTHERWISE: Final = (
    'On a machine without a keyring, credential_store = "file" in config.toml keeps the API key in a file, in clear.'
)


def candidates(*, trusted: Mapping[str, str], environ: Mapping[str, str], config: Path) -> tuple[str, ...]:
    """
    Return the backends to try, best first; the arguments are those of ``keyrings.trusted.candidates``.

    Raises:
        StoreUnavailable: If the one that the user has named is not trusted: it is not even imported.
    """
    try:
        return known.candidates(trusted=trusted, environ=environ, config=config)
    except known.UntrustedKeyring as error:
        raise StoreUnavailable(f"{error} {OTHERWISE}") from None


# Security.framework, SecBase.h, errSecInteractionNotAllowed: locked, and nobody can be asked (over SSH).
_INTERACTION_NOT_ALLOWED: Final = -25308


def locked(kind: str) -> StoreLocked:
    """Return what to raise when the user has not unlocked the keyring."""
    return StoreLocked(
        f"The keyring ({kind}) is locked. Unlock it with your desktop's password tool, or log in anew, then try again."
    )


def none_yet(kind: str) -> StoreUnavailable:
    """Return what to raise when no keyring was ever made, and the user did not make one now."""
    return StoreUnavailable(
        f"There is no keyring ({kind}) yet and none was made: that asks for a password on a screen. Make one with your"
        f" desktop's password tool. {OTHERWISE}"
    )


def explain(error: BaseException, *, kind: str) -> StoreLocked | StoreUnavailable:
    """Say what went wrong, without the text of an error that is not ours: it may quote what it was given."""
    if isinstance(error, (StoreLocked, StoreUnavailable)):
        return error.with_traceback(None)  # its frames held the key
    if _is(error, "KeyringLocked") or keyrings.is_locked_error(error) or _asked_nobody(error):
        return locked(kind)
    if _is(error, "InitError"):
        return none_yet(kind)
    _log.warning("The keyring failed: %s.", type(error).__name__)
    return StoreUnavailable(
        f"The keyring ({kind}) failed ({type(error).__name__}). See that it is running, then try again. {OTHERWISE}"
    )


def _is(error: BaseException, name: str) -> bool:
    # What was never imported did not raise it, and importing it here would hold up the event loop.
    errors = sys.modules.get("keyring.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _asked_nobody(error: BaseException) -> bool:
    cause = error.__cause__
    return cause is not None and cause.args[:1] == (_INTERACTION_NOT_ALLOWED,)


T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_RECORD_UNITS: Final = 1200
"""UTF-16 units of a record: Windows keeps 2560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE), and there should be room left."""

UNLOCK_SECONDS: Final = 120.0
"""Seconds that the user has to unlock the keyring before the question is taken back."""

PROMPT_PAUSE: Final = 60.0
"""Seconds without a question after the user declined one: a page that shows the status is no reason to ask again."""

# Another program can have stored entries of the same name, and a backend may delete just the first.
_DELETIONS: Final = 3


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
        unlock_seconds: float = UNLOCK_SECONDS,
        trusted: Mapping[str, str] = TRUSTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            service: What the keyring shows the entry as being for.
            username: Whose entry it is: the profile's name.
            deadline: Seconds that a call may take.
            unlock_seconds: Seconds that the user has to unlock the keyring.
            trusted: The backends that may be used, and what to call them.
            monotonic: Tells seconds that never go back.
        """
        self._deadline = deadline
        self._entry = Entry(service, username, unlock_seconds=unlock_seconds, trusted=trusted, monotonic=monotonic)
        self._worker = Worker("keyring")
        self._health = StoreHealth(kind=self._entry.kind, state="unknown")

    async def load(self) -> Credential | None:
        """Return the credential, or None if there is none; raise as the port says."""
        return await self._ask(self._entry.load)

    async def save(self, credential: Credential) -> None:
        """Store ``credential`` and read it back; raise as the port says, with what was there before still there."""
        text = encode(credential)
        length = len(text.encode("utf-16-le")) // 2
        if length > MAX_RECORD_UNITS:
            detail = (
                f"The e-mail, the API key and the key's name make a record of {length} characters, and a keyring is"
                f" given {MAX_RECORD_UNITS} at most. See whether one of them is mistaken."
            )
            raise self._remember(StoreUnavailable(detail))
        await self._ask(partial(self._entry.save, text))

    async def delete(self) -> None:
        """Forget the credential, if there is one; raise as the port says."""
        await self._ask(self._entry.delete)

    def health(self) -> StoreHealth:
        """Return the state as of the last call."""
        return self._health

    async def _ask(self, job: Callable[[Call], T]) -> T:
        failure: StoreLocked | StoreUnavailable
        try:
            result = await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            failure = StoreLocked(
                f"The keyring ({self._entry.kind}) does not answer within {self._deadline:g} seconds: it seems to wait"
                " for you. Unlock it in the window that asks for its password, then try again."
            )
        except JobFailed as failed:
            failure = explain(failed.error, kind=self._entry.kind)
        else:
            self._health = StoreHealth(kind=self._entry.kind, state="ok")
            return result
        # Raised out here, so that it drags along no traceback with the frames that held the key.
        raise self._remember(failure)

    def _remember(self, failure: StoreLocked | StoreUnavailable) -> StoreLocked | StoreUnavailable:
        state: Literal["locked", "unavailable"] = "locked" if isinstance(failure, StoreLocked) else "unavailable"
        self._health = StoreHealth(kind=self._entry.kind, state=state, detail=failure.detail)
        return failure


class Entry:
    """One entry of the keyring; used by the worker's thread alone, but for ``kind``."""

    def __init__(
        self,
        service: str,
        username: str,
        *,
        unlock_seconds: float = UNLOCK_SECONDS,
        trusted: Mapping[str, str] = TRUSTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The arguments are those of ``KeyringStore``."""
        self._key: Final = (service, username)
        self._unlock_seconds = unlock_seconds
        self._trusted = trusted
        self._monotonic = monotonic
        self._backend: KeyringBackend | None = None
        self._quiet_until = monotonic()
        self.kind = trusted.get(native()[0], "keyring")

    @property
    def _place(self) -> str:
        service, username = self._key
        return f"the entry {service!r} of {username!r} in the keyring ({self.kind})"

    def load(self, call: Call) -> Credential | None:
        """Return what is stored; None if there is nothing."""
        with self._opened() as backend:
            if not self._ready(backend, insist=False):
                return None
            call.check()
            text = self._read(backend)
        return None if text is None else decode(text, place=self._place)

    def save(self, text: str, call: Call) -> None:
        """Store ``text`` and read it back, or put back what was there."""
        with self._opened() as backend:
            self._ready(backend, insist=True)
            before = None
            with contextlib.suppress(StoreUnavailable):  # what cannot be read cannot be put back either
                before = self._read(backend)
            call.check()
            kept = None
            try:
                backend.set_password(*self._key, text)
                kept = self._read(backend)
            finally:
                if kept != text or not call.settle():
                    self._put_back(backend, before)
        if kept != text:
            detail = f"The keyring ({self.kind}) does not keep what it is given. {OTHERWISE}"
            raise StoreUnavailable(detail)

    def delete(self, call: Call) -> None:
        """Remove what is stored; see that it is gone."""
        with self._opened() as backend:
            if not self._ready(backend, insist=False):
                return
            call.check()
            for _ in range(_DELETIONS):
                self._remove(backend)
                if backend.get_password(*self._key) is None:
                    return
        detail = f"It was deleted and is still there: {self._place}. Delete it with your desktop's password tool."
        raise StoreUnavailable(detail)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[KeyringBackend]:
        # After a failure everything is looked up anew: a session bus may have come up, or a keyring been started.
        backend, self._backend = self._backend or self._choose(), None
        yield backend
        self._backend = backend

    def _choose(self) -> KeyringBackend:
        from keyring.core import load_keyring
        from keyring.util.platform_ import config_root

        find_session_bus()
        names = candidates(trusted=self._trusted, environ=os.environ, config=config_root() / "keyringrc.cfg")
        reasons: dict[str, str] = {}
        for name in names:
            self.kind = self._trusted[name]
            try:
                return load_keyring(name)
            except Exception as error:  # noqa: BLE001  # whatever it is, this keyring cannot be used here
                # It cannot quote a secret: none has been handed out yet.
                reasons.setdefault(self.kind, str(error) or type(error).__name__)
        self.kind = self._trusted[names[0]]
        tried = "; ".join(f"{kind}: {reason.rstrip('.')}" for kind, reason in reasons.items())
        detail = f"No keyring can be used here. {tried}. Start one, then try again. {OTHERWISE}"
        raise StoreUnavailable(detail)

    def _ready(self, backend: KeyringBackend, *, insist: bool) -> bool:
        """
        Unlock the keyring if that takes no more than the user's password; False if there is nothing to unlock yet.

        Args:
            backend: The keyring.
            insist: Ask even a user who has just declined.
        """
        if not is_secret_service(backend):
            return True
        collection = getattr(backend, "preferred_collection", keyrings.DEFAULT)
        state = keyrings.state(collection)
        if state == "locked":
            self._unlock(collection, insist=insist)
        if state == "absent" and insist and not keyrings.make():
            raise none_yet(self.kind)
        return state != "absent"

    def _unlock(self, collection: str, *, insist: bool) -> None:
        if insist or self._monotonic() >= self._quiet_until:
            if keyrings.unlock(collection, unlock_seconds=self._unlock_seconds):
                return
            self._quiet_until = self._monotonic() + PROMPT_PAUSE
        raise locked(self.kind)

    def _read(self, backend: KeyringBackend) -> str | None:
        try:
            return backend.get_password(*self._key)
        except UnicodeDecodeError:
            pass  # and not its cause: the error quotes what it could not decode
        detail = f"Not text, so not ours: {self._place}. Connect again: that writes it anew."
        raise StoreUnavailable(detail)

    def _remove(self, backend: KeyringBackend) -> None:
        from keyring.errors import PasswordDeleteError

        # Raised if there is no entry; on macOS for any other reason too, so the caller looks whether it is gone.
        with contextlib.suppress(PasswordDeleteError):
            backend.delete_password(*self._key)

    def _put_back(self, backend: KeyringBackend, before: str | None) -> None:
        try:
            if before is None:
                self._remove(backend)
            else:
                backend.set_password(*self._key, before)
        except Exception as error:  # noqa: BLE001  # the reason why it had to be put back is the one to be told
            _log.warning("What the keyring held before could not be put back: %s.", type(error).__name__)
