"""Demos take turns: each takes port 3000 if it can, and of two that start at the same moment one may find it taken."""

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
    """Wait until no other test of this machine runs a demo, and keep them waiting meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"upstash-helper-tests-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with InstanceLock(folder, timeout=_SECONDS, file="demo.lock"):
        yield
