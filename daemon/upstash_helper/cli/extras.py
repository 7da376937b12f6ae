"""The command that adds an optional extra to this installation, which depends on what installed it, and from where."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

_PROGRAM: Final = "upstash-helper"
# The files that pipx and uv write to the root of the environments they create.
_PIPX: Final = "pipx_metadata.json"
_UV: Final = "uv-receipt.toml"


class _DirectUrl(msgspec.Struct, frozen=True):
    """Where a package was installed from (https://packaging.python.org/specifications/direct-url/)."""

    url: str


def command_to_add(extra: str, *, environment: Path | None = None, python: str = sys.executable) -> str:
    """
    Return the command that adds an extra to this installation: pipx, uv, or pip.

    It installs from where this program was installed from, or else from a checkout. The name alone would be looked up
    in a package index, where it may belong to somebody else.

    Args:
        extra: ``tray`` or ``sandbox``, as in pyproject.toml.
        environment: The environment's folder; by default that of this process.
        python: The environment's interpreter.
    """
    environment = Path(sys.prefix) if environment is None else environment
    source = _source()
    requirement = f"{source or '.'}[{extra}]"
    if (environment / _PIPX).exists():
        # Without --force pipx compares names only, and reports the package as installed.
        command = ["pipx", "install", "--force", requirement]
    elif (environment / _UV).exists():
        command = ["uv", "tool", "install", requirement]
    else:
        command = [python, "-m", "pip", "install", requirement]
    return _shown(command) if source else f"{_shown(command)}, in the checkout of {_PROGRAM}"


def _source() -> Path | None:
    """Return the checkout or the wheel that this program was installed from, if it is still there."""
    with contextlib.suppress(metadata.PackageNotFoundError, msgspec.MsgspecError, OSError, ValueError):
        recorded = msgspec.json.decode(
            metadata.distribution(_PROGRAM).read_text("direct_url.json") or "", type=_DirectUrl
        )
        parts = urlsplit(recorded.url)
        path = Path(url2pathname(parts.path))
        if parts.scheme == "file" and path.exists():
            return path
    return None


def _shown(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)
