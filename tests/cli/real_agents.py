"""
Checks with the agents themselves that they understand what ``setup`` writes. Not a test of CI: they are 400 MB large.

Each agent's command line lists its servers, offline, in a temporary home folder that ``setup`` has changed before::

    npm pack @openai/codex@0.171.0-linux-x64 @anthropic-ai/claude-code-linux-x64 opencode-linux-x64 @google/gemini-cli
    .venv/bin/python -m tests.cli.real_agents claude-code=PATH codex=PATH gemini=PATH opencode=PATH

PATH is the program of the unpacked package; for Gemini CLI, ``bundle/gemini.js``. Cursor and VS Code are not on npm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from upstash_helper.cli.agents.catalog import AGENTS, Computer
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
SECONDS: Final = 120.0


def check(name: str, program: str, transport: str) -> str:
    """
    Set the agent up, and have it list its servers.

    Raises:
        AssertionError: If it does not list ours and the other one.
    """
    folder = Path(tempfile.mkdtemp(prefix="agents-"))
    try:
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
        file = AGENTS[name].file(Computer(platform=this_platform(), home=folder, environ={}))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONTENTS[name], encoding="utf-8")
        setup = [sys.executable, "-m", "upstash_helper", "setup", name, "--transport", transport, "--force", "--yes"]
        subprocess.run(setup, env=environment, check=True, capture_output=True)
        words = [node, program] if program.endswith(".js") else [program]
        project = folder / "project"
        project.mkdir()
        listed = subprocess.run(
            [*words, *LIST[name]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
            cwd=project,
        )
        output = f"{listed.stdout}\n{listed.stderr}"
        expected = "http://localhost:3000/mcp" if transport == "http" else "upstash_helper"
        for text in ("upstash", expected, "other"):
            assert text in output, f"{name} ({transport}) does not list {text}:\n{output}"
        return output
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Check the agents that are named on the command line, with both transports."""
    for argument in sys.argv[1:]:
        name, _, program = argument.partition("=")
        for transport in ("http", "stdio"):
            sys.stdout.write(f"--- {name} ({transport})\n{check(name, program, transport)}\n")


if __name__ == "__main__":
    main()
