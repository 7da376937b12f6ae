"""
Measures an agent's server over standard input and output, from its start to its first response, and its memory: the
bridge with a running daemon, and Upstash's own server, which npm installs into a temporary folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from tests.support.daemon import DaemonProcess
from tests.support.mcp_bridge import AGENT, BridgeProcess, environment, tokens
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

UPSTASH = "@upstash/mcp-server@0.3.0"
# Its token is that of an agent, which is a script. Its start is measured, too, but not its memory.
BRIDGE = (sys.executable, AGENT, "mcp")

# It lists the account's databases before it begins. The list comes at once, so that no network is measured.
_NO_NETWORK = (
    "data:text/javascript,globalThis.fetch = async () => "
    "new Response('[]', { headers: { 'Content-Type': 'application/json' } })"
)

_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}
_INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
_LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


class Measured(NamedTuple):
    """One run."""

    first_seconds: float
    """From the start of the process to the response to ``initialize``."""
    list_seconds: float
    """To the list of tools."""
    pss: float
    """Proportional memory after it, in bytes, with child processes."""
    rss: float


def upstash_command(folder: Path) -> list[str] | None:
    """Install Upstash's server, and return its command; None without npm."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    install = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", UPSTASH]
    if subprocess.run(install, check=False).returncode:
        return None
    script = folder / "node_modules" / "@upstash" / "mcp-server" / "dist" / "index.js"
    return [node, "--import", _NO_NETWORK, str(script), "--email", "bench@example.com", "--api-key", "none"]


@contextmanager
def approved_bridge(home: Path) -> Iterator[Mapping[str, str]]:
    """Run a daemon that has approved the bridges of this process. Yield their environment."""
    with DaemonProcess.running(home) as daemon:
        with BridgeProcess.running(home) as bridge:
            bridge.initialize()
            daemon.client.approve(until(daemon.client.pairings)[0].id)
            until(tokens(home).load)
        yield environment(home)


def measure(command: Sequence[str], env: Mapping[str, str] | None = None) -> Measured:
    """Run a server once."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as process:
        assert process.stdin is not None
        with closing(process.stdin) as stdin:
            assert process.stdout is not None

            def ask(*messages: Mapping[str, Any]) -> dict[str, Any]:
                stdin.write(b"".join(json.dumps(it).encode() + b"\n" for it in messages))
                stdin.flush()
                assert process.stdout is not None
                answer: dict[str, Any] = json.loads(process.stdout.readline())
                return answer

            assert "serverInfo" in ask(_INITIALIZE)["result"]
            first = time.perf_counter() - started
            assert ask(_INITIALIZED, _LIST)["result"]["tools"]
            listed = time.perf_counter() - started
            agent = [] if AGENT in command else [psutil.Process(process.pid)]
            family = [*agent, *psutil.Process(process.pid).children(recursive=True)]
            memory = [it.memory_full_info() for it in family]
    return Measured(first, listed, sum(it.pss for it in memory), sum(it.rss for it in memory))
