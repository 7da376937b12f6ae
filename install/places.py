"""Where a user's own installation is, by the customs of each platform. platformdirs is not there before it is."""

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
    """One user's."""

    data: Path
    """The user's data folder of this program."""
    launcher: Path
    """What a shell finds."""
    windows: bool = False

    @property
    def venv(self) -> Path:
        """The environment: the program, and whatever it needs."""
        return self.data / "venv"

    @property
    def program(self) -> Path:
        """The program in it."""
        return python_in(self.venv, windows=self.windows).with_name(f"{PROGRAM}.exe" if self.windows else PROGRAM)


def places(*, platform: str = sys.platform, environ: Mapping[str, str] = os.environ) -> Places:
    """
    Return where the installation of the user who runs this is, or would be.

    Raises:
        SetupError: If the system does not say where the user's folders are.
    """
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        if not local:
            raise SetupError("The variable LOCALAPPDATA is not set: it tells where your programs' data is.")
        data = Path(local) / PROGRAM
        # A folder of its own on the PATH: beside the interpreter, `python` and `pip` would be found there, too.
        return Places(data, data / "bin" / f"{PROGRAM}.cmd", windows=True)
    home = _home()
    launcher = home / ".local" / "bin" / PROGRAM
    if platform == "darwin":
        return Places(home / "Library" / "Application Support" / PROGRAM, launcher)
    share = Path(environ.get("XDG_DATA_HOME") or "")
    # A relative path is to be ignored: XDG Base Directory Specification 0.8.
    return Places((share if share.is_absolute() else home / ".local" / "share") / PROGRAM, launcher)


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError as error:
        raise SetupError("Your home folder is not known: set the variable HOME.") from error
    if not home.is_absolute() or not home.is_dir():
        raise SetupError(f"Your home folder, {home}, is not there: set the variable HOME.")
    return home
