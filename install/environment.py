"""
A virtual environment of the checkout or of an installation. It is reused until what it was created from changes.

A stamp file in it records what it was created from. The stamp is removed before a change and written afterwards, so an
environment without a stamp is incomplete, and is created again.
"""

from __future__ import annotations

import compileall
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path

from install.installers import Installer, Interpreter, choose_installer, python_in, this_interpreter
from install.lock import exclusive
from install.progress import SetupError, run_quietly, say

ROOT = Path(__file__).absolute().parent.parent

RUNTIME = "requirements.txt"
TEST = "requirements-test.txt"
DEVELOPMENT = "requirements-dev.txt"
FILES = (RUNTIME, TEST, DEVELOPMENT)
"""The requirements files. Each pins the same versions as the one before, and further packages."""

_STAMP = "upstash-helper.json"
_LOCK = "upstash-helper.lock"


@dataclass(frozen=True)
class Stamp:
    """What an environment was created from."""

    base: str
    """The interpreter and the folder. An environment contains both in many files."""
    requirements: dict[str, str]
    """The hash of each installed requirements file."""
    project: str
    """The hash of pyproject.toml, which entry points and version are copied from."""
    installer: str = ""
    """The program that created it. pip cannot update an environment of uv, which does not contain pip."""


class Step(Enum):
    """The steps to set up an environment, in order."""

    CREATE = auto()
    INSTALL = auto()
    LINK = auto()
    """Install the checkout: editable in ``.venv``, as a copy in an installation."""


def steps_from(current: Stamp | None, required: Stamp) -> tuple[Step, ...]:
    """Return the steps that bring an environment from one stamp to another."""
    everything = (Step.CREATE, Step.INSTALL, Step.LINK)
    if current is None or current.base != required.base:
        return everything
    installed = required.requirements.items() <= current.requirements.items()
    if installed and current.project == required.project:
        return ()
    if current.installer == "uv" and required.installer != "uv":
        return everything
    return (Step.LINK,) if installed else (Step.INSTALL, Step.LINK)


