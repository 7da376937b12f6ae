"""A bound on all the waiting that one call does."""

from __future__ import annotations

import time


class Deadline:
    """Begins to run when it is made."""

    def __init__(self, seconds: float | None) -> None:
        """
        Args:
            seconds: How long the call may wait; None: as long as it takes.
        """
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds that are left; None: no end."""
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``. Return False, at once, if that is longer than what is left."""
        left = self.left
        if left is not None and seconds > left:
            return False
        time.sleep(seconds)
        return True
