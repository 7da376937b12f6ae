"""
A real ``systemd --user``, with login and logout, on a machine that need not run systemd itself.

It has its own namespaces of mounts, processes, users, control groups, and network, so that port 3000 is free and
nothing outside is affected. In them the user is not an administrator, even if root runs the tests.

    with UserSystemd.running(home) as session:
        session.run("systemctl", "--user", "list-units")

Inside, ``python -m tests.support.user_systemd_inside`` executes the requests.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
MANAGER = Path("/lib/systemd/systemd")

_AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_KEPT = ("PATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE")


@dataclass(frozen=True)
class Ended:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class UserSystemd:
    """A user's session. Its service manager can be stopped and started, like by logging out and in."""

    def __init__(self, process: subprocess.Popen[str], home: Path, runtime: Path) -> None:
        """
        Args:
            process: The process that runs the commands inside.
            home: The user's home folder.
            runtime: ``XDG_RUNTIME_DIR``.
        """
        self._process = process
        self.home = home
        self.runtime = runtime

    @classmethod
    @contextlib.contextmanager
    def running(cls, home: Path, *, systemd: bool = True) -> Iterator[Self]:
        """
        Log a user in, and end everything on leaving.

        Args:
            home: The user's home folder.
            systemd: Whether the machine appears to run systemd.
        """
        prefix = _namespaces()
        home.mkdir(parents=True, exist_ok=True)
        runtime = Path(tempfile.mkdtemp(prefix="uhsd"))  # short, because it will contain sockets
        environ = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        environ |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        with _control_group() as group:
            inside = [sys.executable, "-m", "tests.support.user_systemd_inside", str(group), "systemd" * systemd]
            process = subprocess.Popen(
                ["sh", "-c", 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', "sh", str(group), *prefix, *inside],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            session = cls(process, home, runtime)
            try:
                if systemd:
                    session.log_in()
                yield session
            finally:
                process.kill()  # the first process of its namespace: the others end with it
                process.communicate()
                shutil.rmtree(runtime, ignore_errors=True)

    def log_in(self) -> None:
        """Start the service manager, and wait until it has finished starting."""
        self._request({"do": "log_in"})
        until(lambda: self.run("systemctl", "--user", "is-system-running").out.strip() in {"running", "degraded"})

    def log_out(self) -> None:
        """Stop the service manager, and wait until it and everything it ran have ended."""
        self._request({"do": "log_out"})

    def run(self, *argv: str, environ: Mapping[str, str] | None = None, typed: str = "") -> Ended:
        """Run a command in the session, and wait for its end."""
        return Ended(**self._request({"do": "run", "argv": argv, "environ": dict(environ or {}), "typed": typed}))

    def helper(self, *arguments: str, **options: Any) -> Ended:
        """Run ``upstash-helper``."""
        return self.run(sys.executable, "-P", "-m", "upstash_helper", *arguments, **options)

    def _request(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process inside ended with {self._process.wait()}"
        return json.loads(answer)


@functools.cache
def _namespaces() -> tuple[str, ...]:
    """Return the command that starts a program with its own namespaces, or skip the test."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has systemd")
    if not MANAGER.exists() or shutil.which("systemctl") is None:
        pytest.skip("systemd is missing: apt-get install systemd")
    for root in ((), ("--map-root-user",)):
        prefix = ("unshare", *root, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--net")
        probe = subprocess.run((*prefix, *_AS_USER, "true"), capture_output=True, check=False)
        if probe.returncode == 0:
            return prefix
    pytest.skip("platform: this system allows namespaces only for root")


@contextlib.contextmanager
def _control_group() -> Iterator[Path]:
    """Create a control group for the session, and remove it once it is empty again."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    tree = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    if tree is None:
        pytest.skip("platform: this system has no control groups of version 2")
    group = tree / own.removeprefix("0::/") / f"upstash-helper-{os.urandom(4).hex()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").open("a").close()
    except OSError:
        pytest.skip("platform: this user may not make a control group")
    try:
        yield group
    finally:
        until(lambda: _removed(group))


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
