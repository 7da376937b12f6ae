"""Run a program in this terminal in such a way that Ctrl-C, signals and the exit code are the program's own."""

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


def become(command: Sequence[str]) -> int:
    """Go on as ``command``; on Windows, which knows no such thing, run it and return its exit code."""
    if sys.platform == "win32":
        return run(command)
    return os.execv(command[0], [*command])  # noqa: S606 - there is no shell to pass


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """
    Run ``command`` to its end and return its exit code; 128 + n if signal n ended it, as a shell says it.

    Ctrl-C reaches it from the terminal, and a SIGTERM to this process is passed on: whether to end is its decision.
    """
    child: subprocess.Popen[bytes] | None = None
    early = False

    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        nonlocal early
        if child is None:
            early = True
        else:
            child.terminate()

    # A handler, because SIG_IGN would be inherited.
    interrupt = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    terminate = signal.signal(signal.SIGTERM, pass_on)
    try:
        child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})})
        if early:
            # It came while the program was being started, which runs already before that is over.
            child.terminate()
        code = child.wait()
    except OSError as error:
        raise SetupError(f"{command[0]} could not be started ({error.strerror}).") from error
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)
    return code if code >= 0 else 128 - code


def guarded(main: Callable[[list[str]], int]) -> NoReturn:
    """Run the ``main`` of a script; what stops it is said in a sentence, never in a traceback."""
    try:
        code = main(sys.argv[1:])
    except CommandFailed as error:
        say(f"{error.output}\n\n{error}" if error.output else str(error))
        code = 1
    except SetupError as error:
        say(str(error))
        code = 1
    except KeyboardInterrupt:
        say("\nInterrupted. The same command goes on from here.")
        code = 130
    sys.exit(code)
