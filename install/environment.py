"""
A virtual environment, ``.venv`` or a user's own: made once, and used again while what it was made from is the same.

A stamp in it records what it was made from. The stamp is taken away before anything is changed and written when all is
done, so an environment without one is half-made, and is made anew.
"""

from __future__ import annotations

import compileall
import hashlib
import json
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path

from install.installers import Installer, base_python, choose_installer, python_in
from install.lock import exclusive
from install.progress import SetupError, run_quietly, say

ROOT = Path(__file__).absolute().parent.parent

RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
"""Pins the same versions of everything in RUNTIME, and more."""

_STAMP = "upstash-helper.json"
_LOCK = "upstash-helper.lock"


@dataclass(frozen=True)
class Stamp:
    """What an environment was made from."""

    base: str
    """The interpreter and the folder: both are written all over an environment."""
    requirements: dict[str, str]
    """For each requirement file that is installed, the hash of its text."""
    project: str
    """The hash of pyproject.toml: entry points and version are copied from it."""
    installer: str = ""
    """What made it: pip cannot go on with an environment of uv's, which has no pip."""


class Step(Enum):
    """What there may be to do, in this order."""

    MAKE = auto()
    INSTALL = auto()
    LINK = auto()
    """The checkout itself; into a user's own environment it is copied."""


def steps_from(found: Stamp | None, wanted: Stamp) -> tuple[Step, ...]:
    """Return what turns the environment with the stamp ``found`` into one that satisfies ``wanted``."""
    everything = (Step.MAKE, Step.INSTALL, Step.LINK)
    if found is None or found.base != wanted.base:
        return everything
    installed = wanted.requirements.items() <= found.requirements.items()
    if installed and found.project == wanted.project:
        return ()
    if found.installer == "uv" and wanted.installer != "uv":
        return everything
    return (Step.LINK,) if installed else (Step.INSTALL, Step.LINK)


class Environment:
    """The environment of one checkout."""

    def __init__(self, root: Path = ROOT, installer: Installer | None = None, *, apart: Path | None = None) -> None:
        """
        Args:
            root: The checkout.
            installer: What makes it; by default uv or pip, chosen when there is something to do.
            apart: Its folder, if it is one that goes on without the checkout: the checkout is then copied into it, each
                time anew, and may be changed, moved or deleted. By default ``.venv`` in the checkout.
        """
        self._root = root
        self._venv = root / ".venv" if apart is None else apart
        self._apart = apart is not None
        self._installer = installer

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return python_in(self._venv)

    def prepare(self, file: str) -> Path:
        """
        Have everything installed that the requirement file ``file`` pins, and the checkout itself.

        Returns:
            The environment's interpreter.

        Raises:
            SetupError: If that cannot be done.
        """
        if self._steps(file):
            self._check_place()
            # Before anything is made: there may be nothing to make it with.
            self._installer = self._installer or choose_installer()
            self._make_folder()
            with exclusive(self._venv / _LOCK):
                # Another set-up may have done the same while this one waited.
                self._carry_out(self._steps(file), file)
        if sys.dont_write_bytecode and not self._apart:
            # Nobody else would, and each start of the daemon would compile it all again.
            compileall.compile_dir(self._root / "daemon", quiet=2)
            compileall.compile_dir(self._root / "tray", quiet=2)
        return self.python

    def _steps(self, file: str) -> tuple[Step, ...]:
        name = self._installer.name if self._installer else "uv" if shutil.which("uv") else "pip"
        found = self._read_stamp() if self.python.exists() else None
        steps = steps_from(found, self._wanted(file, installer=name))
        return steps or ((Step.LINK,) if self._apart else ())

    def _wanted(self, file: str, *, installer: str) -> Stamp:
        files = (RUNTIME, DEVELOPMENT) if file == DEVELOPMENT else (file,)
        # Resolved: a folder may be reached by several names.
        folder = str((self._venv if self._apart else self._root).resolve())
        return Stamp(
            base=f"{sys.implementation.cache_tag} {sysconfig.get_platform()} {sys.base_prefix} {folder}",
            requirements={name: _hash_of(self._root / name) for name in files},
            project=_hash_of(self._root / "pyproject.toml"),
            installer=installer,
        )

    def _carry_out(self, steps: Iterable[Step], file: str) -> None:
        steps = tuple(steps)
        if not steps:
            return
        installer = self._installer or choose_installer()
        put_in = installer.copy if self._apart else installer.link
        (self._venv / _STAMP).unlink(missing_ok=True)
        commands = {
            Step.MAKE: (f"Making {self._venv}", installer.make(self._venv, base_python())),
            Step.INSTALL: (f"Installing {file} with {installer.name}", installer.install(self.python, file)),
            Step.LINK: ("Installing this checkout", put_in(self.python)),
        }
        for step in steps:
            if step is Step.MAKE:
                self._clear()
            label, command = commands[step]
            run_quietly(label, command, cwd=self._root, env=installer.variables)
        stamp = self._wanted(file, installer=installer.name)
        (self._venv / _STAMP).write_text(json.dumps(asdict(stamp), indent=2), encoding="utf-8")

    def _make_folder(self) -> None:
        try:
            self._venv.mkdir(parents=self._apart, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{self._venv} could not be made ({error.strerror}).") from error

    def _check_place(self) -> None:
        """Refuse to clear a folder that no set-up has made."""
        if self._venv.exists() and not is_environment(self._venv):
            if self._venv.is_dir() and not any(self._venv.iterdir()):
                return
            raise SetupError(f"{self._venv} is no virtual environment: move it away, then run the same command again.")

    def _clear(self) -> None:
        """Empty the environment's folder, but for the lock: on Windows an open file cannot be deleted."""
        leftovers = [path for path in self._venv.iterdir() if path.name != _LOCK]
        if leftovers:
            say(f"Making {self._venv} anew: it is unfinished, or of another Python or another folder.")
        try:
            for path in leftovers:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            raise SetupError(
                f"{error.filename} could not be deleted ({error.strerror}): stop the programs that run from "
                f"{self._venv}, then run the same command again."
            ) from error

    def _read_stamp(self) -> Stamp | None:
        try:
            return Stamp(**json.loads((self._venv / _STAMP).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def is_environment(folder: Path) -> bool:
    """Return whether a set-up has made this folder, or begun to."""
    return any((folder / name).exists() for name in ("pyvenv.cfg", _LOCK))


def _hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SetupError(f"{path} could not be read ({error.strerror}): is the checkout complete?") from error
