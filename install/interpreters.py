"""Finding the Python interpreters on this machine by version. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from install.environment import ROOT
from install.installers import Interpreter, this_interpreter
from install.progress import SetupError

_CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")

# A name on the PATH proves nothing: pyenv's shims only print an error if their version is not selected.
_DESCRIBE = """
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "identity": "%s %s %s" % (sys.implementation.cache_tag, sysconfig.get_platform(), sys.base_prefix),
    "complete": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "usual": sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"),
}))
"""
_START_SECONDS = 60


class NoInterpreter(SetupError):
    """No usable interpreter of a Python version was found. ``str()`` is the reason, as a clause."""


def supported_versions(root: Path = ROOT) -> tuple[str, ...]:
    """Return the Python versions that the classifiers in pyproject.toml list, the oldest first."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (_CLASSIFIER.fullmatch(classifier) for classifier in project["classifiers"])
    return tuple(sorted((match[1] for match in found if match), key=_as_numbers))


def find(version: str, *, environment: Mapping[str, str] = os.environ, system: str = sys.platform) -> Interpreter:
    """
    Return a CPython interpreter of a version: this one, or one from the PATH, pyenv, uv, or the system's usual folders.

    Builds without the global interpreter lock are skipped: few users have one, and not all packages are built for it.

    Args:
        version: Major and minor version, such as ``3.13``.
        environment: The environment variables, which determine where to look.
        system: The operating system, as in ``sys.platform``.

    Raises:
        NoInterpreter: If there is none from which an environment can be created.
    """
    incomplete = ""
    has_uv = shutil.which("uv", path=environment.get("PATH", "")) is not None
    for path in candidates(version, environment=environment, system=system):
        described = _describe(path)
        if described is None or described["version"] != version or not described["usual"]:
            continue
        if has_uv or described["complete"]:
            return Interpreter(version, str(described["path"]), str(described["identity"]))
        incomplete = f"the venv module of {path} is missing or incomplete"
    raise NoInterpreter(incomplete or "it was not found on this machine")


def candidates(version: str, *, environment: Mapping[str, str], system: str) -> Iterator[str]:
    """Yield the paths of possible interpreters of a version, without running them."""
    if version == this_interpreter().version:
        yield this_interpreter().path
    on_path = shutil.which(f"python{version}", path=environment.get("PATH", ""))
    if on_path:
        yield on_path
    home = Path(environment.get("USERPROFILE" if system == "win32" else "HOME") or "/nonexistent")
    yield from _in_folders(_pyenv(environment, home, system), f"{version}.*", system)
    yield from _in_folders(_uv(environment, home, system), f"cpython-{version}.*", system)
    if system == "win32":
        folder = Path(environment.get("LOCALAPPDATA", home)) / "Programs/Python" / f"Python{version.replace('.', '')}"
        fixed = [folder / "python.exe"]
    elif system == "darwin":
        framework = Path("/Library/Frameworks/Python.framework/Versions") / version / "bin"
        fixed = [
            folder / f"python{version}" for folder in (framework, Path("/opt/homebrew/bin"), Path("/usr/local/bin"))
        ]
    else:
        fixed = [Path(folder, f"python{version}") for folder in ("/usr/bin", "/usr/local/bin")]
    yield from (str(path) for path in fixed if path.exists())


def _pyenv(environment: Mapping[str, str], home: Path, system: str) -> Path:
    """Return the folder where pyenv, or pyenv-win, installs versions."""
    default = home / ".pyenv" / "pyenv-win" if system == "win32" else home / ".pyenv"
    return Path(environment.get("PYENV_ROOT") or default) / "versions"


def _uv(environment: Mapping[str, str], home: Path, system: str) -> Path:
    """Return the folder where uv installs versions: https://docs.astral.sh/uv/reference/storage/."""
    if environment.get("UV_PYTHON_INSTALL_DIR"):
        return Path(environment["UV_PYTHON_INSTALL_DIR"])
    if system == "win32":
        return Path(environment.get("APPDATA") or home / "AppData/Roaming") / "uv/data/python"
    return Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "uv/python"


def _in_folders(parent: Path, pattern: str, system: str) -> Iterator[str]:
    """Yield the interpreters in the folders that match a pattern, the newest first."""
    program = "python.exe" if system == "win32" else "bin/python"
    for folder in sorted(parent.glob(pattern), key=lambda path: _as_numbers(path.name), reverse=True):
        if (folder / program).exists():
            yield str(folder / program)


def _describe(path: str) -> dict[str, object] | None:
    try:
        done = subprocess.run(
            [path, "-I", "-c", _DESCRIBE],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=_START_SECONDS, check=True,
        )  # fmt: skip
        described: dict[str, object] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return described


def _as_numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))
