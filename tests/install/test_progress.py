"""What a set-up says: little, unless something takes long or fails."""

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
        ("error: dns error\n  failed to lookup address information", "the network did not answer"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "the network did not answer"),
        ("ReadTimeoutError: Read timed out.", "the network did not answer"),
        ("ProxyError('Cannot connect to proxy.')", "the network did not answer"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that is pinned"),
        ("error: Hash mismatch for `aiohttp==3.14.5`", "not the one that is pinned"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: command 'gcc' failed", "the lines above say why"),
    ],
)
def test_the_reason_is_told_from_the_output(output: str, reason: str) -> None:
    """
    A person without network, or with a full disk, need not read an installer's output.
    """
    assert reason in reason_in(output)


def test_a_success_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """
    What a program prints on the way to success is not shown.
    """
    run_quietly("Counting", [sys.executable, "-c", "print('one, two, three')"], cwd=tmp_path)

    assert "one, two, three" not in "".join(capfd.readouterr())


def test_a_failure_has_the_last_lines_and_a_sentence(tmp_path: Path) -> None:
    """
    The error says what failed, and keeps what the program said last.
    """
    with pytest.raises(CommandFailed, match="Counting failed: the disk is full") as caught:
        run_quietly("Counting", [sys.executable, "-c", "exit('one, two, no space left on device')"], cwd=tmp_path)

    assert caught.value.output == "one, two, no space left on device"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """
    An installer that cannot be started is an error like any other.
    """
    with pytest.raises(CommandFailed, match="no-such-program could not be started"):
        run_quietly("Counting", [str(tmp_path / "no-such-program")], cwd=tmp_path)


def test_what_takes_long_is_told_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Whoever waits for more than a second reads what for, and in the end how long it took.
    """
    with progress.timed("Counting") as notice:
        notice.join()

    begin, end = capsys.readouterr().err.splitlines()
    assert begin == "Counting ..."
    assert re.fullmatch(r"Counting: \d+\.\d s", end)


def test_only_the_end_of_a_long_output_is_kept() -> None:
    """
    A hundred lines of progress do not hide the error.
    """
    output = "\n".join(str(number) for number in range(100))

    assert tail_of(output).splitlines()[-1] == "99"
    assert len(tail_of(output).splitlines()) == 25
