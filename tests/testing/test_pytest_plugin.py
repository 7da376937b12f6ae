"""The pytest plugin, in runs of pytest of another project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.child_sandbox import pids_in, runs
from tests.support.daemon import clean_environment
from tests.support.until import until
from upstash_helper.testing.sandbox import SandboxNotStarted, TestingSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 120

TESTS = """
import os
import redis
import pytest

@pytest.mark.parametrize("number", range(4))
def test_database_is_empty(number, upstash_database, upstash_sandbox):
    with redis.Redis.from_url(upstash_database.url, decode_responses=True) as database:
        assert database.dbsize() == 0
        database.set("key", number)
    with open(os.environ["SEEN"] + "." + str(os.getpid()), "a") as file:
        file.write(upstash_sandbox.base_url + " " + upstash_database.id + "\\n")
"""

APP = """
from upstash_helper.client import Helper, MemoryTokens

def test_app_has_access(upstash_sandbox, monkeypatch):
    for name, value in upstash_sandbox.environment.items():
        monkeypatch.setenv(name, value)
    helper = Helper.pair(name="Orders", scopes=("databases:read", "databases:write", "databases:credentials"),
                         token_store=MemoryTokens())
    created = helper.databases.create("orders", primary_region="us-east-1")
    assert helper.base_url == upstash_sandbox.base_url
    assert "UPSTASH_REDIS_REST_URL" in helper.databases.env(created.id)

def test_secrets_are_not_printed(upstash_database, upstash_sandbox):
    shown = repr(upstash_database) + repr(upstash_sandbox)
    assert upstash_database.id in shown
    assert upstash_database.rest_token not in shown and upstash_database.url not in shown
"""

WAITS = """
import time

def test_that_takes_long(upstash_sandbox, upstash_database):
    with open("home", "w") as file:
        file.write(upstash_sandbox.environment["UPSTASH_HELPER_HOME"])
    time.sleep(600)
"""


@pytest.fixture
def project() -> Iterator[Path]:
    """The folder of another project. Its path is short: the sandbox of its tests is in it."""
    with tempfile.TemporaryDirectory(prefix="uh-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def command_for(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *arguments]


def environment_in(project: Path) -> dict[str, str]:
    kept = {name: value for name, value in clean_environment().items() if not name.startswith("PYTEST")}
    return kept | {"TMPDIR": str(project), "TEMP": str(project), "SEEN": str(project / "seen")}


def run(project: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (project / "test_it.py").write_text(tests, encoding="utf-8")
    return subprocess.run(
        command_for(*arguments), cwd=project, env=environment_in(project), capture_output=True, text=True, check=False
    )


def folders_of_sandboxes(project: Path) -> list[Path]:
    return list(project.glob("uh-*"))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_test_has_an_empty_database(project: Path, workers: int) -> None:
    """
    The tests of a worker share a sandbox, each worker has its own, and nothing is left in the end.
    """
    done = run(project, TESTS, *(("-n", str(workers)) if workers else ("-p", "no:xdist")))

    assert 0 == done.returncode, done.stdout + done.stderr
    seen = [file.read_text(encoding="utf-8").split() for file in project.glob("seen.*")]
    sandboxes = [set(words[::2]) for words in seen]
    assert max(workers, 1) == len(sandboxes) == len(set.union(*sandboxes))
    assert 4 == len({database for words in seen for database in words[1::2]})
    assert [] == folders_of_sandboxes(project)


def test_app_under_test_gets_access_at_once(project: Path) -> None:
    """
    It finds the daemon with the sandbox's variables. What is printed of the fixtures has no secret.
    """
    done = run(project, APP)

    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows ends the children of a killed process itself")
def test_nothing_runs_after_pytest_was_killed(project: Path) -> None:
    """
    Not even after SIGKILL, when no code of pytest runs any more.
    """
    (project / "test_it.py").write_text(WAITS, encoding="utf-8")
    marker = project / "home"
    with subprocess.Popen(command_for(), cwd=project, env=environment_in(project)) as process:
        try:
            until(lambda: marker.exists() and bool(marker.read_text(encoding="utf-8")), seconds=START_SECONDS)
            pids = pids_in(marker.read_text(encoding="utf-8"))
            before = [runs(pid) for pid in pids]
        finally:
            process.kill()
    until(lambda: not any(runs(pid) for pid in pids), seconds=START_SECONDS)

    assert [True, True] == before


INTERRUPTED = """
import time
import pytest
import redis

@pytest.fixture
def orders(upstash_database):
    yield
    time.sleep(2)  # so that a sandbox that was interrupted, too, has ended
    with redis.Redis.from_url(upstash_database.url) as database:
        assert database.ping()

def test_that_takes_long(orders, upstash_sandbox):
    with open("home", "w") as file:
        file.write(upstash_sandbox.environment["UPSTASH_HELPER_HOME"])
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="platform: signals of a terminal")
def test_sandbox_is_there_while_tests_clean_up_after_ctrl_c(project: Path) -> None:
    """
    The terminal sends Ctrl-C to all processes. The fixtures of tests still need the sandbox then, and it stops last.
    """
    (project / "test_it.py").write_text(INTERRUPTED, encoding="utf-8")
    marker = project / "home"
    with subprocess.Popen(
        command_for(),
        cwd=project,
        env=environment_in(project),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until(lambda: marker.exists() and bool(marker.read_text(encoding="utf-8")), seconds=START_SECONDS)
        pids = pids_in(marker.read_text(encoding="utf-8"))
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=START_SECONDS)

    assert pytest.ExitCode.INTERRUPTED == process.returncode, out
    assert "ERROR" not in out
    assert [False, False] == [runs(pid) for pid in pids]


def test_plugin_costs_nothing_unless_it_is_used() -> None:
    """
    It is loaded in every run of pytest. It imports no other package, and none of this project's other modules.
    """
    script = (
        "import pytest, typing, sys\n"
        "before = set(sys.modules)\n"
        "import upstash_helper.testing.pytest_plugin\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )

    printed = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout

    assert {"upstash_helper", "upstash_helper.testing", "upstash_helper.testing.pytest_plugin"} == set(printed.split())


def test_reason_of_a_sandbox_that_does_not_start(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """
    The error is what the command has printed, and nothing is left.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(project))
    (project / "redis.py").write_text("", encoding="utf-8")
    hidden = "import sys; sys.modules['redis'] = None\n"
    (project / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(project))

    with (
        pytest.raises(SandboxNotStarted, match=r"packages that are not installed: .*redis") as caught,
        TestingSandbox.running(),
    ):
        pass

    assert "Install them with" in str(caught.value)
    assert [] == folders_of_sandboxes(project)
