"""
Two users of one machine, each with a home folder, a runtime folder, and processes that run as that user.

They use the Python of the tests, which may be below a folder that only root can access, such as ``/root``. In that case
their programs run in a mount namespace in which the folder is accessible, and contains nothing but Python and the
checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from install.environment import ROOT
from tests.support.command_line import Ran
from tests.support.other_programs import skip_unless_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SECONDS: Final = 60.0

# Accounts that exist on every Linux.
NAMES: Final = ("nobody", "daemon")

_BECOME: Final = """\
set -e
hold=$1 uid=$2 gid=$3; shift 3
{mounts}
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"
"""

RECORDER: Final = """
import socket, sys, threading
received = []
def serve(listening):
    while True:
        one, _ = listening.accept()
        received.append(b"")
        with one:
            one.settimeout(0.5)
            try:
                while data := one.recv(65536):
                    received[-1] += data
            except OSError:
                pass
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    one = socket.socket(family)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, int(sys.argv[1])))
    one.listen()
    threading.Thread(target=serve, args=[one], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
print(repr(received), flush=True)
"""
"""A server that does not respond, and prints what it has received at the end."""


@dataclass
class User:
    """A user."""

    name: str
    base: Path
    """A folder that all users can access."""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        """The user id."""
        return pwd.getpwnam(self.name).pw_uid

    @property
    def home(self) -> Path:
        """The home folder. As on many systems, all users can access and list it."""
        return self.base / f"home of {self.name}"

    @property
    def runtime(self) -> Path:
        """The equivalent of ``/run/user/UID``: private, as the XDG Base Directory Specification requires."""
        return self.base / f"run-{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs in the user's session."""
        own = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), "USER": self.name}
        quiet = {"UPSTASH_HELPER_OPEN_BROWSER": "false", "UPSTASH_HELPER_NOTIFICATIONS": "false"}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own, **quiet, **self.variables}

    def make_folders(self) -> None:
        """Create the home and the runtime folder."""
        for folder, mode in ((self.home, 0o755), (self.runtime, 0o700)):
            folder.mkdir(mode=mode)
            os.chown(folder, self.uid, pwd.getpwnam(self.name).pw_gid)

    def command(self, *program: str) -> list[str]:
        """Return the command that runs a program as this user."""
        group = str(pwd.getpwnam(self.name).pw_gid)
        covered = _covered()
        script = _BECOME.format(mounts=_mounts(covered))
        apart = ["unshare", "--mount"] if covered else []
        return [*apart, "sh", "-c", script, "sh", str(self.base / "hold"), str(self.uid), group, *program]

    def start(self, *program: str, **variables: str) -> subprocess.Popen[str]:
        """Start a program."""
        return subprocess.Popen(
            self.command(*program), env=self.environment | variables, cwd="/", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    async def helper(self, *arguments: str, typed: str = "", **variables: str) -> Ran:
        """Run ``upstash-helper``, and wait for its end."""
        return await self.python("-P", "-m", "upstash_helper", *arguments, typed=typed, **variables)

    async def python(self, *arguments: str, typed: str = "", **variables: str) -> Ran:
        """Run Python, and wait for its end."""
        process = await asyncio.create_subprocess_exec(
            *self.command(sys.executable, *arguments), env=self.environment | variables, cwd="/",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(typed.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def evaluate(self, code: str, given: Any) -> Any:
        """Run Python ``code`` that computes ``result`` from ``given``. Both must be JSON-serializable."""
        program = f"import json, sys\ngiven = json.load(sys.stdin)\n{code}\nprint(json.dumps(result))"
        ran = await self.python("-I", "-S", "-c", program, typed=msgspec.json.encode(given).decode())
        assert 0 == ran.code, ran.err
        return ran.json

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[list[bytes]]:
        """Run a server of this user on a port. After the end, the list contains what it received."""
        received: list[bytes] = []
        with self.start(sys.executable, "-I", "-S", "-c", RECORDER, str(port)) as process:
            try:
                assert process.stdout is not None
                assert "ready\n" == process.stdout.readline()
                yield received
                output, _ = process.communicate("", SECONDS)
                received.extend(_read_list(output))
            finally:
                process.kill()


@contextlib.contextmanager
def two_users() -> Iterator[tuple[User, User]]:
    """Yield two users of this machine, or skip the test if programs cannot run as other users."""
    skip_unless_root()
    if sys.platform != "linux":
        pytest.skip("platform: the two users are accounts that exist on every Linux")
    # Not a folder of pytest, which other users cannot access.
    base = Path(tempfile.mkdtemp(prefix="uh-users-"))
    try:
        base.chmod(0o755)
        (base / "hold").mkdir()
        first, second = (User(name, base) for name in NAMES)
        for user in (first, second):
            user.make_folders()
        _skip_unless_they_can_run(second)
        yield first, second
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _skip_unless_they_can_run(user: User) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (of the package util-linux) is not installed")
    command = user.command(sys.executable, "-c", "import upstash_helper.runtime.serve")
    done = subprocess.run(command, env=user.environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"platform: mounting is not allowed: {done.stderr.strip()}")
    assert not done.returncode, done.stderr


def _needed() -> Sequence[Path]:
    return [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT.resolve()]


def _covered() -> Mapping[Path, list[Path]]:
    """Return the folders that other users cannot access, each with the paths below it that they need."""
    found: dict[Path, list[Path]] = {}
    for path in _needed():
        closed = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH]
        if closed:
            found.setdefault(closed[0], []).append(path)
    return found


def _mounts(covered: Mapping[Path, list[Path]]) -> str:
    """Return the lines of sh that replace inaccessible folders by accessible ones with only the needed paths."""
    lines = ['mount -t tmpfs tmpfs "$hold"'] if covered else []
    numbered = list(enumerate(path for paths in covered.values() for path in paths))
    lines += [f'mkdir "$hold/{number}"; mount --rbind {_quoted(path)} "$hold/{number}"' for number, path in numbered]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {_quoted(folder)}" for folder in covered]
    lines += [f'mkdir -p {_quoted(path)}; mount --rbind "$hold/{number}" {_quoted(path)}' for number, path in numbered]
    return "\n".join(lines)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _read_list(text: str) -> list[bytes]:
    import ast

    found: list[bytes] = ast.literal_eval(text)
    return found
