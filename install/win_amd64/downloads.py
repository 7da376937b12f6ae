"""The downloads for a Windows installation. They are cached, so that later runs do not need the network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from install.environment import ROOT
from install.lock import exclusive
from install.progress import run_quietly
from install.win_amd64 import wheels
from install.win_amd64.interpreter import INTERPRETER, Pin, check_digest


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the downloads: XDG Base Directory Specification 0.8."""
    base = Path(environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "upstash-helper-tests" / "windows"


def interpreter(cache: Path, pin: Pin = INTERPRETER) -> Path:
    """
    Return the pinned package with the interpreter, downloaded if necessary.

    Args:
        cache: The folder of the downloads.
        pin: The package.

    Raises:
        SetupError: If it cannot be downloaded, or has another digest.
    """
    from upstash_helper.system import open_files

    cache.mkdir(parents=True, exist_ok=True)
    file = cache / pin.file
    with exclusive(cache / "lock"):
        if not file.exists():
            new = cache / "new"
            if new.exists():  # left by a run that failed
                open_files.remove_tree(new)
            new.mkdir()
            program = (wheels.pip()[0], "-m", "install.win_amd64.source_package")
            command = [*program, pin.project, pin.version, str(new)]
            run_quietly(f"Downloading Python {pin.python} for Windows", command, cwd=ROOT)
            check_digest(new / file.name, pin)
            open_files.replace(new / file.name, file)
            new.rmdir()
    check_digest(file, pin)
    return file


def packages(cache: Path, name: str, *, without: Collection[str] = ()) -> list[Path]:
    """
    Return the wheels of a requirements file, downloaded if necessary. They are in a folder of their own.

    Raises:
        SetupError: If they cannot be downloaded, or a hash differs.
    """
    text = wheels.requirements((ROOT / name).read_text(encoding="utf-8"), without=without)
    folder = cache / f"{Path(name).stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    file = folder / name
    from upstash_helper.system import open_files

    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / "lock"):
        if not file.exists():
            for outdated in cache.glob(f"{folder.name[:-16]}{'[0-9a-f]' * 16}"):
                open_files.remove_tree(outdated)
            folder.mkdir()
            incomplete = folder / "incomplete.txt"
            incomplete.write_text(text, encoding="utf-8")
            wheels.download(incomplete, folder, f"the wheels of {name} for Windows")
            open_files.replace(incomplete, file)
    return sorted(folder.glob("*.whl"))
