"""The StatusNotifierItem backend, running on a thread of the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from upstash_helper_tray.backends import factory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECONDS = 30.0


def icon_class() -> Any:
    """Return the icon class. After this, pystray can be imported without a display."""
    return factory.icon_class("statusnotifier")


class RunningIcon:
    """An icon whose ``run`` is executing on a separate thread."""

    def __init__(self, icon: Any) -> None:
        self.icon = icon
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, icon: Any) -> AsyncIterator[RunningIcon]:
        """Run an icon for the duration of the block."""
        running = cls(icon)
        running.thread.start()
        try:
            await eventually(lambda: running.ready.is_set() or running.error is not None)
            yield running
        finally:
            icon.stop()
            await running.ended()

    async def ended(self) -> None:
        """Wait until ``run`` has returned."""
        await eventually(lambda: not self.thread.is_alive())

    def _run(self) -> None:
        def begin(icon: Any) -> None:
            icon.visible = True
            self.ready.set()

        try:
            self.icon.run(setup=begin)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error


async def eventually(condition: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """Wait until a condition holds, without blocking the test's event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {seconds:g} s"
        await asyncio.sleep(0.005)
