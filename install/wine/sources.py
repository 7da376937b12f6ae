"""A copy of the checkout, for a system that shares no files with this one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from install.environment import ROOT

# What .gitignore names, for a checkout without Git.
_GENERATED = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", "*.pyc", ".coverage*", "htmlcov", ".*_cache", "dist", "build", "node_modules"
)


def copy(target: Path, root: Path = ROOT) -> None:
    """Copy the checkout with its uncommitted changes, and without what is generated."""
    files = _tracked(root)
    if files is None:
        shutil.copytree(root, target, ignore=_GENERATED)
        return
    for file in files:
        source = root / file
        if source.is_file():  # not deleted
            to = target / file
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)


def _tracked(root: Path) -> list[str] | None:
    """Return the files that Git knows or does not ignore, or None without Git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name.decode() for name in done.stdout.split(b"\0") if name]
