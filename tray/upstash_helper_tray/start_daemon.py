"""Starting the daemon as the user would: by the command line, which knows how, and says in words why it cannot."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import msgspec

from upstash_helper.system.processes import command_line

LONGEST_SECONDS: Final = 60.0
"""The command gives up by itself long before this."""
_LONGEST_WORDS: Final = 300


class StartFailed(Exception):
    """The daemon did not start. ``str()`` is for the user."""


class _Problem(msgspec.Struct):
    detail: str


def start_daemon(profile: str, *, patience: float = LONGEST_SECONDS) -> None:
    """
    Start the daemon of a profile, and return once it answers.

    Raises:
        StartFailed: If it does not.
    """
    command = command_line("--profile", profile, "start", "--json")
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False, creationflags=_FLAGS
        )
    except subprocess.TimeoutExpired:
        raise StartFailed(f"The helper did not start within {patience:.0f} seconds.") from None
    except OSError as error:
        raise StartFailed(f"The helper could not be started: {error.strerror}.") from None
    if ended.returncode != 0:
        raise StartFailed(_reason(ended.stderr))


def _reason(said: bytes) -> str:
    try:
        detail = msgspec.json.decode(said.strip().rpartition(b"\n")[2], type=_Problem).detail
    except msgspec.MsgspecError:
        return "The helper did not start. Try in a terminal: upstash-helper start"
    return detail if len(detail) <= _LONGEST_WORDS else f"{detail[:_LONGEST_WORDS]}…"


if sys.platform == "win32":
    _FLAGS: Final = subprocess.CREATE_NO_WINDOW  # else a console would flash up
else:
    _FLAGS: Final = 0
