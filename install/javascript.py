"""
The checks of our JavaScript: types, style, what is built from it, and the tests that need no browser.

  python3 -m install.javascript types|style|build|tests

The tools are what tests/javascript/package-lock.json pins. They are installed into node_modules beside it, and again
whenever the pins change. Without Node, or without a network for the first installation, a check is skipped and says
why; in CI (CI=true) that is a failure. The packages that tests use are pinned there as well (`tests/support/npm.py`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from install.environment import ROOT
from install.foreground import run, run_main
from install.lock import exclusive
from install.progress import CommandFailed, SetupError, run_quietly, say

FOLDER = ROOT / "tests/javascript"
OLDEST_NODE = (20, 11)

CHECKS: Mapping[str, Sequence[Sequence[str]]] = {
    "types": (
        ("node_modules/typescript/bin/tsc", "--project", "tsconfig.connect.json", "--noEmit"),
        ("node_modules/typescript/bin/tsc", "--project", "tsconfig.json"),
        ("node_modules/typescript/bin/tsc", "--project", "tsconfig.tests.json"),
        ("node_modules/typescript/bin/tsc", "--project", "tsconfig.programs.json"),
    ),
    "style": (
        ("node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", *("../../daemon", "../clients", ".")),
    ),
    "build": (("build.js", "--check"),),
    "tests": (("--test", "--test-concurrency=8", "--test-reporter=dot", "--disable-warning=ExperimentalWarning"),),
}
"""The arguments of node for each check, in ``FOLDER``."""

# What npm prints where the registry cannot be reached. Anything else that is wrong with an installation is a failure.
_UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR)\b"
)


# No script of a package is run; and a registry that cannot be reached is given up after one more try.
_QUICKLY = ("--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")


class Missing(SetupError):
    """Something that the checks need is not on this machine and cannot be had."""


class Tools:
    """Node and the packages that are installed for it."""

    def __init__(self, folder: Path = FOLDER, *, path: str | None = None) -> None:
        """
        Args:
            folder: Where package.json, its lock and node_modules are.
            path: Where programs are found; by default on the PATH.
        """
        self._folder = folder
        self._path = path
        self._stamp = folder / "node_modules/.installed"

    def provide(self) -> str:
        """
        Install the packages unless the pinned ones are there, and return node's path.

        Raises:
            Missing: If node or npm are missing or too old, or the registry cannot be reached.
            CommandFailed: If npm refuses to install what is pinned.
        """
        node, npm = (self._program(name) for name in ("node", "npm"))
        self._check_version(node)
        if not self._is_installed():
            with exclusive(self._folder / ".setup.lock"):
                # Checked again: several checks run at the same time, and the first one installs the tools for all.
                if not self._is_installed():
                    self._install(npm)
        return node

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise Missing(f"{name} is not installed")
        return found

    @staticmethod
    def _check_version(node: str) -> None:
        done = subprocess.run(
            [node, "--version"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        version = re.match(r"v(\d+)\.(\d+)", done.stdout)
        if version is None or tuple(map(int, version.groups())) < OLDEST_NODE:
            wanted = ".".join(map(str, OLDEST_NODE))
            raise Missing(f"node {wanted} or newer is needed, and {node} is {done.stdout.strip() or 'unusable'}")

    def _is_installed(self) -> bool:
        return self._stamp.is_file() and self._stamp.read_text(encoding="utf-8") == self._pins()

    def _pins(self) -> str:
        contents = [(self._folder / name).read_bytes() for name in ("package.json", "package-lock.json")]
        return hashlib.sha256(b"\0".join(contents)).hexdigest()

    def _install(self, npm: str) -> None:
        try:
            run_quietly("Installing the npm packages", [npm, "ci", *_QUICKLY], cwd=self._folder)
        except CommandFailed as error:
            if _UNREACHABLE.search(error.output):
                raise Missing("the npm registry cannot be reached") from error
            raise
        self._stamp.write_text(self._pins(), encoding="utf-8")


def main(arguments: Sequence[str], *, tools: Tools | None = None) -> int:
    """Run one check and return its exit code; 0 also where it is skipped, except in CI."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        raise SetupError(f"Name one of these checks: {', '.join(CHECKS)}.")
    try:
        node = (tools or Tools()).provide()
    except Missing as reason:
        say(f"JavaScript {arguments[0]}: skipped, because {reason}.")
        return int(os.environ.get("CI") == "true")
    codes = [run([node, *command], cwd=FOLDER) for command in CHECKS[arguments[0]]]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    run_main(main)
