"""A database on a real Valkey server, with a generated configuration."""

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

from upstash_helper.sandbox.errors import ServerError
from upstash_helper.sandbox.redis.dialect import users
from upstash_helper.sandbox.redis.records import MAX_RECORD_BYTES
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply
from upstash_helper.sandbox.redis.servers import Capability, Passwords, Role, ServerConfig
from upstash_helper.system import open_files, private_files

ADMIN_USER = users.ADMINISTRATOR.decode()
SHUTDOWN_COMMAND_SECONDS = 1.0
STOP_SECONDS = 2.0
SCRIPT_SECONDS = 7.0
"""How long it takes to end a script: the server handles nothing else before it has run for 5 seconds."""
START_SECONDS = 20.0
LEFTOVER_SECONDS = 10.0
"""How long a server that a crashed sandbox left running may take to start saving its data, or to exit."""
NOTIFICATION_FLAGS = frozenset("KEg$lshzxetdmnA")

# Like Upstash, without administration. MIGRATE could connect to other machines, and SCRIPT DEBUG forks the server.
ACL_RULES: dict[Role, str] = {
    "default": "~* &* +@all -@admin +acl|deluser +acl|dryrun +acl|getuser +acl|list +acl|setuser +acl|users"
    " +client|kill +client|list +client|unblock +config|get +config|set +monitor -migrate -script|debug",
    "default_ro": "~* &* +@read +@connection +@transaction +subscribe +psubscribe +ssubscribe +unsubscribe"
    " +punsubscribe +sunsubscribe +eval_ro +evalsha_ro +fcall_ro +script|load +script|exists +command +info +time +echo"
    " -@admin -keys -scan",
}


