"""Running demos one at a time: each uses port 3000 if it is free, and two at once would race for it."""

from __future__ import annotations

import contextlib
import getpass
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS: Final = 240.0


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Wait until no other test on this machine runs a demo, and keep others waiting."""
    folder = Path(tempfile.gettempdir()) / f"upstash-helper-tests-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with InstanceLock(folder, timeout=_SECONDS, file="demo.lock"):
        yield
