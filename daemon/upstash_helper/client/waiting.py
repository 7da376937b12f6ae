"""
What a daemon leaves for clients while it waits for its port: who it is, and why it does not answer yet.

It stands in the runtime folder beside the announcement, which there is none of until the daemon serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.protocol import discovery
from upstash_helper.system import token_files

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "waiting.json"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that waits."""

    pid: int
    reason: str
    """Whole sentences, for the user."""
    format: int = discovery.FORMAT


def tell(runtime: Path, waiting: Waiting) -> None:
    """
    Leave word in the profile's runtime folder.

    Raises:
        OSError: If it cannot be written.
    """
    discovery.make_private(runtime)
    token_files.write(runtime / FILE, msgspec.json.encode(waiting))


def over(runtime: Path) -> None:
    """Take it back; without effect if nothing was said."""
    (runtime / FILE).unlink(missing_ok=True)


def found(runtime: Path) -> Waiting | None:
    """Return the daemon that waits; None if none runs, it serves, or what is there cannot be trusted."""
    try:
        told = msgspec.json.decode(token_files.read(runtime / FILE), type=Waiting)
    except (OSError, token_files.NotPrivate, msgspec.MsgspecError):
        return None
    # Whoever is killed while it waits leaves the file behind.
    return told if discovery.is_running(runtime) else None


def reason(runtime: Path) -> str | None:
    """Return what the daemon waits for, if it does."""
    told = found(runtime)
    return None if told is None else told.reason
