"""
The tests that depend on the interpreter or on versions, in every other supported Python and with the newest packages.

  python3 -m install.pythons                                   in every environment
  python3 install/test.py --python 3.13 [pytest arguments]     in one Python version
  python3 install/test.py --newest [pytest arguments]          with the newest packages, in the newest installed Python

The supported versions are those in pyproject.toml's classifiers. Versions that are not installed are listed.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from install.environment import DEVELOPMENT, ROOT, TEST, Environment
from install.foreground import run_main
from install.installers import Interpreter, this_interpreter
from install.interpreters import NoInterpreter, find, supported_versions
from install.parallel import Program, run_all
from install.progress import SetupError, say

PROGRAMS = (
    "tests/api/test_main_job.py",  # a daemon, a sandbox, and the whole sign-in
    "tests/cli/test_main_job.py",  # the same with the commands
    "tests/cli/test_demo.py",
    "tests/cli/test_imports.py",
    "tests/tray/test_tray.py",
)
"""One pass through each program."""

TESTS = ("tests/unit", *PROGRAMS)
"""The tests of what depends on the interpreter: the code itself, and one pass through each program."""

LEFT_OUT = (
    "tests/unit/client/test_wake.py",
    "tests/unit/runtime/test_port_wait.py",
    "tests/unit/runtime/test_socket_activated.py",
    "tests/unit/storage/test_oversized_ledger.py",
)
"""Unit tests that mostly start daemons or write large files. They take longer than all the others together."""

# No cache, because the environments would write it at the same time.
_OPTIONS = (*(f"--ignore={name}" for name in LEFT_OUT), "-m", "not slow", "-q", "-p", "no:cacheprovider")
ARGUMENTS = (*TESTS, *_OPTIONS)
SHORT_ARGUMENTS = (*PROGRAMS, *_OPTIONS)

_SHORT = "--short"

_CONSTRAINTS = "install/constraints.txt"
_PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)
_LIST = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"


def run_in_one(arguments: Sequence[str]) -> int:
    """
    Set up one environment, run pytest in it, and return its exit code.

    Args:
        arguments: ``--python`` and a version, or ``--newest``; then pytest's arguments, or ``--short`` for
            ``SHORT_ARGUMENTS``. By default, ``ARGUMENTS``. Other tests may need packages that those do not.

    Raises:
        SetupError: If there is no such interpreter, or the setup fails.
    """
    from install import suite

    newest = arguments[0] == "--newest"
    rest = list(arguments[1 if newest else 2 :])
    chosen = SHORT_ARGUMENTS if rest == [_SHORT] else ARGUMENTS
    rest = [] if rest == [_SHORT] else rest
    file = DEVELOPMENT if rest else TEST
    if newest:
        python = _prepare_newest(file)
    else:
        version = arguments[1] if len(arguments) > 1 else ""
        if not re.fullmatch(r"3\.\d+", version):
            raise SetupError(f"--python needs a version, such as {supported_versions()[-1]}.")
        try:
            interpreter = find(version)
        except NoInterpreter as error:
            raise SetupError(
                f"Cannot run tests in Python {version}: {error}. Install it, for example with pyenv."
            ) from error
        python = Environment(name=f".venv-{version}", interpreter=interpreter).prepare(file)
    return suite.run_tests(python, suite.relative_to(ROOT, rest) if rest else chosen)


def _prepare_newest(file: str) -> Path:
    environment = Environment(name=".venv-newest", interpreter=_newest_interpreter())
    python = environment.prepare(file)
    environment.upgrade(ranges(ROOT, group="dev" if file == DEVELOPMENT else "test"), _CONSTRAINTS)
    say(f"Newest packages: {', '.join(differences(ROOT / file, python)) or 'the pinned ones'}.")
    return python


def _newest_interpreter() -> Interpreter:
    for version in reversed(supported_versions()):
        with contextlib.suppress(NoInterpreter):
            return find(version)
    return this_interpreter()


def ranges(root: Path, *, group: str) -> list[str]:
    """Return the requirements in pyproject.toml, with all extras and the packages of a dependency group."""
    contents = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = contents["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    return [*project["dependencies"], *extras, *_group(contents["dependency-groups"], group)]


def _group(groups: dict[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    for entry in groups[name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from _group(groups, entry["include-group"])


def differences(file: Path, python: Path) -> list[str]:
    """Return the packages whose installed version is not the pinned one, each as ``name pinned -> installed``."""
    import json

    done = subprocess.run([str(python), "-I", "-c", _LIST], capture_output=True, encoding="utf-8", check=True)
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(done.stdout)}
    pinned: dict[str, set[str]] = {}
    for name, version in _PIN.findall(file.read_text(encoding="utf-8")):
        pinned.setdefault(name, set()).add(version)
    return [
        f"{name} {' or '.join(sorted(versions))} -> {installed[name]}"
        for name, versions in sorted(pinned.items())
        if name in installed and installed[name] not in versions
    ]


def programs() -> list[Program]:
    """
    Return a program for every other supported Python version on this machine, and one for the newest packages.

    The version that runs the tests with the newest packages runs only ``PROGRAMS`` with the pinned ones.
    """
    script = (sys.executable, str(ROOT / "install" / "test.py"), "--no-system")
    found = []
    for version in supported_versions():
        if version == this_interpreter().version:
            continue
        try:
            find(version)
        except NoInterpreter as error:
            say(f"Python {version}: not tested, because {error}.")
        else:
            short = [_SHORT] if version == _newest_interpreter().version else []
            found.append(Program(f"Python {version}", (*script, "--python", version, *short)))
    return [*found, Program("newest packages", (*script, "--newest"))]


def main(_arguments: Sequence[str]) -> int:
    """Run the tests in every environment, one after the other: in CI, other checks run at the same time."""
    return int(bool(run_all(programs(), at_once=1, cwd=ROOT)))


if __name__ == "__main__":
    run_main(main)
