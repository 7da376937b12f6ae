"""Upstash's client for JavaScript, from npm."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

PACKAGE = "@upstash/redis@1"
INSTALL_SECONDS = 120


async def installed_package() -> Path:
    """Return a `node_modules` with the npm client: installed once, outside of the checkout, and kept for later runs."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    key = hashlib.sha256(f"{PACKAGE} {user}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"upstash-helper-tests-npm-{key}"
    modules = folder / "node_modules"
    if not (modules / "@upstash" / "redis" / "package.json").exists():
        await install(folder)
    return modules


async def install(folder: Path) -> None:
    """Install the npm client, or skip where it cannot be fetched."""
    folder.mkdir(mode=0o700, exist_ok=True)
    arguments = [
        "install",
        "--prefix",
        str(folder),
        "--no-save",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        PACKAGE,
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
        pytest.skip(f"npm did not install {PACKAGE} within {INSTALL_SECONDS} seconds")
    if process.returncode != 0:
        pytest.skip(f"npm could not install {PACKAGE}: {out.decode(errors='replace').strip()[-200:]}")
