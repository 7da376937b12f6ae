"""T74: a crash of a process that holds secrets writes no core dump, and other programs cannot read its memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import START_SECONDS, clean_environment
from tests.support.until import until
from tests.support.users import two_users
from tests.support.world import free_port
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import locate

if TYPE_CHECKING:
    from collections.abc import Sequence

if sys.platform != "linux":
    pytest.skip("platform: /proc and PR_SET_DUMPABLE are Linux's", allow_module_level=True)

MODULE = (sys.executable, "-P", "-m", "upstash_helper")
_ASKS = """
import contextlib, ctypes, sys
with contextlib.suppress(Exception):
    {code}
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""


ALLOWED = ("sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh")
"""In front of a command: core dumps may be of any size, as on many developers' machines."""


def end_of(pid: int, number: signal.Signals) -> int:
    """Crash a process, and return how it ended: ``os.CLD_KILLED``, or ``os.CLD_DUMPED`` with a core dump."""
    os.kill(pid, number)
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_code


def dumps_are_written(folder: Path) -> bool:
    """Return whether a process that crashes here leaves a core dump, wherever the system puts it."""
    command = (*ALLOWED, sys.executable, "-I", "-S", "-c", "import os; print(flush=True); os.read(0, 1)")
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return end_of(process.pid, signal.SIGABRT) == os.CLD_DUMPED


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    if not dumps_are_written(tmp_path):
        pytest.skip("platform: this system writes no core dumps (core_pattern)")
    for dump in tmp_path.iterdir():
        dump.unlink()
    return tmp_path


def serving(environment: dict[str, str], *, stops: subprocess.Popen[bytes] | None = None) -> DaemonClient:
    """Wait until the daemon serves, and return a client of it."""

    def find() -> DaemonClient | None:
        assert stops is None or stops.poll() is None
        try:
            client = DaemonClient.discover(locate(environ=environment)[1].runtime)
            client.health()
        except ClientError:
            return None
        return client

    found = until(find, seconds=START_SECONDS)
    assert found is not None
    return found


def arguments(*words: str) -> Sequence[str]:
    """Return the command line of a daemon that opens and stores nothing outside its folder."""
    return (
        *ALLOWED,
        *MODULE,
        *words,
        f"--port={free_port()}",
        "--credential-store=memory",
        "--no-browser",
        "--no-notifications",
    )


def test_t74_run_leaves_no_core_dump(home: Path) -> None:
    """
    A daemon in the foreground that crashes leaves no core dump, even if the user's shell allows them.
    """
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(home / "helper")}
    with subprocess.Popen(arguments("run"), env=environment, cwd=home, stderr=subprocess.DEVNULL) as process:
        try:
            serving(environment, stops=process)
            limits = Path(f"/proc/{process.pid}/limits").read_text()

            how = end_of(process.pid, signal.SIGABRT)
        finally:
            process.kill()

    assert os.CLD_KILLED == how
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert ["helper"] == [file.name for file in home.iterdir()]


def test_t74_start_leaves_no_core_dump(home: Path) -> None:
    """
    The same applies to a daemon that `start` has started in the background.
    """
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(home / "helper")}
    subprocess.run(arguments("start"), env=environment, cwd=home, check=True, capture_output=True)
    client = serving(environment)
    process = client.status().pid

    limits = Path(f"/proc/{process}/limits").read_text()
    os.kill(process, signal.SIGABRT)
    until(lambda: not Path(f"/proc/{process}/stat").exists() or ") Z " in Path(f"/proc/{process}/stat").read_text())

    assert re.search(r"Max core file size +0 +0 ", limits)
    assert [] == [str(file) for file in home.rglob("core*") if file.is_file()]


@pytest.mark.parametrize(
    "code",
    [
        "from upstash_helper.system import core_dumps; core_dumps.disable()",
        "sys.argv[1:] = ['nobody']; from upstash_helper.storage.credentials import delete_credential as it; it.main()",
        "sys.stdin = open('/dev/null'); from upstash_helper_tray.dispatch.clipboard_process import main; main(['put'])",
    ],
    ids=["the function", "deletes the key", "copies a secret"],
)
def test_t74_processes_with_secrets_are_not_dumpable(tmp_path: Path, code: str) -> None:
    """
    The kernel is told not to write a core dump, which also holds where a program receives them through a pipe.
    """
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": ""}

    done = subprocess.run(
        (sys.executable, "-c", _ASKS.format(code=code)), env=environment, capture_output=True, text=True, check=True
    )

    assert "0" == done.stdout.splitlines()[-1][-1]


async def test_t74_other_programs_of_the_user_cannot_read_the_memory() -> None:
    """
    Another program of the same user can read neither the memory nor the environment of the daemon, and the user's own
    tools can still find, identify, and stop it.
    """
    with two_users() as (user, _):
        port = str(free_port())
        settings = ("--port", port, "--credential-store", "memory")
        started = await user.helper("start", *settings)
        assert 0 == started.code, started.err
        process = (await user.helper("status", "--json")).json["pid"]

        readable = await user.evaluate(
            "result = []\n"
            "for name in ('mem', 'environ', 'maps'):\n"
            "    try: open(f'/proc/{given}/{name}', 'rb').close(); result.append(name)\n"
            "    except PermissionError: pass\n",
            process,
        )
        stopped = await user.helper("stop")

    assert [] == readable
    assert 0 == stopped.code, stopped.err
