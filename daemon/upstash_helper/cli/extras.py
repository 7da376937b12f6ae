"""How this copy of the helper was installed, for advice that fits it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

# What pipx and uv leave at the top of the environments that they make. Both packages' own sources say so.
_PIPX = "pipx_metadata.json"
_UV = "uv-receipt.toml"


def command_to_add(extra: str, *, environment: Path | None = None, python: str = sys.executable) -> str:
    """
    Return the command with which whatever installed this copy adds an extra to it.

    Args:
        extra: As in pyproject.toml: ``tray`` or ``sandbox``.
        environment: The folder of the environment; by default that of this process.
        python: Its interpreter.
    """
    environment = Path(sys.prefix) if environment is None else environment
    wish = f"upstash-helper[{extra}]"
    if (environment / _PIPX).exists():
        # It knows a package by its name alone, and would say that it is there already.
        return _shown(["pipx", "install", "--force", wish])
    if (environment / _UV).exists():
        return _shown(["uv", "tool", "install", wish])
    return _shown([python, "-m", "pip", "install", wish])


def _shown(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)
