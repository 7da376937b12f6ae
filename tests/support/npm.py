"""
Packages from npm for tests: clients of Redis and Upstash, OAuth clients, and the accessibility checker.

`tests/javascript/package-lock.json` pins them, beside the tools of the static checks. All are installed at once, into
`node_modules` there, by the first test or check that needs one.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from install.javascript import FOLDER, Missing, Tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODULES = FOLDER / "node_modules"
PROGRAMS = FOLDER / "programs"
PROGRAM_SECONDS = 120


async def installed_packages() -> Path:
    """
    Return the `node_modules` folder with the pinned packages.

    The test is skipped if Node is missing or the packages cannot be downloaded.
    """
    missing = await asyncio.to_thread(_provide)
    if missing is not None:
        pytest.skip(missing)
    return MODULES


@functools.cache
def _provide() -> str | None:
    try:
        Tools().provide()
    except Missing as reason:
        return str(reason)
    return None


async def run_program(name: str, **variables: str) -> Any:
    """
    Run a program of `tests/javascript/programs` with Node, and return the JSON that it prints.

    Args:
        name: The file's name, without `.js`.
        variables: Added to the environment.
    """
    await installed_packages()
    return json.loads(await _run(PROGRAMS / f"{name}.js", variables))


async def run_with_client(source: str, folder: Path, **variables: str) -> str:
    """
    Run a short ES module that imports the pinned packages, and return what it prints.

    Args:
        source: The module.
        folder: An empty folder for it.
        variables: Added to the environment.
    """
    (folder / "node_modules").symlink_to(await installed_packages())
    (folder / "job.mjs").write_text(source, encoding="utf-8")
    return await _run(folder / "job.mjs", variables)


async def _run(program: Path, variables: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(program),
        env={**os.environ, "UPSTASH_DISABLE_TELEMETRY": "1", **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROGRAM_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        _, err = await process.communicate()
        pytest.fail(f"{program.name} did not end within {PROGRAM_SECONDS} seconds: {err.decode(errors='replace')}")
    if process.returncode != 0:
        pytest.fail(f"{program.name} ended with {process.returncode}: {err.decode(errors='replace')}")
    return out.decode()
