"""The program on whose behalf a process runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upstash_helper.system.peers import Program, starter
from upstash_helper.system.starters import Process, is_launcher, starter_of

AGENT = "/opt/agent/bin/agent"
PYTHON = "/usr/bin/python3.12"
BRIDGE = (PYTHON, "-P", "-m", "upstash_helper", "mcp")


class Processes:
    """The system's processes, for ``starter_of``."""

    def __init__(self, *processes: Process) -> None:
        self._processes = {each.pid: each for each in processes}

    def __call__(self, pid: int) -> Process:
        if pid not in self._processes:
            raise ProcessLookupError(pid)
        return self._processes[pid]


def process(
    pid: int, executable: str, *words: str, parent: int, started: float | None = None, is_ours: bool = True
) -> Process:
    """Return a process. Those with a higher number are younger, unless a test says otherwise."""
    began = float(pid) if started is None else started
    return Process(pid, parent, began, is_ours, executable, words or (executable,))


@pytest.mark.parametrize(
    ("executable", "words"),
    [
        ("/usr/bin/bash", ("bash", "-lc", "upstash-helper mcp")),
        ("/bin/dash", ("sh", "-c", "upstash-helper mcp")),
        ("C:\\Windows\\System32\\cmd.exe", ("cmd", "/c", "upstash-helper.exe mcp")),
        ("C:\\Users\\ann\\bin\\UPSTASH-HELPER.EXE", ("upstash-helper", "mcp")),
        ("/home/ann/.local/bin/uv", ("uv", "tool", "run", "upstash-helper", "mcp")),
        ("/home/ann/.local/bin/uvx", ("uvx", "upstash-helper", "mcp")),
        (PYTHON, (PYTHON, "/usr/bin/pipx", "run", "upstash-helper", "mcp")),
        (PYTHON, (PYTHON, "/home/ann/.local/bin/upstash-helper", "mcp")),
        (PYTHON, BRIDGE),
        ("/usr/bin/env", ("env", "A=1", "upstash-helper", "mcp")),
    ],
)
def test_launcher_is_skipped(executable: str, words: tuple[str, ...]) -> None:
    """What only starts the bridge is not the agent."""
    assert is_launcher(executable, words)


@pytest.mark.parametrize(
    ("executable", "words"),
    [
        (AGENT, ("sh",)),
        ("/usr/bin/node", ("node", "/usr/lib/node_modules/agent/cli.js")),
        (PYTHON, (PYTHON, "/opt/agent/agent.py", "upstash-helper")),
        (PYTHON, (PYTHON, "-c", "import agent")),
    ],
)
def test_program_is_not_a_launcher_because_of_its_arguments(executable: str, words: tuple[str, ...]) -> None:
    """A name in the command line counts only for Python, and only if it is what Python runs."""
    assert not is_launcher(executable, words)


def test_nearest_ancestor_that_is_no_launcher_is_found() -> None:
    """Launchers are skipped, however many there are, and the agent's own parent does not count."""
    processes = Processes(
        process(2, "/usr/bin/gnome-terminal", parent=1),
        process(3, "/usr/bin/zsh", parent=2),
        process(4, AGENT, parent=3),
        process(5, "/bin/sh", "sh", "-c", "upstash-helper mcp", parent=4),
        process(6, PYTHON, *BRIDGE, parent=5),
    )

    assert process(4, AGENT, parent=3) == starter_of(6, look_up=processes)


@pytest.mark.parametrize(
    "above",
    [
        (),
        (process(4, AGENT, parent=2, is_ours=False),),
        (process(4, AGENT, parent=2, started=7.0),),
        (process(4, "/usr/lib/systemd/systemd", parent=1),),
        (process(4, "/bin/sh", parent=1),),
        (process(4, "/bin/sh", parent=0),),
    ],
    ids=["ended", "another user's", "younger", "session manager", "first process", "no parent"],
)
def test_starter_that_cannot_be_trusted_is_unknown(above: tuple[Process, ...]) -> None:
    """A parent that has ended, is another user's, or only adopts processes is not the agent."""
    processes = Processes(*above, process(6, PYTHON, *BRIDGE, parent=4))

    assert starter_of(6, look_up=processes) is None


def test_endless_chain_of_launchers_ends() -> None:
    """The search ends, whatever the system reports."""
    processes = Processes(process(6, "/bin/sh", parent=6, started=1.0))

    assert starter_of(6, look_up=processes) is None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: there is no sh on Windows")
def test_system_reports_the_chain() -> None:
    """With real processes: the shell is skipped, and this process is found, also by its file."""
    with subprocess.Popen(["/bin/sh", "-c", "echo; read line; exit"], stdin=-1, stdout=-1) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()

        found = starter_of(shell.pid)
        program = starter(Program(pid=shell.pid, executable="/bin/sh"))

        shell.communicate(b"\n")
    assert found is not None
    assert os.getpid() == found.pid
    assert Path(sys.executable).resolve() == Path(found.executable).resolve()
    assert (os.getpid(), found.executable, "/bin/sh") == (program.pid, program.executable, program.sender)


def test_program_that_is_no_launcher_is_itself() -> None:
    """A program that asks for its starter, and is no launcher, is not taken for the one that started it."""
    this = Program(pid=os.getpid(), executable=sys.executable)

    assert this == starter(this)