class Environment:
    """The virtual environment of a checkout or of an installation."""

    def __init__(
        self,
        root: Path = ROOT,
        installer: Installer | None = None,
        *,
        standalone: Path | None = None,
        name: str = ".venv",
        interpreter: Interpreter | None = None,
    ) -> None:
        """
        Args:
            root: The checkout.
            installer: Creates the environment. By default uv or pip, chosen when needed.
            standalone: The folder of an environment that does not depend on the checkout. The checkout is copied into
                it at each run, and can be changed, moved, or deleted afterwards. By default, the environment is in the
                checkout.
            name: The folder's name in the checkout.
            interpreter: What to create it from. By default, the interpreter that runs this.
        """
        self._root = root
        self._venv = root / name if standalone is None else standalone
        self._interpreter = interpreter or this_interpreter()
        self._standalone = standalone is not None
        self._installer = installer

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return python_in(self._venv)

    def prepare(self, file: str) -> Path:
        """
        Install the packages in a requirements file, and the checkout, unless they are up to date.

        Returns:
            The environment's interpreter.

        Raises:
            SetupError: If this fails.
        """
        if self._steps(file):
            self._check_folder()
            # Before the folder is created, because there may be no usable installer.
            self._installer = self._installer or choose_installer()
            self._create_folder()
            with exclusive(self._venv / _LOCK):
                # Determined again, because another setup may have finished in the meantime.
                self._carry_out(self._steps(file), file)
        if sys.dont_write_bytecode and not self._standalone:
            # Otherwise the daemon would be compiled again at each start.
            compileall.compile_dir(self._root / "daemon", quiet=2)
            compileall.compile_dir(self._root / "tray", quiet=2)
        return self.python

    def upgrade(self, requirements: Sequence[str], constraints: str) -> None:
        """
        Upgrade a prepared environment to the newest version of every package that ``requirements`` allow.

        The environment still counts as up to date afterwards, although its versions differ from the pins.

        Args:
            requirements: Names of packages, with the allowed versions.
            constraints: A file with further constraints, in the checkout.

        Raises:
            SetupError: If this fails.
        """
        self._installer = self._installer or choose_installer()
        with exclusive(self._venv / _LOCK):
            file = self._venv / "newest.txt"
            file.write_text("\n".join(requirements), encoding="utf-8")
            command = self._installer.upgrade(self.python, str(file), constraints)
            run_quietly(f"Upgrading {self._venv}", command, cwd=self._root, env=self._installer.variables)

    def _steps(self, file: str) -> tuple[Step, ...]:
        name = self._installer.name if self._installer else "uv" if shutil.which("uv") else "pip"
        current = self._read_stamp() if self.python.exists() else None
        steps = steps_from(current, self._required_stamp(file, installer=name))
        return steps or ((Step.LINK,) if self._standalone else ())

    def _required_stamp(self, file: str, *, installer: str) -> Stamp:
        files = FILES[: FILES.index(file) + 1]
        # Resolved, because a folder can have several paths.
        folder = str((self._venv if self._standalone else self._root).resolve())
        return Stamp(
            base=f"{self._interpreter.identity} {folder}",
            requirements={name: _hash_of(self._root / name) for name in files},
            project=_hash_of(self._root / "pyproject.toml"),
            installer=installer,
        )

    def _carry_out(self, steps: Iterable[Step], file: str) -> None:
        steps = tuple(steps)
        if not steps:
            return
        # A module of the checkout: the scripts run before it is installed.
        from upstash_helper.system import open_files

        installer = self._installer or choose_installer()
        install_checkout = installer.copy if self._standalone else installer.link
        open_files.remove(self._venv / _STAMP)
        commands = {
            Step.CREATE: (f"Creating {self._venv}", installer.create(self._venv, self._interpreter.path)),
            Step.INSTALL: (f"Installing {file} with {installer.name}", installer.install(self.python, file)),
            Step.LINK: ("Installing this checkout", install_checkout(self.python)),
        }
        for step in steps:
            if step is Step.CREATE:
                self._clear()
            label, command = commands[step]
            run_quietly(label, command, cwd=self._root, env=installer.variables)
        stamp = self._required_stamp(file, installer=installer.name)
        (self._venv / _STAMP).write_text(json.dumps(asdict(stamp), indent=2), encoding="utf-8")

    def _create_folder(self) -> None:
        try:
            self._venv.mkdir(parents=self._standalone, exist_ok=True)
        except OSError as error:
            raise SetupError(f"Cannot create {self._venv}: {error.strerror}.") from error

    def _check_folder(self) -> None:
        """
        Check that the folder can be cleared.

        Raises:
            SetupError: If it was not created by a setup.
        """
        if self._venv.exists() and not is_environment(self._venv):
            if self._venv.is_dir() and not any(self._venv.iterdir()):
                return
            raise SetupError(
                f"{self._venv} is not a virtual environment. Move it away, then run the same command again."
            )

    def _clear(self) -> None:
        """Empty the environment's folder except for the lock, because Windows cannot delete an open file."""
        # As in `_carry_out`.
        from upstash_helper.system import open_files

        leftovers = [path for path in self._venv.iterdir() if path.name != _LOCK]
        if leftovers:
            say(f"Creating {self._venv} again: it is incomplete, or belongs to another Python or another folder.")
        try:
            for path in leftovers:
                if path.is_dir() and not path.is_symlink():
                    open_files.remove_tree(path)
                else:
                    open_files.remove(path)
        except OSError as error:
            raise SetupError(
                f"Cannot delete {error.filename}: {error.strerror}. Stop the programs that run from {self._venv}, then "
                "run the same command again."
            ) from error

    def _read_stamp(self) -> Stamp | None:
        try:
            return Stamp(**json.loads((self._venv / _STAMP).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def is_environment(folder: Path) -> bool:
    """Return whether a setup has created this folder, completely or not."""
    return any((folder / name).exists() for name in ("pyvenv.cfg", _LOCK))


def _hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}. Is the checkout complete?") from error
