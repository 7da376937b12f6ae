"""Starting the daemon by running ``upstash-helper start``, which explains what went wrong if it fails."""

from __future__ import annotations

from typing import Final

import msgspec

from upstash_helper.system import bounded_run
from upstash_helper.system.processes import command_line

START_TIMEOUT: Final = 60.0
"""Seconds. The command has its own, much shorter, timeout."""
_MAX_DETAIL: Final = 300


class StartFailed(Exception):
    """The daemon did not start. ``str()`` is a sentence for the user."""


class _Problem(msgspec.Struct):
    detail: str


def start_daemon(profile: str, *, timeout: float = START_TIMEOUT) -> None:
    """
    Start the daemon of a profile and wait until it answers.

    Raises:
        StartFailed: If it does not.
    """
    command = command_line("--profile", profile, "start", "--json")
    try:
        result = bounded_run.run(command, seconds=timeout, descendants_live=True)
    except OSError as error:
        raise StartFailed(f"The helper could not be started: {error.strerror}.") from None
    if result.code is None:
        raise StartFailed(f"The helper did not start within {timeout:.0f} seconds.")
    if result.code != 0:
        raise StartFailed(failure_detail(result.err))


def failure_detail(stderr: bytes) -> str:
    """Return the reason that ``upstash-helper start --json`` printed as the last line of its stderr."""
    try:
        detail = msgspec.json.decode(stderr.strip().rpartition(b"\n")[2], type=_Problem).detail
    except msgspec.MsgspecError:
        return "The helper did not start. Try in a terminal: upstash-helper start"
    return detail if len(detail) <= _MAX_DETAIL else f"{detail[:_MAX_DETAIL]}…"
