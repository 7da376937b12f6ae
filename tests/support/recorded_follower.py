"""A follower of the daemon, and all that it showed."""

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
    """A follower, and all that it showed."""

    def __init__(self, runtime: Path, **options: Any) -> None:
        self.seen: list[TrayState] = []
        self.views = StateStore(self._note)
        self.follower = Follower(self.views, runtime=runtime, **options)

    @classmethod
    @contextlib.contextmanager
    def following(cls, runtime: Path, **options: Any) -> Iterator[RecordedFollower]:
        """Follow until the block is left."""
        watched = cls(runtime, **options)
        watched.follower.start()
        try:
            yield watched
        finally:
            watched.follower.stop()

    @property
    def now(self) -> TrayState:
        """What is shown."""
        return self.views.current

    @property
    def states(self) -> list[str]:
        """The states of the connection that were shown, each once in a row."""
        states = [view.connection.state if view.connection else view.daemon for view in self.seen]
        return [state for state, before in zip(states, [None, *states], strict=False) if state != before]

    def _note(self, _before: TrayState, after: TrayState, _event: Event | None) -> None:
        self.seen.append(after)
