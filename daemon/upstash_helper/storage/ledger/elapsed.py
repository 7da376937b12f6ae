"""
The ledger's own measure of time, for everything that is removed when it is old.

The machine's clock can be wrong for a while: a dead battery, a wrong time zone, a virtual machine that is resumed. If
ages were computed from it, a single wrong reading could remove every app and the whole audit. So the ledger counts the
seconds that have certainly passed: those for which the daemon was running, by a clock that never goes back, and between
two runs those that the machine's clock reports, up to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

MAX_GAP_SECONDS: Final = 7 * 86_400.0
"""The most that counts between two runs, so a clock that is far ahead at a start has no larger effect."""
_SAVE_SECONDS: Final = 60.0


class ElapsedTime:
    """Counts seconds since the ledger was created. Used in the ledger's thread, inside a transaction."""

    def __init__(self, *, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        """
        Args:
            monotonic: Seconds that never go back.
            wall: The Unix time.
        """
        self._monotonic = monotonic
        self._wall = wall
        self._base: float | None = None
        self._began = 0.0
        self._saved_at = float("-inf")

    @property
    def is_used(self) -> bool:
        """Whether there is anything to save."""
        return self._base is not None

    def now(self, connection: sqlite3.Connection) -> float:
        """Return the seconds that have passed."""
        if self._base is None:
            self._began = self._monotonic()
            row = connection.execute("SELECT elapsed, wall FROM elapsed").fetchone()
            gap = 0.0 if row is None else min(max(0.0, self._wall() - row["wall"]), MAX_GAP_SECONDS)
            self._base = (0.0 if row is None else row["elapsed"]) + gap
        return self._base + self._monotonic() - self._began

    def save(self, connection: sqlite3.Connection, *, always: bool = False) -> None:
        """Save the count for the next run, unless that was done a moment ago."""
        now = self.now(connection)
        if always or self._monotonic() - self._saved_at >= _SAVE_SECONDS:
            connection.execute(
                "INSERT OR REPLACE INTO elapsed (only_row, elapsed, wall) VALUES (1, ?, ?)", (now, self._wall())
            )
            self._saved_at = self._monotonic()
