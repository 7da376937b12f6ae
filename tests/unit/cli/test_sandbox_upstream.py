"""The sandbox's description of itself, which a killed one leaves behind."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from upstash_helper.cli.sandbox import upstream
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Answer every connection with the same bytes, and yield the port."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def describe(data: Path, port: int) -> None:
    """Leave the file of a sandbox that was killed. Its process ID is now that of another program: this one."""
    url = f"http://127.0.0.1:{port}"
    names = (name for name in upstream.Upstream.__struct_fields__ if name != "pid")
    values = {**dict.fromkeys(names, url), "pid": os.getpid()}
    data.mkdir()
    private_files.write(data / upstream.RUNNING_FILE, msgspec.json.encode(values))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"-ERR unknown command 'GET'\r\n",
        b"",
    ],
)
def test_other_server_at_the_port_of_a_killed_sandbox_is_not_the_sandbox(tmp_path: Path, answer: bytes) -> None:
    """
    Whatever it answers: it is not taken for the sandbox, and the process that has the sandbox's number is left alone.
    """
    data = tmp_path / "sandbox"
    with server(answer) as port:
        describe(data, port)

        assert upstream.running(data) is None
        assert upstream.stop(data) is False


def test_sandbox_that_answers_is_running(tmp_path: Path) -> None:
    """
    It is recognized by its settings.
    """
    data = tmp_path / "sandbox"
    body = b'{"require_pkce":true}'
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as port:
        describe(data, port)

        found = upstream.running(data)

    assert found is not None
    assert os.getpid() == found.pid
