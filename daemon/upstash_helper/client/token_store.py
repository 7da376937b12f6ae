"""Where an app keeps its token."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from upstash_helper.client.errors import TokenStoreLocked, TokenStoreUnavailable
from upstash_helper.protocol.discovery import make_private
from upstash_helper.protocol.wire import Sensitive
from upstash_helper.system import keyrings, token_files
from upstash_helper.system.keyrings import TRUSTED, UntrustedKeyring, candidates, is_secret_service
from upstash_helper.system.session_bus import find_session_bus

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend


class TokenStore(Protocol):
    """
    Keeps one token for one app. ``Helper.pair`` takes any object with these methods.

    Every method raises ``TokenStoreUnavailable`` if the store cannot be used now.
    """

    def load(self) -> str | None:
        """Return the token that was saved last, or None if there is none."""

    def save(self, token: str) -> None:
        """Keep ``token`` in the place of the one before. It can be loaded as soon as this returns."""

    def delete(self) -> None:
        """Forget the token; nothing happens if there is none."""


class Held(Sensitive, frozen=True, kw_only=True):
    """A token in memory. It does not print."""

    value: str


class MemoryTokens:
    """A ``TokenStore`` in memory: the user is asked anew with each run of the app. For tests, and short visits."""

    def __init__(self) -> None:
        self._held: Held | None = None

    def load(self) -> str | None:
        """Return the token, or None if there is none."""
        return None if self._held is None else self._held.value

    def save(self, token: str) -> None:
        """Keep ``token``."""
        self._held = Held(value=token)

    def delete(self) -> None:
        """Forget the token."""
        self._held = None


class FileTokens:
    """
    A ``TokenStore`` in a file of its user's alone (mode 0600), in clear: for machines without a keyring.

    Whoever can read the file can do what the user has let the app do, until the user revokes that. Keep it out of
    repositories, backups and images.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: The file. Its folder is made when a token is saved, if it is absent. One file is for one app and one
                daemon.
        """
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"FileTokens({str(self._path)!r})"

    def load(self) -> str | None:
        """
        Return the token, or None if there is none.

        Raises:
            TokenStoreUnavailable: If the file cannot be read, is another user's, or can be read by others.
        """
        try:
            content = token_files.read(self._path)
        except FileNotFoundError:
            return None
        except token_files.NotPrivate as error:
            raise TokenStoreUnavailable(f"{self._path}: {error}. Remove it, and pair again.") from error
        except OSError as error:
            raise self._unusable(error) from error
        return content.decode("ascii", "replace").strip() or None

    def save(self, token: str) -> None:
        """
        Put ``token`` in the place of the file.

        Raises:
            TokenStoreUnavailable: If it cannot be written.
        """
        try:
            make_private(self._path.parent)
            token_files.write(self._path, token.encode())
        except OSError as error:
            raise self._unusable(error) from error

    def delete(self) -> None:
        """
        Remove the file.

        Raises:
            TokenStoreUnavailable: If it cannot be removed.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> TokenStoreUnavailable:
        reason = error.strerror or type(error).__name__
        return TokenStoreUnavailable(f"{self._path} cannot be used: {reason}. Check the folder's owner and mode.")


T = TypeVar("T")

SERVICE: Final = "upstash-helper app"
"""What the keyring shows the entries as being for."""

PATIENCE: Final = 60.0
"""Seconds that the user has to unlock the keyring."""

OTHERWISE: Final = "Or keep the token elsewhere: token_store=FileTokens(path) puts it into a file, in clear."


