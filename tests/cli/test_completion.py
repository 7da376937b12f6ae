"""Shell completion, as the shells request it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.sample_app import SampleApp
from upstash_helper.cli.commands.completion import SHELLS, completion_script
from upstash_helper.cli.errors import Failure
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def completed(environment: dict[str, str], *words: str) -> list[str]:
    """Return the completions that bash gets for the last word."""
    asked = {
        "_UPSTASH_HELPER_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["upstash-helper", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "upstash_helper"],
        capture_output=True, text=True, env=environment | asked, check=True,
    )  # fmt: skip
    assert not done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_has_unix_lines_on_every_system(shell: str, tmp_path: Path) -> None:
    """On Windows, text that is written has CRLF, which bash, zsh, and fish take for a part of the line."""
    program = """
import sys
from upstash_helper.system import console
console.prepare()
sys.stdout.reconfigure(newline="\\r\\n")  # as on Windows
print("before")
sys.argv = ["upstash-helper", *sys.argv[1:]]
from upstash_helper.__main__ import main
main()
"""
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, "completion", shell]

    ran = subprocess.run(command, capture_output=True, env=environment, check=True)
    before, _, script = ran.stdout.partition(b"before\r\n")

    assert b"" == before
    assert b"upstash-helper" in script
    assert b"\r" not in script


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has never run the helper."""
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["da"], ["databases"]),
        (["st"], ["status", "start", "stop"]),
        (["databases", "re"], ["regions", "rename", "reset-password"]),
        (["databases", "create", "--ev"], ["--eviction"]),
        (["databases", "create", "x", "--platform", ""], ["aws", "gcp"]),
        (["completion", "z"], ["zsh"]),
        (["--prof"], ["--profile"]),
        (["config", "p"], ["path"]),
        (["ap"], ["approvals", "apps"]),
        (["approvals", "b"], ["block", "blocked"]),
        (["approvals", "approve", "--scope", "upstash"], ["upstash:read", "upstash:write"]),
        (["audit", "--app", ""], ["owner"]),
        # The daemon is not running.
        (["databases", "get", ""], []),
        (["approvals", "approve", ""], []),
        (["approvals", "unblock", ""], []),
        (["apps", "revoke", ""], []),
        (["--profile", "No Such", "databases", "get", ""], []),
    ],
    ids=" ".join,
)
def test_commands_options_and_values_are_completed(
    environment: dict[str, str], words: list[str], expected: list[str]
) -> None:
    """
    Commands, options, and values are completed; without a match nothing is printed.
    """
    assert expected == completed(environment, *words)


@pytest.mark.usefixtures("connected")
async def test_databases_and_regions_are_completed(running: DaemonProcess) -> None:
    """
    The names of databases and regions come from the daemon.
    """
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    running.client.create_database(new, idempotency_key="k")

    assert ["orders"] == completed(running.environment, "databases", "delete", "or")
    assert ["us-east-1", "us-east-2"] == completed(
        running.environment, "databases", "create", "x", "--region", "us-east-"
    )


async def test_requests_and_blocks_are_completed(running: DaemonProcess) -> None:
    """
    The codes of pending requests, in either case, and the ids of blocks are completed.
    """
    app = SampleApp.requesting(running, origin="https://app.example.com")
    block = running.client.block(SampleApp.requesting(running, origin="https://other.example").id)

    assert [app.code] == completed(running.environment, "approvals", "approve", app.code[:2].lower())
    assert [app.code] == completed(running.environment, "approvals", "deny", "")
    assert [block.id] == completed(running.environment, "approvals", "unblock", "")


async def test_apps_are_completed(running: DaemonProcess) -> None:
    """
    Apps are completed by their names, and by their ids once one was begun.
    """
    app = SampleApp.approved(running)

    assert ["Orders"] == completed(running.environment, "apps", "revoke", "")
    assert [app.app_id] == completed(running.environment, "apps", "show", app.app_id[:4])
    assert ["Orders"] == completed(running.environment, "audit", "--app", "Or")


@pytest.mark.parametrize("name", ["$(touch hacked)", "x;reboot", "a b", "-y", "`id`", "a'b", "a|b", "~root", "é"])
async def test_names_that_a_shell_would_run_are_not_offered(running: DaemonProcess, name: str) -> None:
    """
    An app chooses its name, and shells insert completions unquoted. For an unsafe name the id is offered.
    """
    app = SampleApp.approved(running, name=name)

    assert [app.app_id] == completed(running.environment, "apps", "revoke", "")
    assert ["owner", app.app_id] == completed(running.environment, "audit", "--app", "")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
async def test_scripts_are_valid_for_their_shells(environment: dict[str, str], shell_name: str) -> None:
    """
    Each shell that is installed accepts its script.
    """
    ran = await run_cli("completion", shell_name, environment=environment)

    assert 0 == ran.code
    assert "_UPSTASH_HELPER_COMPLETE" in ran.out
    program = shutil.which(shell_name)
    if program is not None:
        subprocess.run([program, "-n"], input=ran.out, text=True, check=True)


async def test_bash_completes_with_the_script(environment: dict[str, str], tmp_path: Path) -> None:
    """
    In a real bash that has read the script, completion runs the command and uses its answer.
    """
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("platform: there is no bash")
    script = (await run_cli("completion", "bash", environment=environment)).out
    program = tmp_path / "bin" / "upstash-helper"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m upstash_helper "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{environment['PATH']}"

    done = subprocess.run(
        [bash, "--norc", "-c", f"{script}\n{USE}"],
        capture_output=True, text=True, env=environment | {"PATH": path}, check=True,
    )  # fmt: skip

    assert ["start", "status", "stop"] == sorted(done.stdout.split())


USE = """
COMP_WORDS=(upstash-helper st) COMP_CWORD=1
_upstash_helper_completion upstash-helper
printf '%s\\n' "${COMPREPLY[@]}"
"""


async def test_script_as_json(shell: Shell, environment: dict[str, str]) -> None:
    """
    With --json the script is a field.
    """
    plain = await run_cli("completion", "fish", environment=environment)
    ran = await shell("completion", "fish", "--json")

    assert {"shell": "fish", "script": plain.out.removesuffix("\n")} == ran.json


@pytest.mark.parametrize("shell_name", SHELLS)
async def test_installed_script_is_the_printed_one(environment: dict[str, str], shell_name: str) -> None:
    """
    `install` writes the script that the command prints.
    """
    ran = await run_cli("completion", shell_name, environment=environment)

    assert ran.out == completion_script(shell_name) + "\n"


def test_unsupported_shell_names_the_supported_ones() -> None:
    """
    The error lists the supported shells.
    """
    with pytest.raises(Failure, match=r"No completion for tcsh\. Supported shells: bash, zsh, fish"):
        completion_script("tcsh")
