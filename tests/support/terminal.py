"""A user at a terminal, where commands ask."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import SECONDS, Ran

if TYPE_CHECKING:
    from collections.abc import Mapping


async def at_terminal(*arguments: str, environment: Mapping[str, str], typed: str) -> Ran:
    """
    Run ``upstash-helper`` for a user who types ``typed`` when asked.

    Only the input is the terminal: what is asked is read from the error output.
    """
    if sys.platform == "win32":
        pytest.skip("platform: Windows has no pseudo-terminals of this kind")
    import pty

    mine, its = pty.openpty()
    try:
        os.write(mine, typed.encode())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "upstash_helper",
            *arguments,
            env=dict(environment),
            stdin=its,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        os.close(mine)
        os.close(its)
    return Ran(process.returncode or 0, out.decode(), err.decode())
