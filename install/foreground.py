"""Running a program in this terminal: it handles Ctrl-C and signals, and its exit code is passed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from install.progress import CommandFailed, SetupError, say


def replace_process(command: Sequence[str]) -> int:
    """Replace this process with a program. Windows cannot do this: there, run it and return its exit code."""
    if sys.platform == "win32":
        return run(command)
    return os.execv(command[0], [*command])  # noqa: S606 - no shell is involved


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """
    Run a program and return its exit code; 128 + n if signal n terminated it, as in a shell.

    The terminal sends Ctrl-C to the program, and a SIGTERM to this process is forwarded to it.
    """
    child: subprocess.Popen[bytes] | None = None
    terminated_early = False

    def forward(_signal: int, _frame: FrameType | None) -> None:
        nonlocal terminated_early
        if child is None:
            terminated_early = True
        else:
            child.terminate()

    # A handler, because the program would inherit SIG_IGN.
    interrupt = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    terminate = signal.signal(signal.SIGTERM, forward)
    try:
        child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})})
        if terminated_early:
            # The signal arrived before Popen returned.
            child.terminate()
        code = child.wait()
    except OSError as error:
        raise SetupError(f"Cannot start {command[0]}: {error.strerror}.") from error
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)
    return code if code >= 0 else 128 - code


def run_main(main: Callable[[list[str]], int]) -> NoReturn:
    """Run the ``main`` of a script and exit. Errors are printed as a message, without a traceback."""
    # A module of the checkout, which may not be installed yet. It needs only the standard library.
    sys.path.append(str(Path(__file__).absolute().parent.parent / "daemon"))
    if sys.platform != "win32":
        # With a permissive umask, every user could change the programs that pip and venv write.
        os.umask(os.umask(0o022) | 0o022)
    from upstash_helper.system import console

    sys.exit(console.run(lambda: _exit_code(main)))


def _exit_code(main: Callable[[list[str]], int]) -> int:
    try:
        return main(sys.argv[1:])
    except CommandFailed as error:
        say(f"{error.output}\n\n{error}" if error.output else str(error))
    except SetupError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("\nInterrupted. Run the same command again to continue.")
        return 130
    return 1
