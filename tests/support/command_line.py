"""The command line as a process."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 60.0


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, decoded from JSON."""
        return msgspec.json.decode(self.out)


async def run_cli(*arguments: str, environment: Mapping[str, str], typed: str | None = None) -> Ran:
    """Run ``upstash-helper`` and wait for it; ``typed`` is its standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "upstash_helper",
        *arguments,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL if typed is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(None if typed is None else typed.encode())
    return Ran(process.returncode or 0, out.decode(), err.decode())
