"""
Checks with the agents themselves that they understand what ``setup`` writes. Not a test of CI: they are 400 MB large.

Each agent's command line lists its servers, offline, in a temporary home folder that ``setup`` has changed before::

    npm pack @openai/codex@0.171.0-linux-x64 @anthropic-ai/claude-code-linux-x64 opencode-linux-x64 @google/gemini-cli
    .venv/bin/python -m tests.cli.real_agents claude-code=PATH codex=PATH gemini=PATH opencode=PATH

PATH is the program of the unpacked package; for Gemini CLI, ``bundle/gemini.js``. Cursor and VS Code are not on npm.

Passed with Claude Code 2.1.332, Codex 0.171.0, Gemini CLI 0.61.0, and OpenCode 1.18.33. By hand, each also signed in
at a daemon, with a browser (``claude mcp login``, ``codex mcp login``, ``/mcp auth``, ``opencode mcp auth``).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from upstash_helper.cli.agents import changes
from upstash_helper.cli.agents.catalog import AGENTS, Computer, Target, Transport
from upstash_helper.service.context import this_platform

LIST: Final = {
    "claude-code": ("mcp", "list"),
    "codex": ("mcp", "list", "--json"),
    "gemini": ("mcp", "list"),
    "opencode": ("mcp", "list"),
}
_OTHER: Final = '{"type": "http", "url": "http://localhost:9/"}'
CONTENTS: Final = {
    "claude-code": f'{{\n  "numStartups": 1,\n  "mcpServers": {{\n    "other": {_OTHER}\n  }}\n}}\n',
    "codex": '# mine\nmodel = "gpt"\n\n[mcp_servers.other]\nurl = "http://localhost:9/"',
    "gemini": f'{{\n\t// mine\n\t"mcpServers": {{\n\t\t"other": {_OTHER} // x\n\t}}\n}}\n',
    "opencode": f'{{\n  // mine\n  "mcp": {{\n    "other": {_OTHER.replace("http", "remote", 1)}, // x\n  }},\n}}\n',
}
TARGETS: Final[dict[Transport, Target]] = {
    "http": Target(url="http://localhost:3000/mcp"),
    "stdio": Target(command=("/opt/python", "-P", "-m", "upstash_helper", "mcp"), environment={"A": "b"}),
}
SECONDS: Final = 120.0


def check(name: str, program: str, transport: Transport) -> str:
    """
    Set the agent up, have it list its servers (which may rewrite its file), and undo it.

    Raises:
        AssertionError: If it does not list ours and the other one, or if that cannot be undone.
    """
    with home(name, program) as (folder, environment, words):
        file = AGENTS[name].file(Computer(platform=this_platform(), home=folder, environ={}))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONTENTS[name], encoding="utf-8")
        setup = [sys.executable, "-m", "upstash_helper", "setup", name, "--yes"]
        subprocess.run([*setup, "--transport", transport, "--force"], env=environment, check=True, capture_output=True)
        listed = subprocess.run(
            [*words, *LIST[name]], env=environment, capture_output=True, text=True, timeout=SECONDS,
            stdin=subprocess.DEVNULL, check=False, cwd=folder / "project",
        )  # fmt: skip
        output = f"{listed.stdout}\n{listed.stderr}"
        expected = "http://localhost:3000/mcp" if transport == "http" else "upstash_helper"
        for text in ("upstash", expected, "other"):
            assert text in output, f"{name} ({transport}) does not list {text}:\n{output}"
        subprocess.run([*setup, "--undo"], env=environment, check=True, capture_output=True)
        content = file.read_text(encoding="utf-8")
        assert "upstash" not in content, f"{name} ({transport}) was not undone:\n{content}"
        assert "http://localhost:9/" in content
        return output


@contextlib.contextmanager
def home(name: str, program: str) -> Iterator[tuple[Path, dict[str, str], list[str]]]:
    """Yield a temporary home folder, its environment, and the command that runs the agent's program."""
    folder = Path(tempfile.mkdtemp(prefix="agents-"))
    node = shutil.which("node") or ""
    environment = {
        "HOME": str(folder),
        "PATH": os.pathsep.join((str(Path(node).parent), "/usr/bin", "/bin")),
        "UPSTASH_HELPER_HOME": str(folder / "helper"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DISABLE_AUTOUPDATER": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }
    (folder / "project").mkdir()
    AGENTS[name].file(Computer(platform=this_platform(), home=folder, environ={})).parent.mkdir(
        parents=True, exist_ok=True
    )
    try:
        yield folder, environment, [node, program] if program.endswith(".js") else [program]
    finally:
        # An agent that looks whether its servers work may have started a daemon.
        stop = [sys.executable, "-m", "upstash_helper", "stop"]
        subprocess.run(stop, env=environment, cwd=folder, check=False, capture_output=True, timeout=SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def check_by_hand(name: str, program: str, transport: Transport) -> None:
    """
    Run the line that ``setup`` prints for a computer without it, and compare the result.

    Raises:
        AssertionError: If the agent's own command writes another entry than ``setup``.
    """
    with home(name, program) as (folder, environment, words):
        line = AGENTS[name].by_hand("upstash", TARGETS[transport])
        project = folder / "project"
        subprocess.run(
            [*words, *shlex.split(line)[1:]], env=environment, cwd=project, check=True, timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        computer = Computer(platform=this_platform(), home=folder, environ={})
        found = changes.examine(AGENTS[name], computer, changes.Wanted(server="upstash", targets=TARGETS))
        assert ("set_up", TARGETS[transport]) == (found.state, found.target), f"{line}: {found}"


def main() -> None:
    """Check the agents that are named on the command line, with both transports."""
    for argument in sys.argv[1:]:
        name, _, program = argument.partition("=")
        for transport in TARGETS:
            sys.stdout.write(f"--- {name} ({transport})\n{check(name, program, transport)}\n")
            if not AGENTS[name].by_hand("upstash", TARGETS[transport]).startswith("In "):
                check_by_hand(name, program, transport)


if __name__ == "__main__":
    main()
