"""Programs that ``doctor`` runs. Each has a time limit, and none outlives this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_Output = TypeVar("_Output", bound=msgspec.Struct)

_KILL_SECONDS: Final = 1.0

_RUNNING: Final[set[subprocess.Popen[str]]] = set()


class ProcessResult(NamedTuple):
    """The result of a program that exited or was killed."""

    code: int | None
    """None if it was killed at its time limit."""
    out: str
    err: str

    def last_line(self, kind: type[_Output]) -> _Output | None:
        """Return the last line of its output, decoded from JSON; None if it is not of this type."""
        try:
            return msgspec.json.decode(self.out.strip().rpartition("\n")[2], type=kind)
        except msgspec.MsgspecError:
            return None


def run(command: Sequence[str], *, seconds: float) -> ProcessResult:
    """
    Run a program without input, and return its output.

    Args:
        command: The program and its arguments.
        seconds: The time limit. At its end, the program and its children are killed.

    Raises:
        OSError: If it cannot be started.
    """
    program = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        **_PROCESS_GROUP,
    )
    _RUNNING.add(program)
    with program:
        try:
            out, err = program.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(program)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.communicate(timeout=_KILL_SECONDS)
            return ProcessResult(None, "", "")
        finally:
            _RUNNING.discard(program)
    return ProcessResult(program.returncode, out, err)


@atexit.register
def _kill_all() -> None:
    """Kill what is still running when this process exits: it was interrupted, or a check was given up."""
    for program in tuple(_RUNNING):
        _kill(program)


if sys.platform == "win32":
    _PROCESS_GROUP: Final[dict[str, Any]] = {"creationflags": subprocess.CREATE_NO_WINDOW}

    def _kill(program: subprocess.Popen[str]) -> None:
        program.kill()

else:
    # In its own process group: its children are killed with it, and Ctrl-C does not reach it.
    _PROCESS_GROUP: Final[dict[str, Any]] = {"start_new_session": True}

    def _kill(program: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
