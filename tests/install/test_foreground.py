"""Running a program in the foreground: Ctrl-C, signals, and exit codes."""

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

# Prints when it is ready, then waits. On KeyboardInterrupt it exits with 42.
WAITING = (
    "import sys, signal\n"
    "try:\n"
    "    print('ready', flush=True)\n"
    "    sys.stdin.readline()\n"
    "except KeyboardInterrupt:\n"
    "    sys.exit(42)\n"
)


def start(code: str) -> subprocess.Popen[str]:
    """Run ``code`` in a new process group, like a terminal."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for the process and return its output. Its input stays open until then, because it exits at end of input."""
    process.wait(timeout=30)
    return process.communicate()


def test_exit_code_is_passed_on() -> None:
    """
    The result is the program's exit code.
    """
    assert foreground.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@posix
def test_exit_code_of_a_killed_program_is_that_of_a_shell() -> None:
    """
    The result for a killed program is 128 + the signal's number.
    """
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    assert foreground.run([sys.executable, "-c", code]) == 128 + 9


def test_variables_are_added_to_the_environment(capfd: pytest.CaptureFixture[str]) -> None:
    """
    The program has the environment of this process and the added variables.
    """
    code = "import os; print(os.environ['ADDED'], len(os.environ) > 1)"

    foreground.run([sys.executable, "-c", code], env={"ADDED": "yes"})

    assert capfd.readouterr().out == "yes True\n"


def test_missing_program_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    """
    A program that cannot be started is a `SetupError`.
    """
    with pytest.raises(SetupError, match="Cannot start"):
        foreground.run([str(tmp_path / "python")])


@posix
def test_program_handles_ctrl_c() -> None:
    """
    The program receives Ctrl-C, and the script waits for it and returns its exit code.
    """
    process = start(
        f"import sys; from install.foreground import run; sys.exit(run([sys.executable, '-c', {WAITING!r}]))"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    os.killpg(process.pid, signal.SIGINT)
    _, errors = ended(process)

    assert process.returncode == 42
    assert not errors


@posix
def test_sigterm_is_forwarded() -> None:
    """
    SIGTERM to the script also terminates the program.
    """
    process = start(
        f"import sys; from install.foreground import run; sys.exit(run([sys.executable, '-c', {WAITING!r}]))"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.terminate()
    ended(process)

    assert process.returncode == 128 + signal.SIGTERM


@posix
def test_ctrl_c_during_a_setup_prints_a_message() -> None:
    """
    An interrupted setup prints how to continue, without a traceback.
    """
    code = (
        "from install.foreground import run_main; from install.progress import run_quietly\n"
        "import pathlib, sys\n"
        "def main(arguments):\n"
        "    print('ready', flush=True)\n"
        "    run_quietly('Waiting', [sys.executable, '-c', 'import time; time.sleep(600)'], cwd=pathlib.Path('.'))\n"
        "run_main(main)\n"
    )
    process = start(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    os.killpg(process.pid, signal.SIGINT)
    _, errors = ended(process)

    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "Interrupted. Run the same command again to continue."
    assert "Traceback" not in errors


def test_error_prints_the_output_and_a_message() -> None:
    """
    After an error, the script prints the installer's output and a message, without a traceback, and exits with 1.
    """
    code = (
        "from install.foreground import run_main; from install.progress import CommandFailed\n"
        "def main(arguments):\n"
        "    raise CommandFailed('Installing failed: no network.', 'output of pip')\n"
        "run_main(main)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "output of pip\n\nInstalling failed: no network.\n"


@posix
def test_no_file_is_created_for_others_to_write() -> None:
    """
    A script without a umask, as in some containers, creates programs that only the user can change.
    """
    code = (
        "import os, subprocess, sys\n"
        "from install.foreground import run_main\n"
        "os.umask(0)\n"
        "run_main(lambda _: print(subprocess.check_output(['sh', '-c', 'umask'], text=True)) or 0)\n"
    )
    process = start(code)

    assert "0022" == ended(process)[0].strip()
