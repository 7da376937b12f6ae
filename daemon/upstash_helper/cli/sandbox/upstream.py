"""The sandbox's process: whether it is running, starting it, and stopping it."""

from __future__ import annotations

import contextlib
import os
import time
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from upstash_helper.cli.errors import Failure
from upstash_helper.system import open_files, private_files
from upstash_helper.system.processes import command_line, start_detached, tail

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    import psutil

RUNNING_FILE: Final = "running.json"
"""In the data folder: the sandbox's description of itself."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
"""Databases save their data."""
_ASK_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_MAX_BYTES: Final = 16_384


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A running sandbox, as it describes itself."""

    auth_url: str
    api_url: str
    rest_url: str
    issuer_url: str
    client_id: str
    admin_url: str
    admin_token: str
    data: str
    backend: str
    tls_ca: str
    pid: int

    def __repr__(self) -> str:
        return f"Upstream(api_url={self.api_url!r}, …)"


class _Settings(msgspec.Struct):
    """Enough of the admin API's settings to tell a sandbox from another server, which may answer anything."""

    require_pkce: bool


class _ConsoleLink(msgspec.Struct):
    """The answer of the admin API to a request for a link."""

    url: str


def running(data: Path) -> Upstream | None:
    """Return the sandbox that uses a data folder, if it responds; otherwise None."""
    found = _described(data)
    return found if found is not None and _answers(found) else None


def console_link(upstream: Upstream) -> str:
    """
    Return an address that opens the sandbox's console once, within ten minutes.

    Raises:
        Failure: If the sandbox does not answer.
    """
    try:
        return msgspec.json.decode(_send(upstream, "POST", "console-links"), type=_ConsoleLink).url
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        raise Failure(f"The sandbox at {upstream.api_url} does not answer: {error}.", code="no_answer") from None


def start(data: Path, log: Path, *, ports: tuple[int, int, int], parent: int | None = None) -> subprocess.Popen[bytes]:
    """
    Start the sandbox in the background, without waiting until it is ready.

    Args:
        data: Its data folder.
        log: The file that receives its messages.
        ports: Of the API, the issuer, and the REST API, at the first start.
        parent: The end of a pipe: the sandbox stops when its other end is closed.

    Raises:
        OSError: If it cannot be started.
    """
    open_files.remove(data / RUNNING_FILE)  # left by one that was killed
    arguments = ("--data", str(data), "--first-ports", *map(str, ports), "--no-announcement")
    command = command_line(*arguments, module="upstash_helper.sandbox")
    if parent is not None:
        command.append("--stop-with-parent")
    return start_detached(command, output=log, folder=log.parent, stdin=parent)


def wait_until_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> Upstream:
    """
    Wait until the sandbox that was started is ready, and return it.

    Raises:
        Failure: If it exits (with its reason) or takes too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = _described(data)
        if found is not None:
            return found
        if process.poll() is not None:
            reason = tail(log) or f"It exited with code {process.returncode}; see {log}."
            raise Failure(f"The sandbox did not start. {reason}", code="sandbox_not_started")
        time.sleep(_POLL_SECONDS)
    process.terminate()
    message = f"The sandbox did not become ready within {START_SECONDS:.0f} s. See {log}."
    raise Failure(message, code="sandbox_not_started")


def stop(data: Path) -> bool:
    """
    Stop the sandbox that uses a data folder, and the database servers that a killed sandbox left behind. Wait until
    they have exited. Return whether there was anything to stop.

    Raises:
        Failure: If it does not stop.
    """
    import psutil

    found = running(data)
    if found is not None:
        with contextlib.suppress(OSError, HTTPException):  # it may exit before it answers
            _send(found, "POST", "stop")
    # A sandbox that does not respond, or is not ready yet, gets a signal.
    processes = _processes(data) if found is None else _process(found.pid)
    for process in processes:
        if found is None:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        if not _ends(process):
            message = f"The sandbox did not stop. Kill process {process.pid}."
            raise Failure(message, code="stop_timed_out")
    left = _servers(data)
    for server in left:
        _end_server(server, data)
    return found is not None or bool(processes) or bool(left)


def _process(pid: int) -> list[psutil.Process]:
    """Return the process, unless it has ended."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return [psutil.Process(pid)]
    return []


def _processes(data: Path) -> list[psutil.Process]:
    """Return the processes of sandboxes that use a data folder."""
    return _matching(lambda words: is_sandbox_of(words, data))


def _servers(data: Path) -> list[psutil.Process]:
    """
    Return the database servers that a killed sandbox left running. Only on Linux do they end with it, except for one
    that cannot save its data.
    """
    folders = tuple(f"{folder / 'databases'}{os.sep}" for folder in (data, data.resolve()))
    return _matching(lambda words: len(words) > 1 and words[1].startswith(folders) and words[1].endswith(".conf"))


def _end_server(server: psutil.Process, data: Path) -> None:
    """
    End a database's server, after it has saved its data.

    Raises:
        Failure: If it does not end.
    """
    import psutil

    with contextlib.suppress(psutil.Error):
        configuration = next(iter(server.cmdline()[1:]), "")
        server.terminate()
        if not Path(configuration).parent.is_dir():
            server.kill()  # it refuses to end, because it cannot save, and there is nothing to save
    if not _ends(server):
        message = f"A database of the sandbox did not stop. Kill process {server.pid}; its data is in {data}."
        raise Failure(message, code="stop_timed_out")


def _matching(condition: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """Return the processes whose command lines match."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if condition(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _ends(process: psutil.Process) -> bool:
    import psutil

    deadline = time.monotonic() + STOP_SECONDS
    with contextlib.suppress(psutil.Error):
        # In a container, there may be no process that reaps zombies.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
    return True


def is_sandbox_of(words: list[str], data: Path) -> bool:
    """Return whether a command line is that of a sandbox that uses a data folder."""
    return "upstash_helper.sandbox" in words and str(data) in words


def _described(data: Path) -> Upstream | None:
    with contextlib.suppress(OSError, private_files.NotPrivate, msgspec.MsgspecError, UnicodeDecodeError):
        content = private_files.read(data / RUNNING_FILE, limit=_MAX_BYTES)
        return None if content is None else msgspec.json.decode(content, type=Upstream)
    return None


def _answers(upstream: Upstream) -> bool:
    """Return whether the sandbox answers. Another server may have the port of one that was killed."""
    try:
        msgspec.json.decode(_send(upstream, "GET", "settings"), type=_Settings)
    except (OSError, HTTPException, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _send(upstream: Upstream, method: str, name: str) -> bytes:
    """
    Send a request to the admin API, and return the answer's body.

    Raises:
        OSError: If there is no response, or it is an error.
        HTTPException: If the response is not HTTP.
    """
    url = f"{upstream.admin_url}/{name}"
    headers = {"Authorization": f"Bearer {upstream.admin_token}"}
    request = Request(url, method=method, headers=headers)  # noqa: S310 - a URL of the sandbox
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_ASK_SECONDS) as answer:
            body: bytes = answer.read(_MAX_BYTES)
    except (HTTPError, URLError, ValueError) as error:
        raise OSError(str(error)) from None
    return body
