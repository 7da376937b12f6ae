"""The stdio bridge for tests: the real one, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from tests.support import mcp_agent
from tests.support.daemon import clean_environment
from upstash_helper.cli.mcp.agent import agent_of, file_name, token_account
from upstash_helper.cli.mcp.arguments import DEFAULT_SCOPES
from upstash_helper.cli.mcp.store import STORE_FOLDER
from upstash_helper.client.token_store import FileTokens
from upstash_helper.system.starters import Process, starter_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from upstash_helper.protocol.literals import Scope

SECONDS = 30.0
AGENT = str(Path(mcp_agent.__file__).resolve())
"""The script that starts the bridges."""
META = "io.modelcontextprotocol/"


class BridgeProcess:
    """A bridge, the agent that has started it, and the client's ends of its streams."""

    def __init__(self, home: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        """
        Args:
            home: The parent of all folders (``UPSTASH_HELPER_HOME``).
            arguments: Those of ``mcp``, and before it ``--profile`` if ``mcp`` is among them.
            environ: Its environment. By default, its token is kept in a file.
        """
        command = arguments if "mcp" in arguments else ("mcp", *arguments)
        self.process = subprocess.Popen(
            [sys.executable, AGENT, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home) if environ is None else dict(environ),
        )
        self.stderr: list[str] = []
        self._stopping = False
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @classmethod
    @contextmanager
    def running(cls, home: Path, *arguments: str, **options: Any) -> Iterator[Self]:
        """Start one, and end it on leaving."""
        bridge = cls(home, *arguments, **options)
        try:
            yield bridge
        finally:
            bridge.kill()

    @property
    def pid(self) -> int:
        """Its process ID. The process of the agent, which ends with it and has its exit code, is ``process``."""
        [child] = psutil.Process(self.process.pid).children()
        return child.pid

    def kill(self) -> None:
        """Kill it, if it is running."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                child.kill()
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not read any more
                    stream.close()

    def write(self, data: bytes) -> None:
        """Write something to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        line = self._lines.get(timeout=SECONDS)
        assert line is not None, f"it has ended: {''.join(self.stderr)}"
        received: dict[str, Any] = json.loads(line)
        return received

    def request(self, request_id: int | str, method: str, params: object = None) -> dict[str, Any]:
        """Send a request, and return the next message, which should be the response."""
        self.send(id=request_id, method=method, **({} if params is None else {"params": params}))
        return self.receive()

    def initialize(self, version: str = "2025-11-25", *, name: str = "an agent") -> dict[str, Any]:
        """Begin as clients of the versions before 2026-07-28 do, and return the response."""
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}
        response = self.request("init", "initialize", params)
        self.send(method="notifications/initialized")
        return response

    def nothing_arrives(self) -> bool:
        """Return whether there is no unread message. To be called after it has ended."""
        self._readers[0].join(SECONDS)
        return self._lines.get() is None

    def close_stdin(self) -> int:
        """Close its standard input, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(SECONDS)

    def stop_reading(self) -> None:
        """Close the client's end of standard output, once the next line has arrived."""
        self._stopping = True

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
            if self._stopping:
                self.process.stdout.close()
                return
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line.decode())


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a bridge that keeps its token in a file."""
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(home), "UPSTASH_HELPER_CREDENTIAL_STORE": "file"}


def tokens(home: Path, scopes: Sequence[Scope] = DEFAULT_SCOPES) -> FileTokens:
    """Return where the bridges of the agent keep their token."""
    own = starter_of(os.getpid())
    assert own is not None
    process = Process(own.pid, own.parent, own.started, own.is_ours, own.executable, (sys.executable, AGENT))
    account = token_account(agent_of(process), scopes)
    return FileTokens(home / "state" / STORE_FOLDER / file_name(account))


def stateless(*, client: str = "an agent", version: str = "2026-07-28", **params: Any) -> dict[str, Any]:
    """Return the parameters of a request without a session."""
    meta = {
        f"{META}protocolVersion": version,
        f"{META}clientInfo": {"name": client, "version": "1"},
        f"{META}clientCapabilities": {},
    }
    return {**params, "_meta": meta}
