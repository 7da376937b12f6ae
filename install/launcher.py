"""What a shell finds under the program's name: a link to the program, or on Windows a batch file that calls it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from install.places import PROGRAM, Places
from install.progress import SetupError

# %~dp0 is the batch file's own folder: a user's name with a letter of another code page need not stand in it.
BATCH = f'@"%~dp0..\\venv\\Scripts\\{PROGRAM}.exe" %*\r\n'


def is_ours(places: Places) -> bool:
    """Return whether the launcher is there and leads to this installation, whether that is complete or not."""
    launcher = places.launcher
    if places.windows:
        return launcher.is_file() and launcher.read_bytes() == BATCH.encode()
    # Not resolved: the program may be gone, and it is the link that is asked about.
    return launcher.is_symlink() and Path(os.readlink(launcher)) == places.program  # noqa: PTH115 - as it was written


def refuse_to_replace(places: Places) -> None:
    """
    See to it that the launcher's name is free, or the launcher ours.

    Raises:
        SetupError: If something else has the name.
    """
    if os.path.lexists(places.launcher) and not is_ours(places):
        raise SetupError(
            f"{places.launcher} is there already, and not from this script. If pipx or uv put it there, remove that "
            f"first (`pipx uninstall {PROGRAM}`, `uv tool uninstall {PROGRAM}`); else move it away."
        )


def put(places: Places) -> None:
    """
    Make the launcher, if it is not there.

    Raises:
        SetupError: If something else has its name, or it cannot be made.
    """
    refuse_to_replace(places)
    if is_ours(places):
        return
    launcher = places.launcher
    try:
        launcher.parent.mkdir(parents=True, exist_ok=True)
        if places.windows:
            launcher.write_bytes(BATCH.encode())
        else:
            launcher.symlink_to(places.program)
    except OSError as error:
        raise SetupError(f"{launcher} could not be made ({error.strerror}).") from error


def remove(places: Places) -> None:
    """Remove the launcher, if it is ours."""
    if is_ours(places):
        places.launcher.unlink()


def advice(places: Places, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return how the user's shell comes to find the launcher, or None if it does."""
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
        f"{folder} is not on your PATH. Put this line into ~/.profile (or ~/.zprofile for zsh), and log in again:\n\n"
        '  export PATH="$HOME/.local/bin:$PATH"\n'
    )
