"""
The agent that started this process, as far as this process can see, and the name under which its token is kept.

The daemon determines itself which program requests access. Here, all processes of one agent must find the same token,
and those of other agents must not.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.cli.mcp.arguments import DEFAULT_SCOPES
from upstash_helper.cli.mcp.hosts import is_host, is_host_script
from upstash_helper.cli.mcp.scripts import interpreter_of, script_of
from upstash_helper.cli.mcp.shells import only_start
from upstash_helper.system import starters
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstash_helper.protocol.literals import Scope
    from upstash_helper.system.starters import Process

# A folder or file that is named after a version, such as 2.1.317 or v22.3.0. An agent that updates itself gets another
# path each time, and its user must not be asked again because of that.
_VERSION: Final = re.compile(r"v?\d+(?:\.\d+)+(?:[-+.][0-9A-Za-z.-]+)?")
_GENERAL: Final = ("bin", "current", "lib", "releases", "versions")
_MAX_SHOWN: Final = 200
_MAX_HELPERS: Final = 4


class Agent(NamedTuple):
    """The agent."""

    program: str
    """Its file, and for an interpreter the script, without versions; empty if it is unknown."""
    name: str
    """The name of the file or script, for a client that does not send a name."""
    is_certain: bool = True
    """Whether ``program`` identifies the agent, so that its token can be kept under it."""


def find_agent() -> Agent:
    """Return the agent that started this process. Never raises."""
    process, launchers = starters.starter_and_launchers(os.getpid())
    if process is not None and interpreter_of(process.executable) == "electron":
        process = _main_of(process)
    agent = agent_of(process)
    # A shell may be the agent's, such as its script or its tool that runs commands.
    return agent if only_start(launchers) else agent._replace(is_certain=False)


def _main_of(electron: Process) -> Process:
    """Return the process of an application that has its path in its command line. It has helpers of other types."""
    found = electron
    for _ in range(_MAX_HELPERS):
        # On Linux, Chromium joins the words of some of its processes.
        is_helper = " --type=" in " ".join(found.words)
        parent = starters.parent_of(found) if is_helper else None
        if parent is None or parent.executable != electron.executable:
            break
        found = parent
    return found


def agent_of(process: Process | None) -> Agent:
    """Return a process as an agent."""
    if process is None:
        return Agent("", "unknown agent", is_certain=False)
    parts = [process.executable]
    name = starters.name_of(process.executable)
    is_certain = bool(process.executable) and not is_host(process.executable)
    if interpreter_of(process.executable):
        script = script_of(process)
        is_certain = bool(script) and not is_host_script(script)
        if script:
            parts.append(script)
            name = starters.name_of(script.rpartition(" -m ")[2])
    if _VERSION.fullmatch(name):
        # Such as ~/.local/share/claude/versions/2.1.317.
        folders = re.split(r"[/\\]", parts[-1])[:-1]
        name = next((one for one in reversed(folders) if one not in _GENERAL and not _VERSION.fullmatch(one)), name)
    shown = printable(name)[:_MAX_SHOWN] or "unknown agent"
    return Agent(" ".join(map(_without_versions, parts)), shown, is_certain)


def token_account(agent: Agent, scopes: Sequence[Scope]) -> str:
    """
    Return the account of the token in the keyring. Each set of scopes has its own account: a client that is configured
    for less must not use a token that allows more.
    """
    program = printable(agent.program) or "unknown agent"
    if len(program) > _MAX_SHOWN:
        digest = hashlib.sha256(program.encode(errors="surrogatepass")).hexdigest()[:16]
        program = f"…{digest}…{program[-_MAX_SHOWN + 20 :]}"
    limited = "" if tuple(scopes) == DEFAULT_SCOPES else f" with {' '.join(scopes)}"
    return f"/mcp for {program}{limited}"


def file_name(account: str) -> str:
    """Return a name for files that belong to an account."""
    return f"mcp-{hashlib.sha256(account.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _without_versions(path: str) -> str:
    return "".join("*" if _VERSION.fullmatch(part) else part for part in re.split(r"([/\\])", path))
