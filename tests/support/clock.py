"""A clock that is moved by hand."""


class FakeClock:
    """The ``Clock`` port: time stands still until a test moves it."""

    def __init__(self, *, now: float = 1_790_000_000.0) -> None:
        self._monotonic = 1000.0
        self._time = now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def time(self) -> float:
        """Return the Unix time."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds
        self._time += seconds

    def set_wall_clock(self, seconds: float) -> None:
        """Move the Unix time alone, as a user or NTP does."""
        self._time += seconds