class KeyringTokens:
    """The ``TokenStore`` that ``Helper.pair`` takes by default: the system's keyring, and only one that encrypts."""

    def __init__(
        self,
        app_name: str,
        *,
        world: str = "",
        patience: float = PATIENCE,
        trusted: Mapping[str, str] = TRUSTED,
    ) -> None:
        """
        Args:
            app_name: Whose token it is; the keyring's own window shows it.
            world: Tells this daemon from others; empty for the user's usual one.
            patience: Seconds that a call may take, the user's unlocking of the keyring included.
            trusted: The backends that may be used, and what to call them.
        """
        self._key: Final = (SERVICE, f"{app_name} ({world})" if world else app_name)
        self._patience = patience
        self._trusted = trusted

    def __repr__(self) -> str:
        return f"KeyringTokens({self._key[1]!r})"

    def load(self) -> str | None:
        """
        Return the token, or None if there is none.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or none that is trusted.
        """
        return self._in_time(self._load)

    def save(self, token: str) -> None:
        """
        Keep ``token``, and read it back.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or none that keeps what it is given.
        """
        self._in_time(lambda: self._save(token))

    def delete(self) -> None:
        """
        Forget the token.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or the entry stays.
        """
        self._in_time(self._delete)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _load(self) -> str | None:
        backend = self._opened(make=False)
        return None if backend is None else backend.get_password(*self._key)

    def _save(self, token: str) -> None:
        backend = self._opened(make=True)
        if backend is not None:
            backend.set_password(*self._key, token)
            if backend.get_password(*self._key) == token:
                return
        raise TokenStoreUnavailable(f"The keyring does not keep what it is given. {OTHERWISE}")

    def _delete(self) -> None:
        from keyring.errors import PasswordDeleteError

        backend = self._opened(make=False)
        if backend is None:
            return
        # Raised if there is no entry; on macOS for any other reason too, so look whether it is gone.
        with contextlib.suppress(PasswordDeleteError):
            backend.delete_password(*self._key)
        if backend.get_password(*self._key) is not None:
            raise TokenStoreUnavailable(
                f"The token was deleted and is still there: the entry {SERVICE!r} of {self._key[1]!r} in the keyring."
                " Delete it with your desktop's password tool."
            )

    def _opened(self, *, make: bool) -> KeyringBackend | None:
        """Return the keyring, unlocked; None if none has been made yet and there is nothing to look for."""
        backend = self._choose()
        if not is_secret_service(backend):
            return backend
        collection = getattr(backend, "preferred_collection", keyrings.DEFAULT)
        state = keyrings.state(collection)
        if state == "locked" and not keyrings.unlock(collection, unlock_seconds=self._patience):
            raise _locked()
        if state == "absent":
            return backend if make and keyrings.make() else None
        return backend

    def _choose(self) -> KeyringBackend:
        from keyring.core import load_keyring
        from keyring.util.platform_ import config_root

        find_session_bus()
        try:
            config = config_root() / "keyringrc.cfg"
            names = candidates(trusted=self._trusted, environ=os.environ, config=config)
        except UntrustedKeyring as error:
            raise TokenStoreUnavailable(f"{error} {OTHERWISE}") from None
        reasons: dict[str, str] = {}
        for name in names:
            try:
                return load_keyring(name)
            except Exception as error:  # noqa: BLE001  # whatever it is, this keyring cannot be used here
                # It cannot quote a secret: none has been handed out yet.
                reasons.setdefault(self._trusted[name], str(error) or type(error).__name__)
        tried = "; ".join(f"{kind}: {reason.rstrip('.')}" for kind, reason in reasons.items())
        raise TokenStoreUnavailable(f"No keyring can be used here. {tried}. Start one, then try again. {OTHERWISE}")

    # --- around it ----------------------------------------------------------------------------------------------------

    def _in_time(self, job: Callable[[], T]) -> T:
        call = _Call(job)
        threading.Thread(target=call.carry_out, name="token-keyring", daemon=True).start()
        if not call.ended.wait(self._patience):
            raise TokenStoreLocked(
                f"The keyring does not answer within {self._patience:g} seconds: it seems to wait for you. Unlock it in"
                f" the window that asks for its password, then try again. {OTHERWISE}"
            )
        if call.error is not None:
            # Raised without its cause, whose frames and whose words may hold the token.
            raise _explained(call.error) from None
        return call.value  # type: ignore[return-value]  # a job that did not fail left its value


class _Call(Generic[T]):
    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self.ended = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None

    def carry_out(self) -> None:
        try:
            self.value = self._job()
        except BaseException as error:  # noqa: BLE001  # the caller gets it, whatever it is
            self.error = error
        finally:
            self.ended.set()


def _explained(error: BaseException) -> TokenStoreUnavailable:
    if isinstance(error, TokenStoreUnavailable):
        return error.with_traceback(None)
    if _is(error, "KeyringLocked") or keyrings.is_locked_error(error):
        return _locked()
    return TokenStoreUnavailable(
        f"The keyring failed ({type(error).__name__}). See that it is running, then try again. {OTHERWISE}"
    )


def _locked() -> TokenStoreLocked:
    return TokenStoreLocked(
        f"The keyring is locked. Unlock it with your desktop's password tool, then try again. {OTHERWISE}"
    )


def _is(error: BaseException, name: str) -> bool:
    errors = sys.modules.get("keyring.errors")
    return errors is not None and isinstance(error, getattr(errors, name))
