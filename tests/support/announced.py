"""A daemon in the test's process that command lines can find."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.daemon import clean_environment
from upstash_helper import __version__
from upstash_helper.api.resources.daemon import API_VERSION
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.world import World


@contextmanager
def announced(world: World, home: Path) -> Iterator[dict[str, str]]:
    """Announce ``world`` below ``home`` like a daemon's process. Yield the environment of a command line."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    lock = InstanceLock(runtime)
    lock.acquire()
    try:
        port = world.settings.port
        found = discovery.Discovery(
            pid=os.getpid(),
            port=port,
            base_url=f"http://127.0.0.1:{port}",
            owner_token=world.owner,
            version=__version__,
            api_version=API_VERSION,
            proves=True,
        )
        discovery.write(runtime, found)
        yield {**clean_environment(), "UPSTASH_HELPER_HOME": str(home)}
    finally:
        lock.release()
