"""
An entry in the system's keyring, through the ``keyring`` library, which no other module imports.

The library is imported with the first call. It does not choose the backend: it would scan all installed packages, and
any package can register a backend that stores secrets in plaintext (``keyrings.alt`` does). So only backends from an
allow-list are used, by name.

All calls may block, for as long as the keyring waits for its user; ``blocking_call.Worker`` runs them with a deadline.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from upstash_helper.system.session_bus import find_session_bus
from upstash_helper.system.text import NotUtf8, decode_utf8

if TYPE_CHECKING:
    from pathlib import Path

    from keyring.backend import KeyringBackend

    from upstash_helper.system.blocking_call import Call

SECRET_SERVICE: Final = "keyring.backends.SecretService.Keyring"  # noqa: S105 - a class name
_LIBSECRET: Final = "keyring.backends.libsecret.Keyring"
_KWALLET: Final = "keyring.backends.kwallet.DBusKeyring"
_KEYCHAIN: Final = "keyring.backends.macOS.Keyring"
_CREDENTIAL_MANAGER: Final = "keyring.backends.Windows.WinVaultKeyring"

TRUSTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        SECRET_SERVICE: "Secret Service",
        _LIBSECRET: "Secret Service",
        _KWALLET: "KWallet",
        _KEYCHAIN: "macOS Keychain",
        _CREDENTIAL_MANAGER: "Windows Credential Manager",
    }
)
"""The allow-list of backends, with a name for each that users know."""

# Tries every backend, including untrusted ones. A user who configured it gets the first trusted one.
_CHAINER: Final = "keyring.backends.chainer.ChainerBackend"

_VARIABLE: Final = "PYTHON_KEYRING_BACKEND"

UNLOCK_SECONDS: Final = 120.0
"""How long the user has to unlock the keyring before the prompt is withdrawn."""

# Other programs may have stored entries of the same name, and some backends delete only the first.
_DELETIONS: Final = 3

# errSecInteractionNotAllowed (Security.framework, SecBase.h): locked, and the user cannot be prompted, as over SSH.
_INTERACTION_NOT_ALLOWED: Final = -25308

DEFAULT_COLLECTION: Final = "/org/freedesktop/secrets/aliases/default"

State = Literal["absent", "locked", "open"]


class KeyringError(Exception):
    """The keyring could not be used. ``str()`` explains it and suggests a fix; it never quotes an entry."""


class KeyringLocked(KeyringError):
    """The user has not unlocked the keyring."""


class KeyringUnavailable(KeyringError):
    """There is no trusted keyring, or it does not work."""


class NoKeyringYet(KeyringUnavailable):
    """The Secret Service runs, and has no default collection: the user has not created a keyring."""


class NotDeleted(KeyringUnavailable):
    """The entry could not be deleted."""


class UntrustedKeyring(KeyringUnavailable):
    """The user has configured a backend that is not on the allow-list."""


class NotText(KeyringUnavailable):
    """The entry holds something other than text, so this program did not store it."""


# --- which backend ----------------------------------------------------------------------------------------------------


def native(platform: str = sys.platform) -> tuple[str, ...]:
    """
    Return the backends of ``platform`` in order of preference.

    ``keyring`` orders them by the running desktop. This order is fixed: the daemon must find its entry again when
    systemd starts it outside a desktop session.
    """
    if platform == "darwin":
        return (_KEYCHAIN,)
    if platform == "win32":
        return (_CREDENTIAL_MANAGER,)
    return (SECRET_SERVICE, _LIBSECRET, _KWALLET)


def candidates(*, trusted: Mapping[str, str], environ: Mapping[str, str], config: Path) -> tuple[str, ...]:
    """
    Return the backends to try, in order: the one that the user has configured, or else those of the platform.

    Args:
        trusted: The allow-list.
        environ: The environment, for ``PYTHON_KEYRING_BACKEND``.
        config: The ``keyringrc.cfg`` of the keyring library.

    Raises:
        UntrustedKeyring: If the configured backend is not trusted. It is not even imported.
    """
    name, source = environ.get(_VARIABLE), _VARIABLE
    if name is None:
        name, source = _configured(config), str(config)
    if name is None or name == _CHAINER:
        return native()
    if name not in trusted:
        message = (
            f"{source} names the keyring {name}, which is not known to store secrets safely, so it is not used."
            f" Remove that setting, or use one of {', '.join(trusted)}."
        )
        raise UntrustedKeyring(message)
    return (name,)


def _configured(config: Path) -> str | None:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(decode_utf8(config.read_bytes()))
    except OSError:
        return None
    except NotUtf8 as error:
        message = f"{config} {error}"
        raise UntrustedKeyring(message) from None
    except configparser.Error as error:
        message = f"{config} cannot be read ({type(error).__name__}). Fix it or remove it."
        raise UntrustedKeyring(message) from None
    name = parser.get("backend", "default-keyring", fallback=None)
    return None if name is None else name.strip()


# --- one entry --------------------------------------------------------------------------------------------------------


class KeyringEntry:
    """
    One entry of the keyring.

    Methods that take a ``Call`` end, without a change, when its caller has stopped waiting. Besides ``KeyringError``
    they may raise anything that a backend raises; ``explain`` turns that into a ``KeyringError``.
    """

    def __init__(
        self,
        service: str,
        username: str,
        *,
        unlock_seconds: float = UNLOCK_SECONDS,
        prompt_pause: float = 0.0,
        trusted: Mapping[str, str] = TRUSTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            service: What the entry is for, as keyring tools show it.
            username: The account, as keyring tools show it.
            unlock_seconds: How long the user has to unlock the keyring.
            prompt_pause: Seconds after the user dismissed a prompt during which only ``set`` prompts again.
            trusted: The allow-list.
            monotonic: The clock for ``prompt_pause``.
        """
        self._key: Final = (service, username)
        self._unlock_seconds = unlock_seconds
        self._prompt_pause = prompt_pause
        self._trusted = trusted
        self._monotonic = monotonic
        self._backend: KeyringBackend | None = None
        self._no_prompt_until = monotonic()
        self.not_created = False
        """Whether there was no keyring to read from: the user has not created one. May be read from any thread."""
        self.creating = False
        """Whether the user is being asked for the password of a new keyring. May be read from any thread."""
        self.kind = trusted.get(native()[0], "keyring")
        """The name of the keyring that was used last. May be read from any thread."""

    @property
    def place(self) -> str:
        """The entry, for messages."""
        service, username = self._key
        return f"the entry {service!r} of {username!r} in the keyring ({self.kind})"

    def get(self, call: Call) -> str | None:
        """Return the stored text, or None if there is no entry."""
        with self._opened() as backend:
            if not self._unlocked(backend, insist=False):
                return None
            call.check()
            return self._read(backend)

    def set(self, text: str, call: Call) -> None:
        """Store ``text`` and read it back. If that fails, or comes too late, restore the previous entry."""
        with self._opened() as backend:
            self._unlocked(backend, insist=True)
            previous = None
            with contextlib.suppress(NotText):  # cannot be restored either
                previous = self._read(backend)
            call.check()
            stored = None
            try:
                backend.set_password(*self._key, text)
                stored = self._read(backend)
            finally:
                if stored != text or not call.settle():
                    self._restore(backend, previous)
        if stored != text:
            message = f"The keyring ({self.kind}) did not return what was stored in it."
            raise KeyringUnavailable(message)

    def delete(self, call: Call) -> None:
        """Remove the entry and check that it is gone."""
        with self._opened() as backend:
            if not self._unlocked(backend, insist=False):
                return
            call.check()
            for _ in range(_DELETIONS):
                self._remove(backend)
                if backend.get_password(*self._key) is None:
                    return
        message = f"The keyring did not delete {self.place}. Delete it with your desktop's password manager."
        raise NotDeleted(message)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[KeyringBackend]:
        # After a failure the backend is chosen again: a session bus may have come up, or a keyring may have started.
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
            except Exception as error:  # noqa: BLE001 - whatever it is, this backend cannot be used here
                # This cannot quote a secret: none was passed yet.
                reasons.setdefault(self.kind, str(error) or type(error).__name__)
        self.kind = self._trusted[names[0]]
        tried = "; ".join(f"{kind}: {reason.rstrip('.')}" for kind, reason in reasons.items())
        message = f"No keyring can be used here. {tried}. Start one, then try again."
        raise KeyringUnavailable(message)

    def _unlocked(self, backend: KeyringBackend, *, insist: bool) -> bool:
        """
        Unlock the keyring, which may prompt the user. Return False if no keyring was created yet.

        Args:
            backend: The keyring.
            insist: Prompt also a user who has just dismissed a prompt, and to create a keyring.
        """
        if not is_secret_service(backend):
            return True  # these prompt on their own
        collection = _collection_of(backend)
        state = collection_state(collection)
        if state == "locked":
            self._unlock(collection, insist=insist)
        if state == "absent" and insist:
            self.creating = True
            try:
                created = _create_collection()
            finally:
                self.creating = False
            if not created:
                raise no_keyring_yet(self.kind)
            state = "open"
        self.not_created = state == "absent"
        return state != "absent"

    def _unlock(self, collection: str, *, insist: bool) -> None:
        if insist or self._monotonic() >= self._no_prompt_until:
            if _unlock_collection(collection, seconds=self._unlock_seconds):
                return
            self._no_prompt_until = self._monotonic() + self._prompt_pause
        raise locked(self.kind)

    def _read(self, backend: KeyringBackend) -> str | None:
        try:
            return backend.get_password(*self._key)
        except UnicodeDecodeError:
            pass  # the error quotes the entry, so it must not become the cause of the next one
        message = f"Another program has stored something other than text in {self.place}."
        raise NotText(message)

    def _remove(self, backend: KeyringBackend) -> None:
        from keyring.errors import PasswordDeleteError

        # Raised if there is no entry. On macOS it is raised for every other reason too, so callers check the result.
        with contextlib.suppress(PasswordDeleteError):
            backend.delete_password(*self._key)

    def _restore(self, backend: KeyringBackend, previous: str | None) -> None:
        try:
            if previous is None:
                self._remove(backend)
            else:
                backend.set_password(*self._key, previous)
        except Exception as error:  # noqa: BLE001 - the caller reports why it had to be restored
            _warn("The keyring's previous entry could not be restored: %s.", error)


