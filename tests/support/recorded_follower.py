"""A follower of the daemon that records every state."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from upstash_helper_tray.sync.follow import Follower
from upstash_helper_tray.sync.state import StateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from upstash_helper.client.events import Event
    from upstash_helper_tray.sync.state import TrayState


class RecordedFollower:
    """A follower, its store, and every state that the store has reported."""

    def __init__(self, runtime: Path, **options: Any) -> None:
        self.states: list[TrayState] = []
        self.store = StateStore(self._record)
        self.follower = Follower(self.store, runtime=runtime, **options)

    @classmethod
    @contextlib.contextmanager
    def following(cls, runtime: Path, **options: Any) -> Iterator[RecordedFollower]:
        """Follow the daemon of a runtime folder for the duration of the block."""
        recorded = cls(runtime, **options)
        recorded.follower.start()
        try:
            yield recorded
        finally:
            recorded.follower.stop()

    @property
    def now(self) -> TrayState:
        """The current state."""
        return self.store.current

    @property
    def connection_states(self) -> list[str]:
        """The connection's states, or the daemon's while there is no connection, without repetitions."""
        states = [state.connection.state if state.connection else state.daemon for state in self.states]
        return [state for state, before in zip(states, [None, *states], strict=False) if state != before]

    def _record(self, _before: TrayState, after: TrayState, _event: Event | None) -> None:
        self.states.append(after)