class ValkeyServer:
    """Runs one Valkey process, which listens on a Unix socket only."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"snapshots", "eviction", "memory-limit", "persistence"})

    def __init__(self, *, binary: Path, folder: Path, socket: Path) -> None:
        """
        Args:
            binary: The ``valkey-server`` executable.
            folder: The folder for its configuration and data, used by nothing else.
            socket: The path of its Unix socket.
        """
        self._binary = binary
        self._folder = folder
        self.socket = socket
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._config: ServerConfig | None = None
        # New in each process. Only its hash is written to disk.
        self._admin_password = secrets.token_urlsafe(32)

    @property
    def running(self) -> bool:
        """Whether it has been started and has not exited."""
        return self._process is not None and self._process.returncode is None

    async def prepare(self) -> None:
        """Create the folder if it does not exist, and terminate a server that a crashed sandbox has left running."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._pidfile.exists():
            await asyncio.to_thread(_stop_leftover_process, self._folder)

    async def start(self, config: ServerConfig) -> None:
        """Load the data from the folder, and return once the server accepts connections."""
        await self.prepare()
        self._configure(config)
        await self._spawn()

    async def stop(self) -> None:
        """Save the data and stop."""
        await self._terminate(save=True)

    async def kill(self) -> None:
        """Stop without saving."""
        await self._terminate(save=False)

    async def connect_as_admin(self) -> Connection:
        """Return a new connection of the administrator."""
        return await Connection.open(self.socket, user=ADMIN_USER, password=self._admin_password)

    async def set_passwords(self, passwords: Passwords) -> None:
        """See ``DatabaseServer``."""
        self._configure(msgspec.structs.replace(self._current, passwords=passwords))
        async with await self.connect_as_admin() as admin:
            await admin.expect("ACL", "SETUSER", "default", "resetpass", _hashed(passwords.default))
            await admin.expect("ACL", "SETUSER", "default_ro", "resetpass", _hashed(passwords.read_only))
            await self._drop_clients(admin)

    async def set_eviction(self, *, enabled: bool) -> None:
        """See ``DatabaseServer``."""
        self._configure(msgspec.structs.replace(self._current, eviction=enabled))
        async with await self.connect_as_admin() as admin:
            await admin.expect("CONFIG", "SET", "maxmemory-policy", _eviction_policy(enabled=enabled))

    async def set_memory_limit(self, limit: int) -> None:
        """See ``DatabaseServer``."""
        self._configure(msgspec.structs.replace(self._current, memory_limit=limit))
        async with await self.connect_as_admin() as admin:
            await admin.expect("CONFIG", "SET", "maxmemory", limit)

    async def snapshot(self, target: Path) -> None:
        """See ``DatabaseServer``."""
        async with await self.connect_as_admin() as admin:
            while isinstance(reply := await admin.call("SAVE"), ErrorReply):
                if b"in progress" not in reply.text:
                    raise ServerError(f"the snapshot failed: {reply.text.decode(errors='replace')}")
                await asyncio.sleep(0.05)
        await asyncio.to_thread(shutil.copyfile, self._folder / "dump.rdb", target)

    async def restore(self, source: Path) -> None:
        """See ``DatabaseServer``."""
        await self._terminate(save=False)
        await asyncio.to_thread(shutil.copyfile, source, self._folder / "dump.rdb")
        await self._spawn()

    async def info(self) -> dict[str, str]:
        """See ``DatabaseServer``."""
        async with await self.connect_as_admin() as admin:
            reply = await admin.expect("INFO", "all")
        text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
        pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
        return {name: value for name, colon, value in pairs if colon}

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """See ``DatabaseServer``."""
        async with await self.connect_as_admin() as admin:
            reply = await admin.expect("COMMAND", "LIST", "FILTERBY", "ACLCAT", category)
        names = reply if isinstance(reply, list) else []
        return frozenset(name.decode() for name in names if isinstance(name, bytes))

    @property
    def _pidfile(self) -> Path:
        return self._folder / "valkey.pid"

    @property
    def _current(self) -> ServerConfig:
        if self._config is None:
            raise ServerError("the database's server is not running")
        return self._config

    async def _drop_clients(self, admin: Connection) -> None:
        for user in ACL_RULES:  # unauthenticated connections count as `default`
            await admin.expect("CLIENT", "KILL", "USER", user)

    def _configure(self, config: ServerConfig) -> None:
        """Write the configuration file before the running server is changed, so that a restart uses the new one."""
        self._config = config
        private_files.write(self._folder / "valkey.conf", self._configuration(config).encode())

    def _configuration(self, config: ServerConfig) -> str:
        passwords = {"default": config.passwords.default, "default_ro": config.passwords.read_only}
        lines = [
            "port 0",
            f"unixsocket {_quoted(self.socket)}",
            "unixsocketperm 700",
            f"dir {_quoted(self._folder)}",
            f"pidfile {_quoted(self._pidfile)}",
            "dbfilename dump.rdb",
            "daemonize no",
            # Timer ticks per second. There may be hundreds of idle databases. Keys still expire on time when read.
            "hz 1",
            "set-proc-title no",  # a leftover process is recognized by its configuration file on the command line
            'logfile ""',
            "databases 1",
            f"proto-max-bulk-len {MAX_RECORD_BYTES}",
            "maxclients 1000",
            "save 60 1",
            "shutdown-on-sigterm save",
            "appendonly no",
            f'notify-keyspace-events "{self._read_notifications()}"',
            f"maxmemory {config.memory_limit}",
            f"maxmemory-policy {_eviction_policy(enabled=config.eviction)}",
            f"user {ADMIN_USER} on {_hashed(self._admin_password)} ~* &* +@all",
            *(f"user {role} on {_hashed(passwords[role])} {rules}" for role, rules in ACL_RULES.items()),
            *self._read_users(),
        ]
        return "\n".join([*lines, ""])

    async def keep_users(self) -> None:
        """Keep the users that clients have made, for the next start. Passwords are kept as hashes only."""
        async with await self.connect_as_admin() as admin:
            lines = await admin.expect("ACL", "LIST")
        listed = [line for line in lines if isinstance(line, bytes)] if isinstance(lines, list) else []
        own = [users.quoted(line) + "\n" for line in listed if users.is_listed(line)]
        private_files.write(self._users, "".join(own).encode())
        self._configure(self._current)

    def _read_users(self) -> list[str]:
        try:
            return open_files.read_bytes(self._users).decode().splitlines()
        except FileNotFoundError:
            return []

    def keep_notifications(self, flags: bytes) -> None:
        """Keep the flags of keyspace notifications, which a client has set, for the next start."""
        private_files.write(self._notifications, flags)

    def _read_notifications(self) -> str:
        try:
            flags = open_files.read_bytes(self._notifications).decode("ascii", "replace")
        except FileNotFoundError:
            return ""
        return flags if set(flags) <= NOTIFICATION_FLAGS else ""

    @property
    def _users(self) -> Path:
        return self._folder / "users.acl"

    @property
    def _notifications(self) -> Path:
        return self._folder / "notify-keyspace-events"

    async def _spawn(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            self._folder / "valkey.conf",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C must reach only the sandbox, which then stops the server
            preexec_fn=_terminate_with_parent(),
        )
        output = self._process.stdout
        if output is None:
            raise ServerError("the database's server has no output")
        try:
            await asyncio.wait_for(_until_ready(output), START_SECONDS)
        except (ServerError, TimeoutError) as error:
            await self._terminate(save=False)
            if isinstance(error, ServerError):
                raise
            raise ServerError(f"the database's server was not ready after {START_SECONDS:.0f} seconds") from error
        self._output = asyncio.create_task(_drain(output))

    async def _terminate(self, *, save: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None and not save:
            process.kill()
        elif process.returncode is None:
            await self._send_shutdown()
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # if SHUTDOWN failed; handled at the server's next timer tick
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            if _is_saving(self._folder, process.pid):
                return  # it exits afterwards, and the next start waits for it
            await self._end_script(process)
        if self._output is not None:
            # A process that the server has forked may still have the other end.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._output, STOP_SECONDS)
            self._output = None

    async def _send_shutdown(self) -> None:
        with contextlib.suppress(OSError, EOFError, ServerError, TimeoutError):
            async with asyncio.timeout(SHUTDOWN_COMMAND_SECONDS), await self.connect_as_admin() as admin:
                await admin.call("SHUTDOWN", "SAVE")

    async def _end_script(self, process: asyncio.subprocess.Process) -> None:
        """Kill a script that does not end, which would keep the process running forever, and then the process."""
        with contextlib.suppress(OSError, EOFError, ServerError, TimeoutError):
            async with asyncio.timeout(SCRIPT_SECONDS), await self.connect_as_admin() as admin:
                await admin.pipeline([("SCRIPT", "KILL"), ("FUNCTION", "KILL")])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        if process.returncode is None and not _is_saving(self._folder, process.pid):
            process.kill()  # the script has written data, so the server does not let it be killed alone
            await process.wait()


async def _until_ready(output: asyncio.StreamReader) -> None:
    """Read the server's log until it accepts connections."""
    last: deque[str] = deque(maxlen=3)
    while line := (await output.readline()).decode(errors="replace").strip():
        if "Ready to accept connections unix" in line:
            return
        last.append(line)
    message = " | ".join(last)
    raise ServerError(f"Valkey did not start: {message}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(64 * 1024):
        pass


def _stop_leftover_process(folder: Path) -> None:
    """Terminate a server left running by a crashed sandbox, recognized by this folder's configuration file."""
    import psutil

    pidfile = folder / "valkey.pid"
    try:
        process = psutil.Process(int(pidfile.read_text("utf-8")))
        if str(folder / "valkey.conf") in process.cmdline():
            process.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(timeout=LEFTOVER_SECONDS)
            if process.is_running() and not _is_saving(folder, process.pid):
                process.kill()  # it runs a script that does not end
            process.wait(timeout=START_SECONDS)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    except psutil.TimeoutExpired as error:
        raise ServerError(
            f"process {error.pid}, left over from a crash, does not exit; terminate it manually"
        ) from error
    pidfile.unlink(missing_ok=True)


def _is_saving(folder: Path, pid: int) -> bool:
    """Return whether this process writes the data to its temporary file."""
    return (folder / f"temp-{pid}.rdb").exists()


def _terminate_with_parent() -> Callable[[], None] | None:
    """
    Return a ``preexec_fn`` that makes Linux terminate the child when the sandbox dies, even if it is killed.

    None on other systems. There the next start terminates the server.
    """
    before_exec = None
    if sys.platform == "linux":
        prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

        def before_exec() -> None:
            prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)

    return before_exec


def _eviction_policy(*, enabled: bool) -> str:
    return "allkeys-lru" if enabled else "noeviction"


def _hashed(password: str) -> str:
    """Return a password's hash in the format of Valkey's ACL rules."""
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
