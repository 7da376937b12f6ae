"""The module for tests in Node, in programs of another project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from install.environment import ROOT
from tests.support.child_sandbox import pids_in, runs
from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 120
MODULE = "upstash-sandbox.mjs"
TYPES = "upstash-sandbox.d.mts"
PACKAGED = ROOT / "daemon/upstash_helper/testing"

USE = """
import { startSandbox } from "./upstash-sandbox.mjs";
const sandbox = await startSandbox({ command: process.argv[2] });
const [one, two] = [await sandbox.createDatabase(), await sandbox.createDatabase({ name: "orders" })];
const call = async ({ restUrl, restToken }, path) =>
  (await fetch(`${restUrl}/${path}`, { headers: { authorization: `Bearer ${restToken}` } })).json();
await call(one, "set/key/value");
const listed = async () => {
  const headers = { authorization: `Bearer ${sandbox.token}` };
  const { databases } = await (await fetch(`${sandbox.url}/v1/databases`, { headers })).json();
  return databases.map(({ name }) => name).filter((name) => name === "orders").length;
};
const before = await listed();
await sandbox.deleteDatabase(two.id);
console.log(JSON.stringify({
  values: [(await call(one, "get/key")).result, (await call(one, "dbsize")).result],
  orders: [before, await listed()],
  variables: Object.keys(sandbox.env).sort(),
  home: sandbox.environment.UPSTASH_HELPER_HOME,
}));
await sandbox.stop();
"""

SETUP = """
import setup, { globalSetup, globalTeardown } from "./upstash-sandbox.mjs";
process.env.PATH = `${process.argv[2]}:${process.env.PATH}`;
const seen = [];
const look = () => seen.push(process.env.UPSTASH_REDIS_REST_URL?.startsWith("http://127.0.0.1:") ?? false);
look();
const teardown = await setup();
look();
await teardown();
await globalSetup();
await globalTeardown();
console.log(JSON.stringify(seen));
"""

WAITS = """
import { writeFileSync } from "node:fs";
import { startSandbox } from "./upstash-sandbox.mjs";
const sandbox = await startSandbox({ command: process.argv[2] });
writeFileSync("home", sandbox.environment.UPSTASH_HELPER_HOME);
setInterval(() => {}, 1000);
"""

FORGETS = """
import { startSandbox } from "./upstash-sandbox.mjs";
const sandbox = await startSandbox({ command: process.argv[2] });
console.log(sandbox.environment.UPSTASH_HELPER_HOME);
"""

FAILS = """
import { startSandbox } from "./upstash-sandbox.mjs";
await startSandbox({ command: process.argv[2] }).catch((error) => console.log(error.message));
"""


@pytest.fixture
def project() -> Iterator[Path]:
    """A project with the module. Its path is short: the sandbox of its tests is in it."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    with tempfile.TemporaryDirectory(prefix="uh-", ignore_cleanup_errors=True) as folder:
        shutil.copy(PACKAGED / MODULE, folder)
        yield Path(folder)


def program() -> str:
    return str(Path(sys.executable).with_name("upstash-helper"))


def command_for(project: Path, script: str, argument: str) -> list[str]:
    (project / "it.mjs").write_text(script, encoding="utf-8")
    return ["node", "it.mjs", argument]


def run(project: Path, script: str, argument: str) -> str:
    done = subprocess.run(
        command_for(project, script, argument),
        cwd=project,
        env=clean_environment() | {"TMPDIR": str(project)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.strip()


def test_sandbox_for_tests_in_node(project: Path) -> None:
    """It has real databases, which are created and deleted with the token, and leaves nothing behind."""
    found = json.loads(run(project, USE, program()))

    assert ["value", 1] == found["values"]
    assert [1, 0] == found["orders"]
    assert ["REDIS_URL", "UPSTASH_REDIS_REST_TOKEN", "UPSTASH_REDIS_REST_URL"] == found["variables"]
    assert not Path(found["home"]).exists()


def test_setup_of_a_test_run_sets_the_variables(project: Path) -> None:
    """As Vitest and node --test call it."""
    assert "[false,true]" == run(project, SETUP, str(Path(program()).parent))


def test_sandbox_stops_with_a_program_that_forgets_it(project: Path) -> None:
    """The program ends as if there were no sandbox, and nothing runs a moment later."""
    home = Path(run(project, FORGETS, program()))

    running = home / "state/profiles/sandbox/sandbox/running.json"
    until(lambda: not running.exists(), seconds=SECONDS)
    assert running.parent.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: SIGKILL")
def test_nothing_runs_after_node_was_killed(project: Path) -> None:
    """Not even after SIGKILL, when no code of the program runs any more."""
    marker = project / "home"
    with subprocess.Popen(
        command_for(project, WAITS, program()), cwd=project, env=clean_environment() | {"TMPDIR": str(project)}
    ) as process:
        try:
            until(lambda: marker.exists() and bool(marker.read_text(encoding="utf-8")), seconds=SECONDS)
            pids = pids_in(marker.read_text(encoding="utf-8"))
            before = [runs(pid) for pid in pids]
        finally:
            process.kill()
    until(lambda: not any(runs(pid) for pid in pids), seconds=SECONDS)

    assert [True, True] == before


def test_reason_of_a_sandbox_that_does_not_start(project: Path) -> None:
    """The error says that the program is missing or another one, or is what the program has printed."""
    missing = run(project, FAILS, str(project / "missing"))
    fails = project / "fails"
    fails.write_text("#!/bin/sh\necho 'Error: no port is free' >&2\nexit 1\n", encoding="utf-8")
    fails.chmod(0o755)
    failed = run(project, FAILS, str(fails))
    fails.write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    other = run(project, FAILS, str(fails))

    assert "upstash-helper cannot be started" in missing
    assert "Error: no port is free" == failed
    assert "it does not print JSON" in other
    assert [] == list(project.glob("uh-*"))


async def test_command_writes_the_module(tmp_path: Path) -> None:
    """With its types, as they are in the package."""
    folder = tmp_path / "new" / "test"
    written = await run_cli("sandbox", "node-helper", str(folder), environment=clean_environment())
    no_folder = await run_cli("sandbox", "node-helper", str(folder / MODULE), environment=clean_environment())

    assert (0, [str(folder / name) for name in (MODULE, TYPES)]) == (written.code, written.out.split())
    for name in (MODULE, TYPES):
        assert (PACKAGED / name).read_bytes() == (folder / name).read_bytes()
    assert no_folder.code != 0