# --- errors -----------------------------------------------------------------------------------------------------------


def explain(error: BaseException, *, kind: str) -> KeyringError:
    """
    Return what a failed call means. The text of a backend's error is left out: it may quote the secret.

    Args:
        error: What a method of ``KeyringEntry`` raised.
        kind: The keyring's name.
    """
    if isinstance(error, KeyringError):
        return error.with_traceback(None)  # its frames hold the secret
    if _is_instance(error, "KeyringLocked") or _was_dismissed(error) or _could_not_prompt(error):
        return locked(kind)
    if _is_instance(error, "InitError"):
        return no_keyring_yet(kind)
    _warn("The keyring failed: %s.", error)
    return KeyringUnavailable(
        f"The keyring ({kind}) failed ({type(error).__name__}). Check that it is running, then try again."
    )


def locked(kind: str) -> KeyringLocked:
    """Return the error for a keyring that the user has not unlocked."""
    return KeyringLocked(
        f"The keyring ({kind}) is locked. Unlock it with your desktop's password manager, or log in again, then retry."
    )


def no_keyring_yet(kind: str) -> NoKeyringYet:
    """Return the error for a user who has no keyring, and did not create one when prompted."""
    return NoKeyringYet(
        f"There is no keyring ({kind}) yet, and creating one requires a password that you enter on the desktop. Create"
        " one with your desktop's password manager."
    )


