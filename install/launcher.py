"""The launcher on the PATH: a link to the program, or on Windows a batch file that calls it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from install.places import PROGRAM, Places
from install.progress import SetupError

# %~dp0 is the batch file's folder. The file does not contain the user's name, which may need another code page.
BATCH = f'@"%~dp0..\\venv\\Scripts\\{PROGRAM}.exe" %*\r\n'


def is_own(places: Places) -> bool:
    """Return whether the launcher exists and points to this installation, complete or not."""
    launcher = places.launcher
    if places.windows:
        return launcher.is_file() and launcher.read_bytes() == BATCH.encode()
    # Not resolved, because the program may no longer exist.
    return launcher.is_symlink() and Path(os.readlink(launcher)) == places.program  # noqa: PTH115 - not resolved


def check_name(places: Places) -> None:
    """
    Check that the launcher can be created, or exists.

    Raises:
        SetupError: If another program has the launcher's name.
    """
    if os.path.lexists(places.launcher) and not is_own(places):
        raise SetupError(
            f"{places.launcher} already exists, and was not created by this script. If pipx or uv created it, "
            f"uninstall it first (`pipx uninstall {PROGRAM}`, `uv tool uninstall {PROGRAM}`). Otherwise move it away."
        )


def create(places: Places) -> None:
    """
    Create the launcher if it does not exist.

    Raises:
        SetupError: If another program has its name, or it cannot be created.
    """
    check_name(places)
    if is_own(places):
        return
    launcher = places.launcher
    try:
        launcher.parent.mkdir(parents=True, exist_ok=True)
        if places.windows:
            launcher.write_bytes(BATCH.encode())
        else:
            launcher.symlink_to(places.program)
    except OSError as error:
        raise SetupError(f"Cannot create {launcher}: {error.strerror}.") from error


def remove(places: Places) -> None:
    """Remove the launcher if it points to this installation."""
    # A module of the checkout: the scripts run before it is installed.
    from upstash_helper.system import open_files

    if is_own(places):
        open_files.remove(places.launcher)


def path_hint(places: Places, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return how to add the launcher's folder to the PATH, or None if it is on the PATH."""
    folder = places.launcher.parent
    on_path = [Path(entry) for entry in environ.get("PATH", "").split(os.pathsep) if entry]
    if folder in on_path:
        return None
    if places.windows:
        return (
            f"{folder} is not on your PATH. Add it (Settings > System > About > Advanced system settings > Environment "
            "Variables), and open a new terminal."
        )
    return (
        f"{folder} is not on your PATH. Add this line to ~/.profile (or ~/.zprofile for zsh), and log in again:\n\n"
        '  export PATH="$HOME/.local/bin:$PATH"\n'
    )
