"""The sandbox's README names the clients that are tested, with the versions that are pinned."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from install.environment import ROOT
from install.javascript import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "daemon/upstash_helper/sandbox/README.md"
NOT_CLIENTS = {
    "@biomejs/biome", "@modelcontextprotocol/client", "@types/chrome", "@types/node", "axe-core", "rollup",
    "rollup-plugin-dts", "typescript", "zod",
}  # fmt: skip
"""What else is installed from npm: tools, what a client needs beside it, and the client of ``/mcp`` (tests/mcp)."""

_ROW = re.compile(r"^\| `([^`]+)` \| ([\d.]+) \| (npm|PyPI) \|", re.MULTILINE)
_PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def test_versions_are_those_that_are_pinned() -> None:
    """
    Each package in the table has the version that the tests install, and every client from npm is in it.
    """
    documented = {(of, name): version for name, version, of in _ROW.findall(README.read_text("utf-8"))}
    npm = json.loads((FOLDER / "package.json").read_text("utf-8"))["devDependencies"]
    pypi = dict(_PIN.findall((ROOT / "requirements-dev.txt").read_text("utf-8")))
    pinned = {"npm": npm, "PyPI": pypi}

    assert {(of, name): pinned[of].get(name) for of, name in documented} == documented
    assert npm.keys() - NOT_CLIENTS == {name for of, name in documented if of == "npm"}


@pytest.mark.parametrize("folder", [FOLDER, ROOT / "tests/mcp"], ids=["javascript", "mcp"])
def test_lock_has_hashes_and_no_addresses(folder: Path) -> None:
    """
    Each package in the lock has its hash, and none has the address that it was downloaded from.
    """
    packages = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    installed = {path: package for path, package in packages.items() if path}

    assert len(installed) > 50
    assert [] == [path for path, package in installed.items() if "integrity" not in package or "resolved" in package]
