"""
The Windows Subsystem for Linux: whether this is one, and its access to Windows, where the user's browser usually is.

https://learn.microsoft.com/windows/wsl/wsl-config describes the settings that are named here.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from upstash_helper.system.network_stack import has_wsl_kernel

if TYPE_CHECKING:
    from collections.abc import Mapping

POWERSHELL: Final = "powershell.exe"
_POWERSHELL_FILE: Final = Path("mnt", "c", "Windows", "System32", "WindowsPowerShell", "v1.0", POWERSHELL)
_INTEROP: Final = ("WSLInterop", "WSLInterop-late")
_WSLPATH_SECONDS: Final = 2.0


def is_wsl(environ: Mapping[str, str], *, root: Path = Path("/")) -> bool:
    """
    Return whether this is a WSL distribution. A container in one, which has the same kernel, does not count.

    Args:
        environ: The environment. WSL sets ``WSL_DISTRO_NAME`` in a terminal, but not for services.
        root: The root of the file system.
    """
    if sys.platform != "linux":
        return False
    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        return False
    if environ.get("WSL_DISTRO_NAME") or environ.get("WSL_INTEROP"):
        return True
    return has_wsl_kernel(root / "proc" / "sys" / "kernel" / "osrelease")


def runs_windows_programs(*, root: Path = Path("/")) -> bool:
    """Return whether Windows programs can be started. The section ``interop`` of ``wsl.conf`` can turn that off."""
    return any((root / "proc" / "sys" / "fs" / "binfmt_misc" / name).exists() for name in _INTEROP)


def powershell(*, root: Path = Path("/")) -> str | None:
    """Return the path of PowerShell, which opens the default browser of Windows; None if it cannot be started."""
    if not runs_windows_programs(root=root):
        return None
    # It is not on the PATH if appendWindowsPath is off.
    file = root / _POWERSHELL_FILE
    return shutil.which(POWERSHELL) or (str(file) if file.is_file() else None)


def start_command(address: str) -> list[str] | None:
    """
    Return the arguments of PowerShell that open ``address`` with the program that Windows has for it.

    Args:
        address: A URL, or that of a file, whose path is translated to one that Windows can read.

    Returns:
        None if the path cannot be translated.
    """
    parts = urlsplit(address)
    target: str | None = address
    if parts.scheme == "file":
        target = _windows_path(unquote(parts.path))
    if target is None:
        return None
    # In single quotes, PowerShell expands nothing; a quote is doubled (about_Quoting_Rules). Typographic quotes end the
    # string as well (PowerShell language specification, section 2.3.5.2).
    quoted = re.sub("['\u2018\u2019\u201a\u201b]", r"\g<0>\g<0>", target)
    return ["-NoProfile", "-NonInteractive", "-Command", f"Start-Process -FilePath '{quoted}'"]


def _windows_path(path: str) -> str | None:
    r"""Return a path such as ``\\wsl.localhost\Ubuntu\home\ada\page.html``."""
    from upstash_helper.system import bounded_run

    try:
        done = bounded_run.run(("wslpath", "-w", path), seconds=_WSLPATH_SECONDS)  # on the PATH of each distribution
    except OSError:
        return None
    return done.out.decode(errors="replace").strip() or None if done.code == 0 else None
