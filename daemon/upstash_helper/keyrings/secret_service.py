"""
What the ``keyring`` library does not do with a Secret Service (GNOME Keyring, KeePassXC, KWallet).

It unlocks without a limit of time; makes a collection, which asks the user for a password, even to read what cannot be
there; and leaves its connection to the bus open when that fails.
https://specifications.freedesktop.org/secret-service-spec/latest/
"""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Final, Literal

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
