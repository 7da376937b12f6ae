"""
Keeps a click in the menu from deciding something that the user has not had the time to read.

A menu can open or change under the pointer: a request is withdrawn, another one arrives, or the connection changes, and
the entries move. So a choice that matters counts only if the menu has stayed as it is for a while.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from upstash_helper_tray.menu.actions import (
    AllowQuestion,
    Approve,
    Block,
    CancelConnect,
    Deny,
    DenyQuestion,
    Disconnect,
    KeepAccount,
    ReplaceAccount,
    Revoke,
    StopDaemon,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.menu.actions import Action

SETTLE_SECONDS: Final = 0.9
"""For how long the menu may not have changed before a choice counts."""

GUARDED: Final = (
    Approve,
    Deny,
    Block,
    AllowQuestion,
    DenyQuestion,
    Revoke,
    ReplaceAccount,
    KeepAccount,
    CancelConnect,
    Disconnect,
    StopDaemon,
)
"""Actions that decide about an app or its sign-in, or that end something. The others can be undone, or only show."""


class ChoiceGuard:
    """Knows when the menu was opened or changed last. Its methods may be called from any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: The time in seconds, which never goes back.
        """
        self._clock = clock
        self._since = clock()

    def restart(self) -> None:
        """Record that the menu, or a part of it, has just changed or opened."""
        self._since = self._clock()

    def accepts(self, action: Action) -> bool:
        """Return whether to carry out ``action``, which was chosen now."""
        return not isinstance(action, GUARDED) or self._clock() - self._since >= SETTLE_SECONDS
