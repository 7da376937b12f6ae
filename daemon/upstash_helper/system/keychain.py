"""
What the statuses of the macOS Keychain mean for the user (Security.framework, SecBase.h).

The Keychain remembers which program has stored an entry, by the program's signature, and asks the user before another
one may read it. Here the program is Python. Homebrew, pyenv, and uv sign it "ad hoc", so that each update is another
program: macOS asks again, and does not let the new Python replace the entry of the old one.
"""

from __future__ import annotations

import shlex
from typing import Final

KIND: Final = "macOS Keychain"

USER_CANCELED: Final = -128
NOT_OWNER: Final = frozenset({-25243, -25244})
"""errSecNoAccessForItem and errSecInvalidOwnerEdit: another program has stored the entry."""
AUTH_FAILED: Final = -25293
NO_DEFAULT_KEYCHAIN: Final = -25307
INTERACTION_NOT_ALLOWED: Final = -25308

ALLOW: Final = "enter your login password, and click Always Allow"

LOCKED: Final = {
    USER_CANCELED: (
        f"You did not allow Python to use upstash-helper's entry in the {KIND}. Try again: when macOS asks, {ALLOW}."
    ),
    AUTH_FAILED: (
        f"The {KIND} did not accept the password, or does not allow Python to use upstash-helper's entry. Try again: "
        f"when macOS asks, {ALLOW}."
    ),
    INTERACTION_NOT_ALLOWED: (
        f"The {KIND} is locked, and macOS cannot ask you for its password here, as over SSH. Log in to this Mac's "
        "desktop, or unlock it with: security unlock-keychain"
    ),
}
"""The statuses after which the user can unlock the entry, or allow its use."""

ASKING: Final = (
    "macOS may be asking whether Python may use upstash-helper's entry, as it does after each update of Python: "
    f"{ALLOW}, then try again."
)


def status_of(error: BaseException) -> int | None:
    """Return the status in an error of the keyring library's backend for macOS, or None if there is none."""
    cause = error.__cause__
    status = cause.args[0] if cause is not None and cause.args else None
    return status if isinstance(status, int) and not isinstance(status, bool) and status < 0 else None


def delete_command(service: str, account: str) -> str:
    """Return the command that deletes an entry (security(1))."""
    return shlex.join(("security", "delete-generic-password", "-s", service, "-a", account))


def not_replaced(service: str, account: str) -> str:
    """Return the message for an entry that macOS does not let this Python replace."""
    return (
        f"The {KIND} does not let this Python replace the entry that another version of Python stored. Delete that one "
        f"in Keychain Access, where it is named {service!r}, or with this command, then try again: "
        f"{delete_command(service, account)}"
    )


def failed(status: int) -> str:
    """Return the message for any other status."""
    if status == NO_DEFAULT_KEYCHAIN:
        return f"There is no default {KIND}. Choose one in Keychain Access, then try again."
    return f"The {KIND} failed with status {status}. For what that means, run: security error {status}"
