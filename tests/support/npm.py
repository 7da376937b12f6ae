"""Packages from npm for tests: Upstash's JavaScript client, the accessibility checker, and OAuth clients."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

CLIENT = "@upstash/redis@1"
INSTALL_SECONDS = 120

# npm's own defaults retry an unreachable registry for 70 seconds. One quick retry covers a dropped connection.
_NETWORK = ("--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=500", "--prefer-offline")

_failures: dict[str, str] = {}
"""Why a package could not be installed, so that later tests of this process are skipped at once."""


async def installed_package(package: str = CLIENT) -> Path:
    """
    Return a `node_modules` folder that has ``package``. It is outside the checkout and is kept for later runs.

    The test is skipped if npm is missing or cannot install the package.

    Args:
        package: Name and version, in npm's notation: ``name@version``.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    key = hashlib.sha256(f"{package} {user}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"upstash-helper-tests-npm-{key}"
    modules = folder / "node_modules"
    name = package.rpartition("@")[0]
    if not (modules / name / "package.json").exists():
        await install(folder, package)
    return modules


async def install(folder: Path, package: str) -> None:
    """Install ``package`` into ``folder``, or skip the test if that is not possible."""
    if package in _failures:
        pytest.skip(_failures[package])
    folder.mkdir(mode=0o700, exist_ok=True)
    options = ["--prefix", str(folder), "--no-save", "--no-package-lock", "--no-audit", "--no-fund", *_NETWORK]
    process = await asyncio.create_subprocess_exec(
        "npm", "install", *options, package, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        _failures[package] = f"npm did not install {package} within {INSTALL_SECONDS} seconds"
        pytest.skip(_failures[package])
    if process.returncode != 0:
        reason = out.decode(errors="replace").strip()[-200:]
        _failures[package] = f"npm could not install {package}: {reason}"
        pytest.skip(_failures[package])


async def run_with_client(source: str, folder: Path, **environment: str) -> str:
    """
    Run an ES module that imports `@upstash/redis`, and return what it prints.

    Args:
        source: The module.
        folder: An empty folder for it.
        environment: Variables added to this process's environment.
    """
    (folder / "node_modules").symlink_to(await installed_package())
    (folder / "job.mjs").write_text(source)
    process = await asyncio.create_subprocess_exec(
        "node",
        "job.mjs",
        cwd=folder,
        env={**os.environ, "UPSTASH_DISABLE_TELEMETRY": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
