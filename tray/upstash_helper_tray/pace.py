"""How long to wait before the next look for the daemon."""

from __future__ import annotations

from typing import Final

_SHORTEST: Final = 0.1
LONGEST_LOOK: Final = 3.0
"""Seconds between two looks for a daemon that is not there: it is found within five. A look is two system calls."""
LONGEST_REFUSAL: Final = 10.0
"""The same for one that is there and of no use: it takes a person to change that."""
GOOD_STREAM: Final = 10.0
"""Seconds after which a stream that broke was no failure."""


class Pace:
    """Counts what fails one after the other, and gives the pauses: each twice as long as the one before."""

    def __init__(self) -> None:
        self._absences = 0
        self._breaks = 0
        self._refusals = 0

    @property
    def absences(self) -> int:
        """Looks in a row that found no daemon."""
        return self._absences

    @property
    def breaks(self) -> int:
        """Streams in a row that broke soon, of a daemon that was there."""
        return self._breaks

    def attached(self) -> None:
        """Note that the daemon is being followed."""
        self._absences = self._refusals = 0

    def after_absence(self) -> float:
        """Return the pause after a look that found no daemon."""
        self._breaks = self._refusals = 0
        self._absences += 1
        return _doubled(_SHORTEST, self._absences, LONGEST_LOOK)

    def after_break(self, lasted: float) -> float:
        """Return the pause after a stream that broke: none after a good one, for then it is the daemon that went."""
        self._breaks = 1 if lasted >= GOOD_STREAM else self._breaks + 1
        return 0.0 if self._breaks == 1 else _doubled(_SHORTEST, self._breaks, LONGEST_REFUSAL)

    def after_refusal(self, retry_after: float | None = None) -> float:
        """Return the pause after the daemon, or what stands in its place, was of no use."""
        self._refusals += 1
        return max(_doubled(1.0, self._refusals, LONGEST_REFUSAL), retry_after or 0.0)


def _doubled(first: float, times: int, longest: float) -> float:
    return float(min(first * 2 ** min(times - 1, 16), longest))
