"""Programs that ``doctor`` runs to learn something, each within its time, and never longer than this one lives."""

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

_Said = TypeVar("_Said", bound=msgspec.Struct)

_LAST_SECONDS: Final = 1.0

_RUNNING: Final[set[subprocess.Popen[str]]] = set()


class Ended(NamedTuple):
    """A program that has ended, or was ended."""

    code: int | None
    """None: it was ended because its time was over."""
    out: str
    err: str

    def last_line(self, kind: type[_Said]) -> _Said | None:
        """Return the JSON on the last line of its output; None if there is none, or another."""
        try:
            return msgspec.json.decode(self.out.strip().rpartition("\n")[2], type=kind)
        except msgspec.MsgspecError:
            return None


def run(command: Sequence[str], *, seconds: float) -> Ended:
    """
    Run a program without input, and return what it said.

    Args:
        command: The program and its arguments.
        seconds: How long it has. Then it is killed, with what it has started.

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
        **_ALONE,
    )
    _RUNNING.add(program)
    with program:
        try:
            out, err = program.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(program)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.communicate(timeout=_LAST_SECONDS)
            return Ended(None, "", "")
        finally:
            _RUNNING.discard(program)
    return Ended(program.returncode, out, err)


@atexit.register
def _end_all() -> None:
    """End what still runs when this program is interrupted, or does not wait for a check any longer."""
    for program in tuple(_RUNNING):
        _kill(program)


if sys.platform == "win32":
    _ALONE: Final[dict[str, Any]] = {"creationflags": subprocess.CREATE_NO_WINDOW}

    def _kill(program: subprocess.Popen[str]) -> None:
        program.kill()

else:
    # A group of its own: what it has started is killed with it, and Ctrl-C is for this program.
    _ALONE: Final[dict[str, Any]] = {"start_new_session": True}

    def _kill(program: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
