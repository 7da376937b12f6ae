"""
Why the keyring could not be used, in words for its user.

A locked keyring, one that asks whether a program may use an entry, and one that fails are told apart: only the first
one needs a password. The text of an error of D-Bus is shown; that of any other error is not, because it may quote the
entry.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from upstash_helper.system import keychain

KWALLET: Final = "KWallet"
KEEPASSXC: Final = "KeePassXC"

Waiting = Literal["", "password", "new", "access"]
"""
What the user is being asked for: nothing, the keyring's password, the password of a new keyring, or permission to use
an entry.
"""

_MAX_TEXT: Final = 300

_UNLOCK: Final[Mapping[str, str]] = MappingProxyType(
    {
        KWALLET: "Open the wallet in KWalletManager, or log in again, then retry.",
        KEEPASSXC: "Unlock the database in KeePassXC, then retry.",
    }
)
_ELSEWHERE: Final = "Unlock it with your desktop's password manager, or log in again, then retry."


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


class NotReplaced(KeyringUnavailable):
    """The entry belongs to another program, in the view of the keyring, and could not be replaced."""


class UntrustedKeyring(KeyringUnavailable):
    """The user has configured a backend that is not on the allow-list."""


class NotText(KeyringUnavailable):
    """The entry holds something other than text, so this program did not store it."""


class NoResponse(KeyringUnavailable):
    """The keyring did not answer in time, and is not known to wait for its user."""


class NotAllowed(KeyringUnavailable):
    """The keyring is open, and its user has not allowed this program to use the entry."""


def locked(kind: str) -> KeyringLocked:
    """Return the error for a keyring that the user has not unlocked."""
    return KeyringLocked(f"The keyring ({kind}) is locked. {_UNLOCK.get(kind, _ELSEWHERE)}")


def not_allowed(kind: str) -> NotAllowed:
    """Return the error for a user who did not allow access to the entry, or its deletion."""
    return NotAllowed(
        f"The keyring ({kind}) is open, but access to the entry was not allowed. Try again, and allow access in"
        f" {kind}'s window."
    )


def has_to_ask(kind: str) -> NotAllowed:
    """Return the error for an entry that the keyring gives only after a prompt, which is not allowed now."""
    return NotAllowed(
        f"The keyring ({kind}) is open, and asks before a program may use an entry. The next command that needs the"
        f" account will prompt you: allow access in {kind}'s window."
    )


def no_keyring_yet(kind: str) -> NoKeyringYet:
    """Return the error for a user who has no keyring, and did not create one when prompted."""
    if kind == KEEPASSXC:
        return NoKeyringYet(
            "KeePassXC has no open database that it shares with other programs. Unlock one, and select a group in its"
            " settings, under Secret Service Integration."
        )
    return NoKeyringYet(
        f"There is no keyring ({kind}) yet, and creating one requires a password that you enter on the desktop. Create"
        " one with your desktop's password manager."
    )


def no_answer(kind: str, seconds: float, *, waiting: Waiting | None) -> KeyringError:
    """
    Return the error for a call that exceeded its deadline of ``seconds``.

    Args:
        kind: The keyring's name.
        seconds: The deadline.
        waiting: What the user is being asked for; None if the keyring does not say.
    """
    match waiting:
        case "new":
            return NoKeyringYet(
                f"There is no keyring ({kind}) yet. A window on the desktop asks for the password of a new one: enter"
                " it, then try again."
            )
        case "access":
            return NotAllowed(
                f"The keyring ({kind}) is open, and asks in a window whether this program may use its entry. Allow"
                " access there, then try again."
            )
        case "":
            return NoResponse(
                f"The keyring ({kind}) did not respond within {seconds:g} seconds. Restart it, or log out and in again."
            )
        case _:
            asking = "It may be waiting for you: unlock it in its password window, then try again."
            if kind == keychain.KIND:
                asking = keychain.ASKING
            return KeyringLocked(f"The keyring ({kind}) did not respond within {seconds:g} seconds. {asking}")


def explain(error: BaseException, *, kind: str, hide: str = "") -> KeyringError:
    """
    Return what a failed call means.

    Args:
        error: What a method of ``KeyringEntry`` raised.
        kind: The keyring's name.
        hide: A text that the error must not quote: the entry that was to be stored.
    """
    if isinstance(error, KeyringError):
        return error.with_traceback(None)  # its frames hold the secret
    if (of_keychain := _of_keychain(error)) is not None:
        return of_keychain
    if _is_instance(error, "KeyringLocked") or _was_dismissed(error):
        return locked(kind)
    if _is_instance(error, "InitError"):
        return no_keyring_yet(kind)
    warn("The keyring failed: %s.", error)
    text = _bus_error(error, hide)
    if text:
        return KeyringUnavailable(f"The keyring ({kind}) failed: {text}. Check that it is running, then try again.")
    return KeyringUnavailable(f"The keyring ({kind}) failed. Check that it is running, then try again.")


def _of_keychain(error: BaseException) -> KeyringError | None:
    """Return what the status of macOS in an error means, or None if there is none."""
    status = keychain.status_of(error) if _is_instance(error, "KeyringError") else None
    if status is None:
        return None
    if status in keychain.LOCKED:
        return KeyringLocked(keychain.LOCKED[status])
    warn("The keyring failed: %s.", error)
    return KeyringUnavailable(keychain.failed(status))


def warn(message: str, error: BaseException) -> None:
    """Log a failure of a backend, with the type of its error."""
    import logging

    logging.getLogger(__name__).warning(message, type(error).__name__)


def _bus_error(error: BaseException, hide: str) -> str:
    """
    Return the name and the text of an error of D-Bus; empty for any other error.

    Secrets are encrypted on the bus, so its errors do not quote them. Known forms of secrets are removed nevertheless.
    """
    from upstash_helper.system.printable import printable
    from upstash_helper.system.redaction import redact_credentials

    reply = _reply_in(error)
    if reply is None:
        return ""
    name, data = str(getattr(reply, "name", "")), getattr(reply, "data", ())
    text = next((it for it in data if isinstance(it, str)), "") if isinstance(data, tuple) else ""
    if hide:
        text = text.replace(hide, "…")
    text = printable(" ".join(redact_credentials(text).split())).rstrip(".")
    text = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return f"{text} ({printable(name)})" if text else printable(name)


def _reply_in(error: BaseException | None) -> BaseException | None:
    """Return the error reply that led to ``error``: itself, or what a library raised it from."""
    wrappers = sys.modules.get("jeepney.wrappers")
    while error is not None and not (wrappers and isinstance(error, wrappers.DBusErrorResponse)):
        error = error.__cause__
    return error


def _is_instance(error: BaseException, name: str) -> bool:
    # A module that was never imported did not raise it, and importing it here would block the event loop.
    errors = sys.modules.get("keyring.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _was_dismissed(error: BaseException) -> bool:
    errors = sys.modules.get("secretstorage.exceptions")
    return errors is not None and isinstance(error, (errors.LockedException, errors.PromptDismissedException))
