"""Real clients, each as a program that makes the same calls and shows what it received."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from tests.mcp.packages import INSPECTOR, environment, newer_node
from tests.support.daemon import clean_environment
from tests.support.npm import PROGRAMS, installed_packages
from tests.support.world import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.mcp.user import User

SECONDS: Final = 90
LINE_BYTES: Final = 2**22
PYTHON: Final = (sys.executable, "tests/mcp/python_client.py")
_TO_OPEN: Final = re.compile(r"navigate to: (\S+)")


@dataclass(frozen=True)
class Call:
    """A call of a tool. The argument ``$database`` is the ID of the database that an earlier call created."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """How a client reaches the server: by its address, or as a command."""

    url: str | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a client received."""

    tools: list[dict[str, Any]]
    results: list[dict[str, Any]]
    version: str = ""
    asked: list[str] = field(default_factory=list)
    """The questions that the client was asked itself."""


@dataclass(frozen=True)
class Job:
    """What a client does."""

    server: Server
    calls: Sequence[Call]
    mode: str
    """``auto``: it asks for the current version first. ``legacy``: it knows only the handshake."""
    answers: Sequence[str] | None = None
    """What it answers to questions: ``accept`` or ``decline``. None: it cannot be asked."""

    @property
    def encoded(self) -> str:
        """The job, for a program."""
        calls = [{"tool": it.tool, "arguments": it.arguments} for it in self.calls]
        reached = {"command": self.server.command} if self.server.url is None else {"url": self.server.url}
        return json.dumps({"mode": self.mode, "answers": self.answers, "calls": calls, **reached})


async def typescript(job: Job, user: User) -> Outcome:
    """Run `@modelcontextprotocol/client`."""
    await installed_packages()
    return await _program(("node", str(PROGRAMS / "mcp_client.js")), job, user)


async def python(job: Job, user: User) -> Outcome:
    """Run the client of the `mcp` package."""
    return await _program(PYTHON, job, user)


async def _program(command: Sequence[str], job: Job, user: User) -> Outcome:
    async with _Run(command, {**clean_environment(), **job.server.environment, "JOB": job.encoded}, user) as run:
        return Outcome(**await run.result())


class _Run:
    """A program that shows JSON documents, one a line."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], user: User) -> None:
        self._command = command
        self._variables = variables
        self._user = user

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=dict(self._variables), limit=LINE_BYTES,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def result(self) -> dict[str, Any]:
        """Return the last document, having opened each page that it asks for."""
        process, last = self._process, None
        assert process.stdout is not None
        assert process.stderr is not None
        complaints = asyncio.create_task(process.stderr.read())
        async with asyncio.timeout(SECONDS):
            async for line in process.stdout:
                last = json.loads(line)
                if "open" in last:
                    await self._user.browse(last["open"])
            code = await process.wait()
        errors = (await complaints).decode(errors="replace")
        assert 0 == code, errors
        assert isinstance(last, dict), errors
        return last


async def inspector(job: Job, user: User, home: Path) -> Outcome:
    """Run the Inspector's command line, once for the list of tools and for each call. It cannot be asked questions."""
    inspect = await Inspector.of(job.server, job.mode, user, home)
    tools: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while not tools:  # through the bridge, there are none before the user has approved the agent
            tools = (await inspect("--method", "tools/list"))["tools"]
    results: list[dict[str, Any]] = []
    database = ""
    for call in job.calls:
        filled = {name: database if it == "$database" else it for name, it in call.arguments.items()}
        result = await inspect(
            "--method", "tools/call", "--tool-name", call.tool, "--tool-args-json", json.dumps(filled)
        )
        database = database or result.get("structuredContent", {}).get("database_id", "")
        results.append(result)
    return Outcome(tools=tools, results=results)


class Inspector:
    """
    The command line, with what all its runs have in common. It signs in only for a person at a terminal, and then names
    the page to open.
    """

    def __init__(self, common: Sequence[str], target: Sequence[str], variables: Mapping[str, str], user: User) -> None:
        """
        Args:
            common: The program, and options of every run.
            target: The command of a server that is one.
            variables: The environment.
            user: Opens the page that it names.
        """
        self._common = common
        self._target = ("--", *target) if target else ()
        self._variables = variables
        self._user = user

    @classmethod
    async def of(cls, server: Server, era: str, user: User, home: Path) -> Self:
        """Return the Inspector for a server, with its files below ``home``. The test is skipped on Windows."""
        if sys.platform == "win32":
            pytest.skip("platform: the Inspector signs in for a terminal")
        if server.url is not None:
            returned = f"http://127.0.0.1:{free_port()}/oauth/callback"
            target = ["--server-url", server.url, "--transport", "http", "--callback-url", returned]
        else:
            # It passes on a few variables only.
            target = [word for name, value in server.environment.items() for word in ("-e", f"{name}={value}")]
        common = (await newer_node(), str(INSPECTOR), "--cli", "--format", "json", "--protocol-era", era, *target)
        return cls(common, server.command, environment(home), user)

    async def __call__(self, *arguments: str) -> dict[str, Any]:
        """Run it once, and return the JSON that it prints."""
        terminal, end = os.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._common, *arguments, *self._target, env={**self._variables, "MCP_AUTO_OPEN_ENABLED": "false"},
                stdin=end, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as both:
                    reading = both.create_task(self._read(process))
                    errors = both.create_task(self._watch(process))
                    code = await process.wait()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                raise
        finally:
            os.close(terminal)
            os.close(end)
        text = reading.result()
        assert text, f"{arguments} ended with {code}: {errors.result()}"
        result: dict[str, Any] = json.loads(text)["result"]
        return result

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        return (await process.stdout.read()).decode()

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Open the page that it names in its messages, and return these."""
        assert process.stderr is not None
        lines: list[str] = []
        async for line in process.stderr:
            lines.append(line.decode(errors="replace"))
            named = _TO_OPEN.search(lines[-1])
            if named:
                await self._user.browse(named[1])
        return "".join(lines)
