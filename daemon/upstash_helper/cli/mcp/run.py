"""``mcp``: run the bridge in this process."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper.cli import exit_codes
from upstash_helper.cli.mcp.access import Access
from upstash_helper.cli.mcp.agent import file_name, find_agent, token_account
from upstash_helper.cli.mcp.bridge import Bridge
from upstash_helper.cli.mcp.daemon import Daemon
from upstash_helper.cli.mcp.lines import Output, warn
from upstash_helper.settings.profiles import SettingsError, locate
from upstash_helper.system import console

if TYPE_CHECKING:
    from upstash_helper.cli.mcp.arguments import McpRequest
    from upstash_helper.client.token_store import TokenStore

UNCERTAIN_AGENT: Final = (
    "The program that started this command cannot be told apart from others, as with code in the arguments of an"
    " interpreter, or a command in a shell. Its token is not kept, and access is requested each time."
)


def run_bridge(request: McpRequest) -> int:
    """Run the bridge until its client ends it, and return the exit code."""
    try:
        daemon = Daemon(*locate(profile=request.profile))
    except SettingsError as error:
        warn(str(error))
        return exit_codes.USAGE
    if console.is_terminal(sys.stdin):
        setup = daemon.command("setup")
        warn(f"Agents start this command and send JSON-RPC messages to it. To configure your agents: {setup}")
    access = open_access(daemon, request)
    access.begin()
    caught = Bridge(daemon, access, Output(sys.stdout.fileno())).run(sys.stdin.fileno())
    return exit_codes.INTERRUPTED if caught == signal.SIGINT else exit_codes.OK


def open_access(daemon: Daemon, request: McpRequest, *, warns_of_refusal: bool = True) -> Access:
    """Return the access of the agent that started this process. For ``warns_of_refusal``, see ``Access``."""
    agent = find_agent()
    account = token_account(agent, request.scopes)

    def open_store() -> TokenStore:
        from upstash_helper.cli.mcp.store import open_store

        daemon.require_startable()
        if not agent.is_certain:
            from upstash_helper.client.token_store import MemoryTokens

            warn(UNCERTAIN_AGENT)
            return MemoryTokens()
        return open_store(account, profile=daemon.profile, folders=daemon.folders)

    return Access(
        daemon,
        open_store,
        file_name=file_name(account) if agent.is_certain else None,
        fallback_name=agent.name,
        scopes=request.scopes,
        warn=warn,
        warns_of_refusal=warns_of_refusal,
    )
