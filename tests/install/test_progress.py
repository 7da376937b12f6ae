"""Progress messages of a setup: short, unless a step takes long or fails."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from install import progress
from install.progress import CommandFailed, reason_in, run_quietly, tail_of


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("error: dns error\n  failed to lookup address information", "the network did not respond"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "the network did not respond"),
        ("ReadTimeoutError: Read timed out.", "the network did not respond"),
        ("ProxyError('Cannot connect to proxy.')", "the network did not respond"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "differs from the pinned one"),
        ("error: Hash mismatch for `aiohttp==3.14.5`", "differs from the pinned one"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: command 'gcc' failed", "see the output above"),
    ],
)
def test_reason_is_derived_from_the_output(output: str, reason: str) -> None:
    """
    Common reasons, such as no network or a full disk, are recognized in an installer's output.
    """
    assert reason in reason_in(output)


def test_success_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """
    The output of a program that succeeds is not shown.
    """
    run_quietly("Counting", [sys.executable, "-c", "print('one, two, three')"], cwd=tmp_path)

    assert "one, two, three" not in "".join(capfd.readouterr())


def test_failure_has_a_message_and_the_output(tmp_path: Path) -> None:
    """
    The error names the failed step and the reason, and has the end of the program's output.
    """
    with pytest.raises(CommandFailed, match="Counting failed: the disk is full") as caught:
        run_quietly("Counting", [sys.executable, "-c", "exit('one, two, no space left on device')"], cwd=tmp_path)

    assert caught.value.output == "one, two, no space left on device"


def test_missing_program_is_named(tmp_path: Path) -> None:
    """
    If a program cannot be started, the error names it.
    """
    with pytest.raises(CommandFailed, match=r"cannot start .*no-such-program"):
        run_quietly("Counting", [str(tmp_path / "no-such-program")], cwd=tmp_path)


def test_slow_step_prints_its_label_and_duration(capsys: pytest.CaptureFixture[str]) -> None:
    """
    After a second the label is printed, and at the end the duration.
    """
    with progress.timed("Counting") as notice:
        notice.join()

    begin, end = capsys.readouterr().err.splitlines()
    assert begin == "Counting ..."
    assert re.fullmatch(r"Counting: \d+\.\d s", end)


def test_only_the_end_of_long_output_is_kept() -> None:
    """
    Only the last 25 lines of the output are kept.
    """
    output = "\n".join(str(number) for number in range(100))

    assert tail_of(output).splitlines()[-1] == "99"
    assert len(tail_of(output).splitlines()) == 25
