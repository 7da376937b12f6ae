"""The demo's processes: a sandbox and a daemon, in temporary folders."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.cli.errors import Failure
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.settings.profiles import Folders, locate
from upstash_helper.system.processes import command_line, tail

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT: Final = 3000
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


class DemoEnvironment:
    """The processes of the demo and what they use."""

    def __init__(self, home: Path, stack: contextlib.ExitStack, *, partner: bool) -> None:
        self.home = home
        self.partner = partner
        """Whether the account is connected with a client ID, and not by the open sign-in."""
        self._stack = stack
        self._environ = _clean_environment() | {"UPSTASH_HELPER_HOME": str(home)}
        # Held until the daemon binds it, because the sandbox, which needs the number, starts first.
        self._held = stack.enter_context(_free_port())
        self.port = int(self._held.getsockname()[1])
        self.email = f"demo-{secrets.token_hex(3)}@example.com"
        self.password = secrets.token_urlsafe(12)
        self.sandbox: dict[str, Any] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def folders(self) -> Folders:
        """The folders of the demo's daemon."""
        return locate(environ=self._environ)[1]

    def start_sandbox(self) -> None:
        """
        Start the sandbox and wait until it is ready.

        Raises:
            Failure: If it exits instead.
        """
        data = self.home / "sandbox"
        arguments = ["--data", str(data), "--port", "0", "--redirect-uri", f"http://localhost:{self.port}"]
        arguments.append("--stop-with-parent")
        process, log = self._start(
            "sandbox", command_line(*arguments, module="upstash_helper.sandbox"), subprocess.PIPE
        )
        line = _first_line(process, _READY_SECONDS)
        if not line:
            raise _did_not_start("sandbox", log)
        self.sandbox = json.loads(line)

    def start_daemon(self) -> DaemonClient:
        """
        Start the daemon against the sandbox and wait until it is ready.

        Raises:
            Failure: If it exits instead.
        """
        settings = {
            "--port": str(self.port),
            **self._sign_in(),
            "--api-url": self.sandbox["api_url"],
            "--rest-url": self.sandbox["rest_url"],
            "--credential-store": "memory",
        }
        flags = [word for pair in settings.items() for word in pair]
        self._held.close()
        process, log = self._start(
            "daemon", command_line("run", "--no-browser", "--stop-with-parent", *flags), subprocess.DEVNULL
        )
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(DaemonUnreachable):
                return DaemonClient.discover(self.folders.runtime)
            time.sleep(0.01)
        raise _did_not_start("daemon", log)

    def _sign_in(self) -> dict[str, str]:
        if not self.partner:
            return {"--issuer-url": self.sandbox["issuer_url"]}
        return {"--client-id": self.sandbox["client_id"], "--auth-url": self.sandbox["auth_url"]}

    def diagnostics(self) -> Iterator[str]:
        """Yield what helps to understand a failure: which process has exited, and the ends of the logs."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                yield f"The {name} exited with code {process.returncode}."
        logs = {"daemon's log": self.folders.log_file}
        logs |= {f"{name}'s output": self.home / f"{name}.log" for name in self._processes}
        for name, path in logs.items():
            end = tail(path)
            if end:
                yield f"Last lines of the {name}:\n{end}"

    def _start(self, name: str, command: list[str], stdout: int) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.home / f"{name}.log"
        with log.open("wb") as errors:
            # --stop-with-parent: it stops when this process exits, however that happens.
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=stdout, stderr=errors, env=self._environ, cwd=self.home
            )
        self._processes[name] = process
        self._stack.callback(_stop, process)
        return process, log


@contextlib.contextmanager
def demo_environment(*, partner: bool) -> Iterator[DemoEnvironment]:
    """
    Create the environment, and remove it at the end.

    Args:
        partner: Whether the account is connected with a client ID, and not by the open sign-in.
    """
    # On Windows, a file may stay open for a moment after its process has exited.
    temporary = tempfile.TemporaryDirectory(prefix="upstash-helper-demo-", ignore_cleanup_errors=True)
    with temporary as folder, contextlib.ExitStack() as stack:
        yield DemoEnvironment(Path(folder), stack, partner=partner)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return the first line of a process's output; nothing if it ends without one, or none comes in time."""
    lines: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):  # closed at the end
            lines.append(process.stdout.readline() if process.stdout is not None else b"")

    reader = threading.Thread(target=read, name="demo-output", daemon=True)
    reader.start()
    reader.join(seconds)
    return lines[0] if lines else b""


def _free_port() -> socket.socket:
    """Return a socket bound to 127.0.0.1: port 3000 if it is free for IPv4 and IPv6, otherwise any free port."""
    for port in (PORT, 0):
        with contextlib.suppress(OSError):
            held = socket.socket(socket.AF_INET)
            try:
                if sys.platform != "win32":
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.bind(("127.0.0.1", port))
                held.listen(1)
                if not _in_use_on_ipv6(held.getsockname()[1]):
                    return held
            except OSError:
                held.close()
                raise
            held.close()
    message = "No port is free on 127.0.0.1."
    raise Failure(message, code="no_port")


def _in_use_on_ipv6(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("::1", port), timeout=1):
        return True
    return False


def _clean_environment() -> dict[str, str]:
    """Return the environment without the user's settings of the helper."""
    return {name: text for name, text in os.environ.items() if not name.startswith("UPSTASH_HELPER_")}


def _did_not_start(name: str, log: Path) -> Failure:
    return Failure(f"The {name} did not start.\n{tail(log)}", code=f"{name}_not_started")
