"""Starting our own programs: the command line of a module, and processes that outlive their parent."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HOME: Final = "UPSTASH_HELPER_HOME"


def command_line(*arguments: str, module: str = "upstash_helper") -> list[str]:
    """Return the command that runs ``module`` with the current Python interpreter."""
    # -P keeps the working directory off sys.path: a click.py there must not shadow ours.
    return [sys.executable, "-P", "-m", module, *arguments]


def start_detached(
    command: Sequence[str], *, output: Path, folder: Path, stdin: int | None = None
) -> subprocess.Popen[bytes]:
    """
    Start a process that outlives this one and its terminal.

    Args:
        command: The program and its arguments.
        output: The file that receives its stdout and stderr.
        folder: Its working directory. Not the user's: that one could then not be unmounted or removed.
        stdin: What it reads from. Default: nothing.

    Raises:
        OSError: If it cannot be started.
    """
    with open(output, "wb", opener=private_files.opener) as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=_environment(),
            close_fds=True,
            **DETACHED,
        )


def _environment() -> dict[str, str]:
    """Return our environment. A relative path in it is one of our working directory, so it is made absolute."""
    home = os.environ.get(_HOME)
    absolute = {_HOME: os.path.abspath(os.path.expanduser(home))} if home else {}  # noqa: PTH100, PTH111 - never fail
    return {**os.environ, **absolute}


def tail(path: Path, *, lines: int = 20) -> str:
    """Return the last lines of a text file, or an empty string if it cannot be read."""
    try:
        text = open_files.read_bytes(path).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


if sys.platform == "win32":
    DETACHED: Final[dict[str, Any]] = {
        "creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP,
    }
else:
    DETACHED: Final[dict[str, Any]] = {"start_new_session": True}
