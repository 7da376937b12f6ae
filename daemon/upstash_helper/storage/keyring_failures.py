"""
What a keyring raises, in the words of the domain: locked or unavailable.

Not all of it is a ``KeyringError``: the bus, the service behind it and the system's own libraries have errors too.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.storage import backends
from upstash_helper.system import keyrings

_log = logging.getLogger(__name__)

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
        f" desktop's password tool. {backends.OTHERWISE}"
    )


def explain(error: BaseException, *, kind: str) -> StoreLocked | StoreUnavailable:
    """Say what went wrong, without the text of an error that is not ours: it may quote what it was given."""
    if isinstance(error, (StoreLocked, StoreUnavailable)):
        return error.with_traceback(None)  # its frames held the key
    if _is(error, "KeyringLocked") or keyrings.says_locked(error) or _asked_nobody(error):
        return locked(kind)
    if _is(error, "InitError"):
        return none_yet(kind)
    _log.warning("The keyring failed: %s.", type(error).__name__)
    return StoreUnavailable(
        f"The keyring ({kind}) failed ({type(error).__name__}). See that it is running, then try again."
        f" {backends.OTHERWISE}"
    )


def _is(error: BaseException, name: str) -> bool:
    # What was never imported did not raise it, and importing it here would hold up the event loop.
    errors = sys.modules.get("keyring.errors")
    return errors is not None and isinstance(error, getattr(errors, name))


def _asked_nobody(error: BaseException) -> bool:
    cause = error.__cause__
    return cause is not None and cause.args[:1] == (_INTERACTION_NOT_ALLOWED,)
