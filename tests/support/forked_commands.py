"""
Many command lines in little time: the program is imported once, and each command line runs in a fork.

    python -m tests.support.forked_commands < REQUEST

The request and the result are JSON; see ``ForkedCommands``. The encoding of the streams is that of this process
(``PYTHONIOENCODING``).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS: Final = 60.0
FULL: Final = "/dev/full"
CLOSED: Final = ""
"""In place of a path: the stream is closed."""


@dataclass(frozen=True)
class Printed:
    """What a command printed, and its exit code."""

    command: list[str]
    code: int
    out: bytes
    err: bytes


@dataclass(frozen=True)
class ForkedCommands:
    """How command lines are run."""

    environment: Mapping[str, str]
    encoding: str = "utf-8"
    streams: Mapping[str, str] = field(default_factory=dict)
    """Paths for ``stdin``, ``stdout``, and ``stderr`` in place of files that are read afterwards, or ``CLOSED``."""

    async def run(self, *commands: Sequence[str]) -> list[Printed]:
        """Run the commands one after another. Without any, run every command of the program with ``--help``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**self.environment, "PYTHONIOENCODING": self.encoding},
        )  # fmt: skip
        request = msgspec.json.encode({"streams": self.streams, "commands": commands})
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate(request)
        return msgspec.json.decode(out, type=list[Printed])


def every_command(command: Any, path: tuple[str, ...] = ()) -> list[list[str]]:
    """Return all commands and groups, each with ``--help``."""
    found = [[*path, "--help"]]
    for name, one in getattr(command, "commands", {}).items():
        found += every_command(one, (*path, name))
    return found


def main() -> None:
    """Run the commands of the request on stdin."""
    from upstash_helper.cli.app import cli

    request = msgspec.json.decode(sys.stdin.buffer.read())
    lazy = {name: cli.get_command(None, name) for name in cli.list_commands(None)}  # type: ignore[arg-type]
    commands = request["commands"]
    if not commands:
        commands = [["--help"], ["--version"]]
        commands += [line for name, one in lazy.items() for line in every_command(one, (name,))]
    results = [_forked(command, request["streams"]) for command in commands]
    sys.stdout.buffer.write(msgspec.json.encode(results))


def _forked(command: list[str], streams: dict[str, str]) -> Printed:
    with tempfile.TemporaryDirectory() as folder:
        files = {"stdin": os.devnull, "stdout": f"{folder}/stdout", "stderr": f"{folder}/stderr", **streams}
        pid = os.fork()
        if pid == 0:
            _run(command, files)
        _, status = os.waitpid(pid, 0)
        printed = []
        for name in ("stdout", "stderr"):
            if os.path.exists(f"{folder}/{name}"):  # noqa: PTH110 - as short as possible
                with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - as above
                    printed.append(file.read())
            else:
                printed.append(b"")
        return Printed(command, os.waitstatus_to_exitcode(status), *printed)


def _run(command: list[str], files: dict[str, str]) -> None:
    """Run one command as if the process had been started with these streams, and exit."""
    code = 70
    try:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.close(number)
            if files[name] == CLOSED:
                setattr(sys, name, None)  # as Python does at its start
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            if files[name] != CLOSED:
                flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
                opened = os.open(files[name], flags, 0o600)
                if opened != number:
                    os.dup2(opened, number)
                    os.close(opened)
                os.set_inheritable(number, True)
        sys.argv = ["upstash-helper", *command]
        from upstash_helper.__main__ import main as run

        run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does at its end
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # noqa: BLE001 - as above
                code = 120
        os._exit(code)


if __name__ == "__main__":
    main()
