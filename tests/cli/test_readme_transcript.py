"""
The transcript in the README is run as it stands there, and the answers in it are the real ones.

A block of it follows a comment that says whose terminal it is: the app's, which is a shell, or the user's. Lines with
``#`` are what the command above them printed; … stands for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.terminal import terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.daemon import DaemonProcess

README = Path(__file__).parents[2] / "README.md"
SECONDS = 60.0
QUESTION = "[y/N]: "
END = "-- that was all --"

_BLOCK = re.compile(r"<!-- transcript: (app|you) -->\n```sh\n(.*?)```", re.DOTALL)

# What is another one in each run, and how long it is.
_VARYING = (
    (re.compile(r"\b[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}\b"), "CODE-CODE"),
    (re.compile(r"/\S*/curl \(process \d+\)"), "/curl (process 1)"),
    (re.compile(r"\b\d+ s$", re.MULTILINE), "100 s"),
    (re.compile(r" +"), " "),
)


class Step(NamedTuple):
    """A command, and what it is to print."""

    whose: str
    command: str
    answer: str


def steps(text: str) -> Iterator[Step]:
    """Yield the commands of the transcript; those without an answer are to print nothing."""
    for whose, block in _BLOCK.findall(text):
        command, answer = list[str](), list[str]()
        for line in [*block.splitlines(), ""]:
            if line.startswith("#"):
                answer.append(line.removeprefix("#").removeprefix(" "))
                continue
            if answer:
                yield Step(whose, "\n".join(command), "\n".join(answer))
                command, answer = [], []
            if line:
                command.append(line)
        if command:
            yield Step(whose, "\n".join(command), "")


def plain(text: str) -> str:
    """Return ``text`` without what is another in each run."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text.strip()


def is_like(printed: str, answer: str) -> bool:
    """Return whether a command has printed what the transcript says."""
    pattern = re.escape(plain(answer)).replace("…", ".*")
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None


class AppsShell:
    """The shell of the app."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, environment: dict[str, str]) -> AsyncIterator[AppsShell]:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            "sh", "-eu", env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield cls(process)
        finally:
            process.kill()
            await process.wait()

    async def run(self, command: str) -> str:
        """Run a command, and return what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho; echo '{END}'\n".encode())
        printed = ""
        async with asyncio.timeout(SECONDS):
            while not printed.endswith(f"{END}\n"):
                line = await self._process.stdout.readline()
                assert line, f"the shell has ended: {printed}"
                printed += line.decode()
        return printed.removesuffix(f"{END}\n")


async def decide(command: str, environment: dict[str, str]) -> str:
    """Run one of the user's commands, at a terminal, and say yes if it asks; return what stands on the screen."""
    program, *arguments = shlex.split(command)
    assert program == "upstash-helper"
    async with terminal(*arguments, environment=environment) as screen:
        if arguments[-1] != "approve":
            ran = await screen.ended()
            return ran.out
        await screen.shows(QUESTION.encode())
        screen.type("y\n")
        ran = await screen.ended()
    return f"{ran.err}y\n{ran.out}"


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the transcript is of a POSIX shell")
@pytest.mark.usefixtures("connected")
async def test_the_transcript_is_true(running: DaemonProcess) -> None:
    """
    An app that does what the README says is let in, creates a database, reads its credentials, and no more than that.
    """
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install curl")
    found = list(steps(README.read_text(encoding="utf-8")))

    lies = []
    async with AppsShell.running(running.environment) as shell:
        for step in found:
            command = step.command.replace("localhost:3000", f"localhost:{running.port}")
            run = shell.run(command) if step.whose == "app" else decide(command, running.environment)
            printed = await run
            if not is_like(printed, step.answer):
                lies.append(f"{step.command}\n--- the README says\n{step.answer}\n--- and it is\n{printed}")

    assert {"app", "you"} == {step.whose for step in found}
    assert len(found) >= 8
    assert not lies, "\n\n".join(lies)


def test_a_wrong_transcript_is_noticed() -> None:
    """
    The comparison takes what varies for equal, and nothing else.
    """
    said = '{"state":"pending","user_code":"WDJB-MJHT","expires_at":"…"}'

    assert is_like('{"state":"pending","user_code":"BCDF-GHJK","expires_at":"2026"}\n', said)
    assert not is_like('{"state":"approved","user_code":"BCDF-GHJK","expires_at":"2026"}\n', said)
    assert not is_like("", said)
    assert not is_like("something", "")
