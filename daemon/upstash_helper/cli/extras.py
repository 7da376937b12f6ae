"""The command that adds an optional extra to this installation, which depends on what installed it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

# The files that pipx and uv write to the root of the environments they create.
_PIPX = "pipx_metadata.json"
_UV = "uv-receipt.toml"


def command_to_add(extra: str, *, environment: Path | None = None, python: str = sys.executable) -> str:
    """
    Return the command that adds an extra to this installation: pipx, uv, or pip.

    Args:
        extra: ``tray`` or ``sandbox``, as in pyproject.toml.
        environment: The environment's folder; by default that of this process.
        python: The environment's interpreter.
    """
    environment = Path(sys.prefix) if environment is None else environment
    requirement = f"upstash-helper[{extra}]"
    if (environment / _PIPX).exists():
        # Without --force pipx compares names only, and reports the package as installed.
        return _shown(["pipx", "install", "--force", requirement])
    if (environment / _UV).exists():
        return _shown(["uv", "tool", "install", requirement])
    return _shown([python, "-m", "pip", "install", requirement])


def _shown(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)