def no_answer(kind: str, seconds: float, *, creating: bool = False) -> KeyringError:
    """
    Return the error for a call that exceeded its deadline of ``seconds``.

    Args:
        kind: The keyring's name.
        seconds: The deadline.
        creating: Whether it was waiting for the password of a new keyring, which is then not locked.
    """
    if creating:
        return NoKeyringYet(
            f"There is no keyring ({kind}) yet. A window on the desktop asks for the password of a new one: enter one,"
            " then try again."
        )
    return KeyringLocked(
        f"The keyring ({kind}) did not respond within {seconds:g} seconds. It may be waiting for you: unlock it in its"
        " password window, then try again."
    )


def _is_instance(error: BaseException, name: str) -> bool:
    # A module that was never imported did not raise it, and importing it here would block the event loop.
    errors = sys.modules.get("keyring.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _was_dismissed(error: BaseException) -> bool:
    errors = sys.modules.get("secretstorage.exceptions")
    return errors is not None and isinstance(error, (errors.LockedException, errors.PromptDismissedException))


def _could_not_prompt(error: BaseException) -> bool:
    cause = error.__cause__
    return cause is not None and cause.args[:1] == (_INTERACTION_NOT_ALLOWED,)


def _warn(message: str, error: BaseException) -> None:
    import logging

    logging.getLogger(__name__).warning(message, type(error).__name__)


# --- Secret Service ---------------------------------------------------------------------------------------------------


def is_secret_service(backend: object) -> bool:
    """Return whether ``backend`` uses the Secret Service through ``secretstorage``."""
    kind = type(backend)
    return f"{kind.__module__}.{kind.__qualname__}" == SECRET_SERVICE


def backend_state(backend: KeyringBackend) -> State:
    """Return whether the keyring is unlocked, without prompting. "open" for backends that cannot report it."""
    return collection_state(_collection_of(backend)) if is_secret_service(backend) else "open"


def collection_state(collection: str = DEFAULT_COLLECTION) -> State:
    """Return the state of a collection of the Secret Service, without prompting."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return "locked" if secretstorage.Collection(bus, collection).is_locked() else "open"
        except secretstorage.ItemNotFoundException:
            return "absent"


def _collection_of(backend: KeyringBackend) -> str:
    collection: str = getattr(backend, "preferred_collection", DEFAULT_COLLECTION)
    return collection


def _unlock_collection(collection: str, *, seconds: float) -> bool:
    """Prompt for the password, for at most ``seconds``. Return whether the collection is unlocked then."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        opened = secretstorage.Collection(bus, collection)
        try:
            opened.unlock(timeout=seconds)
        except TimeoutError:
            return False
        return not opened.is_locked()


def _create_collection() -> bool:
    """Create the default collection, which prompts for a new password. Return False if the user dismissed that."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            secretstorage.create_collection(bus, "Default", "default")
        except secretstorage.PromptDismissedException:
            return False
        return True
