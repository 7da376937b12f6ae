"""The paths of a user's installation on each platform. platformdirs is not available before the installation."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from install.installers import python_in
from install.progress import SetupError

PROGRAM = "upstash-helper"


@dataclass(frozen=True)
class Places:
    """The paths of one user's installation."""

    data: Path
    """The program's folder in the user's data folder."""
    launcher: Path
    """The command on the PATH."""
    windows: bool = False

    @property
    def venv(self) -> Path:
        """The environment with the program and its dependencies."""
        return self.data / "venv"

    @property
    def program(self) -> Path:
        """The program in the environment."""
        return python_in(self.venv, windows=self.windows).with_name(f"{PROGRAM}.exe" if self.windows else PROGRAM)


def places(*, platform: str = sys.platform, environ: Mapping[str, str] = os.environ) -> Places:
    """
    Return the paths of the current user's installation.

    Raises:
        SetupError: If the user's folders are unknown.
    """
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        if not local:
            raise SetupError("The variable LOCALAPPDATA is not set. It must name the folder of your programs' data.")
        data = Path(local) / PROGRAM
        # A separate folder for the PATH: the interpreter's folder would also add its `python` and `pip`.
        return Places(data, data / "bin" / f"{PROGRAM}.cmd", windows=True)
    home = _home()
    launcher = home / ".local" / "bin" / PROGRAM
    if platform == "darwin":
        return Places(home / "Library" / "Application Support" / PROGRAM, launcher)
    share = Path(environ.get("XDG_DATA_HOME") or "")
    # Relative paths must be ignored: XDG Base Directory Specification 0.8.
    return Places((share if share.is_absolute() else home / ".local" / "share") / PROGRAM, launcher)


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError as error:
        raise SetupError("Your home folder is unknown: set the variable HOME.") from error
    if not home.is_absolute() or not home.is_dir():
        raise SetupError(f"Your home folder, {home}, does not exist: set the variable HOME.")
    return home
