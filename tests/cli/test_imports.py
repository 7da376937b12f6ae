"""What a command imports: all that a user waits for before it prints anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.imported import imported_by
from tests.support.until import until
from upstash_helper.settings.config import Settings
from upstash_helper.system.socket_owners import may_be_listening

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("platform: other systems have other modules", allow_module_level=True)

DEFAULT_PORT = Settings().port

HELP = {
    "__main__", "cli", "cli.app", "cli.command", "cli.errors", "cli.exit_codes", "cli.output", "cli.session",
    "settings", "settings.profiles", "system", "system.console", "system.disk_errors", "system.open_files",
    "system.private_files",
}  # fmt: skip
CLIENT = HELP | {
    "cli.commands", "cli.options", "client", "client.daemon", "client.errors", "client.events", "client.locate",
    "client.transport", "client.wake", "protocol", "protocol.discovery", "protocol.errors", "protocol.literals",
    "protocol.lock", "protocol.wake_note", "protocol.wire", "protocol.wire_apps", "system.allowed",
    "system.network_stack",
}  # fmt: skip
# To explain why there is no daemon.
NO_DAEMON = {
    "settings.config", "system.own_daemons",
    "system.own_programs", "system.ports", "system.printable", "system.socket_owners", "system.text",
}  # fmt: skip
STATUS = {"cli.commands.replacement", "cli.commands.status", "protocol.messages"}
DATABASES = {"cli.arguments", "cli.commands.databases", "client.dotenv"}

LIBRARIES = {"click", "msgspec"}
# Each takes longer to load than a command needs for its work. (The hash functions are for the proof of a daemon.)
SLOW = {"asyncio", "ctypes", "difflib", "json", "subprocess", "tempfile", "tomllib"}
HASHES = {"hashlib", "hmac", "secrets"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], HELP),
        (["status"], CLIENT | NO_DAEMON | STATUS),
        (["databases", "list"], CLIENT | NO_DAEMON | DATABASES),
    ],
    ids=["help", "status", "databases list"],
)
def test_command_without_a_daemon_imports_only_what_it_needs(
    arguments: list[str], expected: set[str], tmp_path: Path
) -> None:
    """
    A command that finds no daemon has loaded exactly these modules and libraries, and nothing that is slow to load.
    """
    # A program that has the port would be named, which takes more modules. It may be a demo, of tests that run at the
    # same time in another environment.
    until(lambda: not may_be_listening(("127.0.0.1", DEFAULT_PORT)), seconds=120)

    imported = imported_by(*arguments, home=tmp_path / "home")

    assert expected == set(imported.ours)
    assert LIBRARIES == imported.libraries
    assert not (SLOW | HASHES) & imported.names


def test_command_with_a_daemon_imports_only_what_it_needs(tmp_path: Path) -> None:
    """
    A command that has an answer from the daemon has loaded the proof as well, and nothing to explain its absence.
    """
    with DaemonProcess.running(tmp_path / "home"):
        imported = imported_by("status", home=tmp_path / "home")

    assert CLIENT | STATUS | {"protocol.proof"} == set(imported.ours)
    assert LIBRARIES == imported.libraries
    assert not SLOW & imported.names


def test_bridge_of_an_agent_imports_only_what_it_needs(tmp_path: Path) -> None:
    """
    The stdio bridge, which an agent waits for when it starts, has loaded neither click nor asyncio when its client ends
    it, and no keyring if its token is in a file.
    """
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text('credential_store = "file"\n', encoding="utf-8")

    imported = imported_by("mcp", home=home)

    assert {"msgspec"} == imported.libraries
    assert not {"asyncio", "ctypes", "difflib", "subprocess", "tempfile"} & imported.names
    assert {"cli.mcp.bridge", "cli.mcp.access", "client.transport"} <= set(imported.ours)
    assert not {"cli.app", "cli.command", "client.app_session", "system.secret_service"} & set(imported.ours)
