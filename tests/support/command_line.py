"""The command line as a process."""

from __future__ import annotations

import asyncio
import locale
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.platforms import WINE

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 60.0
_INTERNAL_ERROR = 1359


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
    process = await _started(arguments, environment, reads=typed is not None)
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(None if typed is None else typed.encode())
    return Ran(process.returncode or 0, text(out), text(err))


async def _started(
    arguments: tuple[str, ...], environment: Mapping[str, str], *, reads: bool
) -> asyncio.subprocess.Process:
    tries = 3 if WINE else 1
    while True:
        tries -= 1
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "upstash_helper",
                *arguments,
                env=dict(environment),
                stdin=asyncio.subprocess.PIPE if reads else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            # On a busy machine, Wine sometimes fails to start a process, and reports an internal error.
            if not tries or getattr(error, "winerror", None) != _INTERNAL_ERROR:
                raise


def text(output: bytes) -> str:
    """Return output as text: JSON is UTF-8 everywhere, and other output is in the encoding of the locale."""
    try:
        decoded = output.decode()
    except UnicodeDecodeError:
        decoded = output.decode(locale.getencoding())
    return decoded.replace("\r\n", "\n") if sys.platform == "win32" else decoded
