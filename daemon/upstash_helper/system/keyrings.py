"""
An entry in the system's keyring, through the ``keyring`` library, which no other module imports.

The library is imported with the first call. It does not choose the backend: it would scan all installed packages, and
any package can register a backend that stores secrets in plaintext (``keyrings.alt`` does). So only backends from an
allow-list are used, by name.

All calls may block, for as long as the keyring waits for its user; ``blocking_call.Worker`` runs them with a deadline.

For the Secret Service, the library only reports whether it is available: it opens a new connection to the bus for every
call, and then KeePassXC asks its user every time. ``secret_service`` keeps one.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.system import clock, keychain
from upstash_helper.system.blocking_call import Abandoned
from upstash_helper.system.keyring_errors import (
    KeyringError,
    KeyringLocked,
    KeyringUnavailable,
    NotAllowed,
    NotDeleted,
    NotReplaced,
    NotText,
    UntrustedKeyring,
    Waiting,
    explain,
    not_allowed,
    warn,
)
from upstash_helper.system.session_bus import find_session_bus, session_bus_address
from upstash_helper.system.text import NotUtf8, decode_utf8

if TYPE_CHECKING:
    from pathlib import Path

    from keyring.backend import KeyringBackend

    from upstash_helper.system.blocking_call import Call
    from upstash_helper.system.secret_service import SecretService

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
        _KEYCHAIN: keychain.KIND,
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
        message = f"{config} cannot be read{_place(error)}. Fix it or remove it."
        raise UntrustedKeyring(message) from None
    name = parser.get("backend", "default-keyring", fallback=None)
    return None if name is None else name.strip()


def _place(error: configparser.Error) -> str:
    lines = [getattr(error, "lineno", None), *(line for line, _ in getattr(error, "errors", ()))]
    first = next((line for line in lines if line is not None), None)
    return "" if first is None else f": see line {first}"


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
        monotonic: Callable[[], float] = clock.monotonic,
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
        self._backend: KeyringBackend | SecretService | None = None
        self._service: SecretService | None = None
        self._tells_waiting = native()[0] == SECRET_SERVICE
        self._no_prompt_until = monotonic()
        self.not_created = False
        """Whether there was no keyring to read from: the user has not created one. May be read from any thread."""
        self.kind = trusted.get(native()[0], "keyring")
        """The name of the keyring that was used last. May be read from any thread."""

    @property
    def waiting(self) -> Waiting | None:
        """What the user is being asked for; None if this keyring does not say. May be read from any thread."""
        if not self._tells_waiting:
            return None
        return "" if self._service is None else self._service.waiting

    @property
    def place(self) -> str:
        """The entry, for messages."""
        service, username = self._key
        return f"the entry {service!r} of {username!r} in the keyring ({self.kind})"

    def get(self, call: Call, *, prompt: bool = True) -> str | None:
        """
        Return the stored text, or None if there is no entry.

        Args:
            call: The caller.
            prompt: Whether the user may be asked for the password, or for access to the entry.
        """
        with self._opened(prompt=prompt) as backend:
            if not self._unlocked():
                return None
            call.check()
            return self._read(backend, call)

    def set(self, text: str, call: Call) -> None:
        """Store ``text`` and read it back. If that fails, or comes too late, restore the previous entry."""
        failure: KeyringError
        try:
            self._set(text, call)
        except (Abandoned, KeyringError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not quote the text
            failure = explain(error, kind=self.kind, hide=text)
        else:
            return
        raise failure

    def _set(self, text: str, call: Call) -> None:
        with self._opened(insist=True) as backend:
            self._unlocked(create=True)
            previous = None
            with contextlib.suppress(NotText):  # cannot be restored either
                previous = self._read(backend)
            call.check()
            stored = None
            try:
                self._write(backend, text)
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
            if not self._unlocked():
                return
            call.check()
            for _ in range(_DELETIONS):
                self._remove(backend)
                if backend.get_password(*self._key) is None:
                    return
        how = "with your desktop's password manager."
        if self.kind == keychain.KIND:
            how = f"in Keychain Access, or with: {keychain.delete_command(*self._key)}"
        message = f"The keyring did not delete {self.place}. Delete it {how}"
        raise NotDeleted(message)

    @contextlib.contextmanager
    def _opened(self, *, prompt: bool = True, insist: bool = False) -> Iterator[KeyringBackend | SecretService]:
        """
        Choose the keyring, or use the same one as before.

        Args:
            prompt: Whether the user may be asked for anything.
            insist: Ask also a user who has just dismissed a prompt.
        """
        backend, self._backend = self._backend or self._choose(), None
        service = self._service
        paused = not insist and self._monotonic() < self._no_prompt_until
        if service is not None:
            service.prompts, service.seconds = prompt and not paused, self._unlock_seconds
        try:
            yield backend
        except (Abandoned, KeyringError) as error:
            # What the user has allowed is allowed to its connection, so it is kept, unless the prompt was withdrawn.
            self._backend = backend if service is None or service.close.alive else None
            if isinstance(error, (KeyringLocked, NotAllowed)) and prompt and not paused:
                self._no_prompt_until = self._monotonic() + self._prompt_pause
            if isinstance(error, NotAllowed) and prompt and paused:
                raise not_allowed(self.kind) from None
            raise
        except BaseException:
            # After a failure the backend is chosen again: a bus may have come up, or a keyring may have started.
            if service is not None:
                service.close()
            raise
        self._backend = backend

    def _choose(self) -> KeyringBackend | SecretService:
        from keyring.core import load_keyring
        from keyring.util.platform_ import config_root

        find_session_bus()
        names = candidates(trusted=self._trusted, environ=os.environ, config=config_root() / "keyringrc.cfg")
        reasons: dict[str, str] = {}
        self._service = None
        for name in names:
            self.kind, self._tells_waiting = self._trusted[name], name == SECRET_SERVICE
            try:
                backend = load_keyring(name)
                self._service = _secret_service(backend, kind=self.kind) if name == SECRET_SERVICE else None
            except Exception as error:  # noqa: BLE001 - whatever it is, this backend cannot be used here
                reasons.setdefault(self.kind, why_unusable(error))
            else:
                return self._service or backend
        self.kind = self._trusted[names[0]]
        tried = "; ".join(f"{kind}: {reason.rstrip('.')}" for kind, reason in reasons.items())
        message = f"No keyring is available. {tried}. Start a keyring, then try again."
        raise KeyringUnavailable(message)

    def _unlocked(self, *, create: bool = False) -> bool:
        """
        Unlock the keyring, which may prompt the user. Return False if no keyring was created yet.

        Args:
            create: Create a keyring if there is none, which prompts too.
        """
        service = self._service
        if service is None:
            return True  # these prompt on their own
        state = service.state()
        self.kind = service.kind
        self.not_created = state == "absent"
        if state == "absent" and create:
            service.create()
            self.not_created = False
        elif state != "absent":
            service.unlock()
        return not self.not_created

    def _read(self, backend: KeyringBackend | SecretService, call: Call | None = None) -> str | None:
        try:
            if self._service is not None:
                return self._service.get_password(*self._key, call)
            return backend.get_password(*self._key)
        except UnicodeDecodeError:
            pass  # the error quotes the entry, so it must not become the cause of the next one
        message = f"Another program has stored something other than text in {self.place}."
        raise NotText(message)

    def _write(self, backend: KeyringBackend | SecretService, text: str) -> None:
        try:
            backend.set_password(*self._key, text)
        except Exception as error:
            if keychain.status_of(error) not in keychain.NOT_OWNER:
                raise
            message = keychain.not_replaced(*self._key)
        else:
            return
        raise NotReplaced(message)

    def _remove(self, backend: KeyringBackend | SecretService) -> None:
        from keyring.errors import PasswordDeleteError

        # Raised if there is no entry. On macOS it is raised for every other reason too, so callers check the result.
        with contextlib.suppress(PasswordDeleteError):
            backend.delete_password(*self._key)

    def _restore(self, backend: KeyringBackend | SecretService, previous: str | None) -> None:
        try:
            if previous is None:
                self._remove(backend)
            else:
                self._write(backend, previous)
        except NotReplaced:
            pass  # so it was not replaced before either
        except Exception as error:  # noqa: BLE001 - the caller reports why it had to be restored
            warn("The keyring's previous entry could not be restored: %s.", error)


def _secret_service(backend: Any, *, kind: str) -> SecretService:
    """Return the Secret Service with the settings of the library's backend, which may come from the environment."""
    from upstash_helper.system.secret_service import DEFAULT_COLLECTION, SecretService

    return SecretService(
        collection=getattr(backend, "preferred_collection", DEFAULT_COLLECTION),
        scheme=backend.schemes[backend.scheme],
        application=backend.appid,
        kind=kind,
    )


def why_unusable(error: BaseException, *, platform: str = sys.platform) -> str:
    """Say why a backend cannot be loaded. Its own text may be that of some parser, and names Python packages."""
    text = str(error)
    if isinstance(error, ImportError) or text.endswith((" required", " not installed")):
        return "a Python package that it needs is not installed"
    if platform in {"darwin", "win32"}:
        return "this program cannot use it"
    if session_bus_address() is None:
        return "there is no session bus"
    return "no program provides it" if "nor activatable" in text else "the session bus does not respond"
