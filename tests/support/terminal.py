"""A user at a terminal, for commands that prompt."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import SECONDS, Ran

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

QUESTION = b": "
"""How every question ends."""


class Terminal:
    """A command whose input is a terminal. Its prompts are read from its error output."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: int) -> None:
        self.process = process
        self.keyboard = keyboard
        """The descriptor of the terminal's other end."""
        self._read = b""

    def type(self, text: str) -> None:
        """Type ``text`` now."""
        os.write(self.keyboard, text.encode())

    async def shows(self, text: bytes = QUESTION) -> str:
        """Wait until the error output contains ``text``, and return it up to there, from the end of the last read."""
        assert self.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            found = await self.process.stderr.readuntil(text)
        self._read += found
        return found.decode()

    async def ended(self) -> Ran:
        """Wait for the end, and return the result."""
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate()
        return Ran(self.process.returncode or 0, out.decode(), (self._read + err).decode())


@contextlib.asynccontextmanager
async def terminal(*arguments: str, environment: Mapping[str, str]) -> AsyncIterator[Terminal]:
    """Run ``upstash-helper`` on a terminal, and make sure that it ends."""
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
    try:
        yield Terminal(process, mine)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(mine)
        os.close(its)


async def at_terminal(
    *arguments: str, environment: Mapping[str, str], typed: tuple[str, ...], asked: bytes | tuple[bytes, ...] = QUESTION
) -> Ran:
    """
    Run ``upstash-helper`` for a user who answers each prompt with the next text of ``typed``. Only stdin is the
    terminal: prompts are read from stderr. A prompt is complete with ``asked``: one for all, or one for each.
    """
    prompts = asked if isinstance(asked, tuple) else (asked,) * len(typed)
    async with terminal(*arguments, environment=environment) as screen:
        for text, prompt in zip(typed, prompts, strict=True):
            # Not before it is asked for: what was typed ahead of a secret is thrown away.
            await screen.shows(prompt)
            screen.type(text)
        return await screen.ended()
