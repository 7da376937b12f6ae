"""Programs that ``doctor`` runs. Each has a time limit, and none outlives this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from upstash_helper.system import bounded_run

if TYPE_CHECKING:
    from collections.abc import Sequence

_Output = TypeVar("_Output", bound=msgspec.Struct)


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
    result = bounded_run.run(command, seconds=seconds)
    if result.code is None:
        return ProcessResult(None, "", "")
    return ProcessResult(result.code, *(each.decode(errors="replace") for each in (result.out, result.err)))
