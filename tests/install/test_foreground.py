"""Ctrl-C, signals and exit codes are those of the program that a script starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from install import foreground
from install.environment import ROOT
from install.progress import SetupError

posix = pytest.mark.skipif(sys.platform == "win32", reason="platform: signals of POSIX")

# Says when it is ready, then waits; a signal that Python turns into KeyboardInterrupt ends it with 42.
PATIENT = (
    "import sys, signal\n"
    "try:\n"
    "    print('ready', flush=True)\n"
    "    sys.stdin.readline()\n"
    "except KeyboardInterrupt:\n"
    "    sys.exit(42)\n"
)


def start(code: str) -> subprocess.Popen[str]:
    """Start ``code`` in a process group of its own, as a terminal does."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait until it has ended, and return what it printed. Its input stays open so long: it would end by that too."""
    process.wait(timeout=30)
    return process.communicate()


def test_an_exit_code_is_passed_on() -> None:
    """
    A script ends with the exit code of what it ran.
    """
    assert foreground.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@posix
def test_a_death_by_signal_is_told_as_shells_do() -> None:
    """
    A program that was killed is not taken for one that succeeded.
    """
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    assert foreground.run([sys.executable, "-c", code]) == 128 + 9


def test_variables_are_added_to_the_present_ones(capfd: pytest.CaptureFixture[str]) -> None:
    """
    The program sees what this process sees, and what is added.
    """
    code = "import os; print(os.environ['ADDED'], len(os.environ) > 1)"

    foreground.run([sys.executable, "-c", code], env={"ADDED": "yes"})

    assert capfd.readouterr().out == "yes True\n"


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """
    No traceback for an environment that somebody deleted meanwhile.
    """
    with pytest.raises(SetupError, match="could not be started"):
        foreground.run([str(tmp_path / "python")])


@posix
def test_ctrl_c_is_the_programs_to_handle() -> None:
    """
    Ctrl-C reaches the program, and the script waits for it and ends with its exit code.
    """
    process = start(
        f"import sys; from install.foreground import run; sys.exit(run([sys.executable, '-c', {PATIENT!r}]))"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    os.killpg(process.pid, signal.SIGINT)
    _, errors = ended(process)

    assert process.returncode == 42
    assert not errors


@posix
def test_a_request_to_end_is_passed_on() -> None:
    """
    A service manager that ends the script ends the program with it.
    """
    process = start(
        f"import sys; from install.foreground import run; sys.exit(run([sys.executable, '-c', {PATIENT!r}]))"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.terminate()
    ended(process)

    assert process.returncode == 128 + signal.SIGTERM


@posix
def test_ctrl_c_during_a_set_up_is_a_sentence() -> None:
    """
    A set-up that is interrupted says that it can be gone on with, and nothing of its insides.
    """
    code = (
        "from install.foreground import guarded; from install.progress import run_quietly\n"
        "import pathlib, sys\n"
        "def main(arguments):\n"
        "    print('ready', flush=True)\n"
        "    run_quietly('Waiting', [sys.executable, '-c', 'import time; time.sleep(600)'], cwd=pathlib.Path('.'))\n"
        "guarded(main)\n"
    )
    process = start(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    os.killpg(process.pid, signal.SIGINT)
    _, errors = ended(process)

    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "Interrupted. The same command goes on from here."
    assert "Traceback" not in errors


def test_what_stops_a_set_up_is_a_sentence() -> None:
    """
    An error ends the script with exit code 1, what the installer said, and a sentence; no traceback.
    """
    code = (
        "from install.foreground import guarded; from install.progress import CommandFailed\n"
        "def main(arguments):\n"
        "    raise CommandFailed('Installing failed: no network.', 'pip said this')\n"
        "guarded(main)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "pip said this\n\nInstalling failed: no network.\n"
