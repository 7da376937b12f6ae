"""
What the ``keyring`` library does not do with a Secret Service (GNOME Keyring, KeePassXC, KWallet).

It unlocks without a limit of time; makes a collection, which asks the user for a password, even to read what cannot be
there; and leaves its connection to the bus open when that fails.
https://specifications.freedesktop.org/secret-service-spec/latest/
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# The collection that is the default one, whatever its name.
DEFAULT: Final = "/org/freedesktop/secrets/aliases/default"

_ADDRESS: Final = "DBUS_SESSION_BUS_ADDRESS"

State = Literal["absent", "locked", "open"]


def find_session_bus(environ: MutableMapping[str, str] = os.environ) -> None:
    """
    Name the user's session bus in ``environ`` if nothing does, as for a daemon started by cron or over SSH.

    systemd puts it at a fixed place, and libdbus looks there by itself; the ``jeepney`` library does not.
    """
    if sys.platform == "win32" or _ADDRESS in environ:
        return
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    bus = Path(runtime, "bus")
    try:
        found = bus.lstat()
    except OSError:
        return
    # Another user's socket would be given our secrets.
    if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid():
        environ[_ADDRESS] = f"unix:path={bus}"


def state(collection: str = DEFAULT) -> State:
    """Return how the collection is, without asking the user for anything."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return "locked" if secretstorage.Collection(bus, collection).is_locked() else "open"
        except secretstorage.ItemNotFoundException:
            return "absent"


def unlock(collection: str = DEFAULT, *, patience: float) -> bool:
    """
    Unlock the collection; the service asks the user for the password, if there is a screen to ask on.

    Args:
        collection: Its object path.
        patience: Seconds that the user has. Then the question is taken back.

    Returns:
        Whether it is open.
    """
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        keys = secretstorage.Collection(bus, collection)
        try:
            keys.unlock(timeout=patience)
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


def says_locked(error: BaseException) -> bool:
    """Whether ``error`` says that the user has not unlocked something."""
    # What was never imported did not raise it.
    errors = sys.modules.get("secretstorage.exceptions")
    return errors is not None and isinstance(error, (errors.LockedException, errors.PromptDismissedException))
