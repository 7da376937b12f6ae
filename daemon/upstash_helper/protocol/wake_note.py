"""
The note of the address where a service manager listens for the daemon: connecting there starts it.

The daemon writes it to the state folder, where it survives the daemon's exit and a reboot. It is not secret. Nothing
secret is sent to the address it names: the owner's token is only sent to a daemon that has announced itself in the
runtime folder and holds the lock.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from upstash_helper.protocol import discovery
from upstash_helper.system import open_files, private_files

FILE: Final = "activation.json"
_MAX_BYTES: Final = 16_384


class WakeNote(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    base_url: str
    format: int = discovery.FORMAT

    @property
    def port(self) -> int:
        """The port, or 0 if the URL is not an address of a daemon on this machine."""
        with contextlib.suppress(ValueError):
            parts = urlsplit(self.base_url)
            if parts.scheme == "http" and parts.hostname == "127.0.0.1":
                return parts.port or 0
        return 0


def write(state: Path, base_url: str) -> None:
    """
    Note in the profile's state folder that connecting to ``base_url`` starts the daemon.

    Raises:
        OSError: If the file cannot be written.
    """
    private_files.make_folder(state)
    private_files.write(state / FILE, msgspec.json.encode(WakeNote(base_url=base_url)))


def read(state: Path) -> WakeNote | None:
    """Return the note, or None if there is none, or none that can be trusted."""
    try:
        content = private_files.read(state / FILE, limit=_MAX_BYTES)
        if content is None:
            return None
        note = msgspec.json.decode(content, type=WakeNote)
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None
    return note if note.port else None


def remove(state: Path) -> None:
    """Remove the note, if there is one."""
    open_files.remove(state / FILE)
