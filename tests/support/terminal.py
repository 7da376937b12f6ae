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


async def at_terminal(*arguments: str, environment: Mapping[str, str], typed: tuple[str, ...]) -> Ran:
    """
    Run ``upstash-helper`` for a user who answers each question with the next text of ``typed``.

    Only the input is the terminal: what is asked is read from the error output.
    """
    if sys.platform == "win32":
        pytest.skip("platform: Windows has no pseudo-terminals of this kind")
    import pty

    mine, its = pty.openpty()
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
    assert process.stderr is not None
    asked = b""
    try:
        async with asyncio.timeout(SECONDS):
            for text in typed:
                # Not before it is asked for: what was typed ahead of a secret is thrown away.
                asked += await process.stderr.readuntil(b": ")
                os.write(mine, text.encode())
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(mine)
        os.close(its)
    return Ran(process.returncode or 0, out.decode(), (asked + err).decode())
