"""Packages from npm: Upstash's client for JavaScript, and what looks at our pages."""

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


async def installed_package(package: str = CLIENT) -> Path:
    """
    Return a `node_modules` with ``package``: installed once, outside of the checkout, and kept for later runs.

    Args:
        package: Its name and version, as npm takes it: ``name@version``.
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
    """Install ``package``, or skip where it cannot be fetched."""
    folder.mkdir(mode=0o700, exist_ok=True)
    arguments = [
        "install",
        "--prefix",
        str(folder),
        "--no-save",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        package,
    ]
    process = await asyncio.create_subprocess_exec(
        "npm", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        pytest.skip(f"npm did not install {package} within {INSTALL_SECONDS} seconds")
    if process.returncode != 0:
        pytest.skip(f"npm could not install {package}: {out.decode(errors='replace').strip()[-200:]}")
