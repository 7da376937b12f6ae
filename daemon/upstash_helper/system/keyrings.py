"""
Which keyrings are trusted, by the names of the ``keyring`` library's backends.

An allow-list, for installing any package can add a backend, and ``keyrings.alt`` adds one that writes in clear.
"""

from __future__ import annotations

import configparser
import sys
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

SECRET_SERVICE: Final = "keyring.backends.SecretService.Keyring"  # noqa: S105  # a name
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
"""What each trusted backend is called in words that a user knows."""

# Asks all others in turn, the untrusted ones too. Whoever names it gets the first trusted one.
_CHAINER: Final = "keyring.backends.chainer.ChainerBackend"

_VARIABLE: Final = "PYTHON_KEYRING_BACKEND"


class UntrustedKeyring(Exception):
    """The keyring that the user has named is not used. ``str()`` says why and what to do."""


def native(platform: str = sys.platform) -> tuple[str, ...]:
    """
    Return the backends of ``platform``, best first.

    The order is fixed, other than in ``keyring``, which looks at the desktop: the daemon must find the key again when
    systemd starts it and not the desktop.
    """
    if platform == "darwin":
        return (_KEYCHAIN,)
    if platform == "win32":
        return (_CREDENTIAL_MANAGER,)
    return (SECRET_SERVICE, _LIBSECRET, _KWALLET)


def candidates(*, trusted: Mapping[str, str], environ: Mapping[str, str], config: Path) -> tuple[str, ...]:
    """
    Return the backends to try, best first: the one that the user has named, else those of the platform.

    Args:
        trusted: The allow-list.
        environ: The environment, where ``PYTHON_KEYRING_BACKEND`` can name a backend.
        config: The ``keyringrc.cfg``, which can name one too.

    Raises:
        UntrustedKeyring: If the one that is named is not trusted: it is not even imported.
    """
    name, place = environ.get(_VARIABLE), _VARIABLE
    if name is None:
        name, place = _configured(config), str(config)
    if name is None or name == _CHAINER:
        return native()
    if name not in trusted:
        message = (
            f"{place} names the keyring {name}, which is not known to keep secrets safe, so it is not used."
            f" Remove that choice, or name one of {', '.join(trusted)}."
        )
        raise UntrustedKeyring(message)
    return (name,)


def is_secret_service(backend: object) -> bool:
    """Return whether ``backend`` speaks to the Secret Service through ``secretstorage``."""
    kind = type(backend)
    return f"{kind.__module__}.{kind.__qualname__}" == SECRET_SERVICE


def _configured(config: Path) -> str | None:
    parser = configparser.RawConfigParser()
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        message = f"{config} cannot be read ({type(error).__name__}). Mend it or remove it."
        raise UntrustedKeyring(message) from None
    name = parser.get("backend", "default-keyring", fallback=None)
    return None if name is None else name.strip()


# The collection that is the default one, whatever its name.
DEFAULT: Final = "/org/freedesktop/secrets/aliases/default"

State = Literal["absent", "locked", "open"]


def state(collection: str = DEFAULT) -> State:
    """Return how the collection is, without asking the user for anything."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return "locked" if secretstorage.Collection(bus, collection).is_locked() else "open"
        except secretstorage.ItemNotFoundException:
            return "absent"


def unlock(collection: str = DEFAULT, *, unlock_seconds: float) -> bool:
    """
    Unlock the collection; the service asks the user for the password, if there is a screen to ask on.

    Args:
        collection: Its object path.
        unlock_seconds: Seconds that the user has. Then the question is taken back.

    Returns:
        Whether it is open.
    """
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        keys = secretstorage.Collection(bus, collection)
        try:
            keys.unlock(timeout=unlock_seconds)
        except TimeoutError:
            return False
        return not keys.is_locked()


def make() -> bool:
    """Make a default collection; the service asks the user for its new password. Return whether there is one now."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            secretstorage.create_collection(bus, "Default", "default")
        except secretstorage.PromptDismissedException:
            return False
        return True


def is_locked_error(error: BaseException) -> bool:
    """Whether ``error`` says that the user has not unlocked something."""
    # What was never imported did not raise it.
    errors = sys.modules.get("secretstorage.exceptions")
    return errors is not None and isinstance(error, (errors.LockedException, errors.PromptDismissedException))
