"""``setup`` as users run it: the list, the preview, the question, the result, and the exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_completion import completed
from tests.support.command_line import Ran, run_cli
from tests.support.daemon import clean_environment
from tests.support.platforms import symbolic_links
from tests.support.terminal import terminal
from upstash_helper.cli import exit_codes
from upstash_helper.cli.agents.catalog import AGENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "sk-of-another-server"
URL = "http://localhost:3000/mcp"
CLAUDE = json.dumps(
    {"mcpServers": {"other": {"command": "npx", "env": {"API_KEY": SECRET}}}, "numStartups": 7}, indent=2
)


class User:
    """A user with a home folder, in which agents are."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "user"
        self.home.mkdir()
        self.environment = clean_environment() | {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "APPDATA": str(self.home / "AppData" / "Roaming"),
            "UPSTASH_HELPER_HOME": str(folder / "helper"),
            "PATH": str(folder / "bin"),  # without the agents of the computer on which the tests run
        }
        for variable in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "VSCODE_APPDATA"):
            self.environment.pop(variable, None)

    def file(self, path: str, content: str) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
        return file

    async def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ran:
        return await run_cli(*arguments, environment={**self.environment, **(variables or {})})


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def states(ran: Ran) -> dict[str, str]:
    return {agent["name"]: agent["state"] for agent in ran.json["agents"]}


async def test_list_shows_each_agent_and_changes_nothing(user: User) -> None:
    """
    Not found, not set up, set up, and set up differently; also as JSON.
    """
    claude = user.file(".claude.json", CLAUDE)
    user.file(".codex/config.toml", f'[mcp_servers.upstash]\nurl = "{URL}"\n')
    user.file(
        ".gemini/settings.json", '{"mcpServers": {"upstash": {"command": "npx", "args": ["@upstash/mcp-server"]}}}'
    )
    user.file(".cursor/mcp.json", "{,}")

    listed = await user.run("setup", "--list")
    as_json = await user.run("setup", "--list", "--json")

    assert 0 == listed.code
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "not set up" in lines["claude-code"]
    assert "set up (http)" in lines["codex"]
    assert "set up differently" in lines["gemini"]
    assert "not readable" in lines["cursor"]
    assert "not found" in lines["vscode"]
    assert {
        "claude-code": "not_set_up",
        "codex": "set_up",
        "gemini": "different",
        "cursor": "unreadable",
        "vscode": "not_found",
        "opencode": "not_found",
    } == states(as_json)
    assert CLAUDE.encode() == claude.read_bytes()


async def test_dry_run_shows_the_change_without_secrets_and_makes_none(user: User) -> None:
    """
    What is added is shown as it will be, and values around it are not shown.
    """
    claude = user.file(".claude.json", CLAUDE)

    ran = await user.run("setup", "--dry-run")

    assert 0 == ran.code
    assert f'+      "url": "{URL}"' in ran.out
    assert '"API_KEY": "…"' in ran.out
    assert SECRET not in ran.out + ran.err
    assert "\x1b[" not in ran.out
    assert CLAUDE.encode() == claude.read_bytes()


async def test_setup_and_undo_of_everything_that_is_found(user: User) -> None:
    """
    The result names the next step of each agent. Undo restores the bytes.
    """
    claude = user.file(".claude.json", CLAUDE)
    codex = user.file(".codex/config.toml", 'model = "gpt"')

    done = await user.run("setup", "--yes")
    assert 0 == done.code
    assert "Set up: Claude Code and Codex." in done.out
    assert "codex mcp login upstash" in done.out
    assert "can connect only while the daemon is running" in done.err
    assert {"type": "http", "url": URL} == json.loads(claude.read_bytes())["mcpServers"]["upstash"]

    again = await user.run("setup", "--yes")
    assert (0, True) == (again.code, "Nothing to change." in again.out)

    undone = await user.run("setup", "--undo", "--yes")
    assert (0, True) == (undone.code, "Restored: Claude Code and Codex." in undone.out)
    assert (CLAUDE.encode(), b'model = "gpt"') == (claude.read_bytes(), codex.read_bytes())

    nothing = await user.run("setup", "--undo", "--yes")
    assert (0, True) == (nothing.code, "Nothing to undo." in nothing.out)


async def test_undo_restores_each_file_of_an_agent(user: User) -> None:
    """
    The preview has all of them. A file that does not exist anymore is named, and does not stop the others.
    """
    claude = user.file(".claude.json", CLAUDE)
    own = user.file("own/.claude.json", "{}")
    gone = user.file("gone/.claude.json", "{}")
    for folder in (None, own.parent, gone.parent):
        variables = {"CLAUDE_CONFIG_DIR": str(folder)} if folder else {}
        assert 0 == (await user.run("setup", "claude-code", "--yes", variables=variables)).code
    gone.unlink()

    shown = await user.run("setup", "--undo", "--dry-run", "--json")
    undone = await user.run("setup", "--undo", "--yes")

    (agent,) = shown.json["agents"]
    assert 2 == sum('"upstash"' in line for line in agent["diff"])
    assert 0 == undone.code
    assert "Restored: Claude Code." in undone.out
    assert f"{Path('gone', '.claude.json')}: The file no longer exists." in undone.err
    assert (CLAUDE.encode(), b"{}") == (claude.read_bytes(), own.read_bytes())
    assert "Nothing to undo." in (await user.run("setup", "--undo", "--yes")).out


async def test_json_has_the_change_and_the_state_after_it(user: User) -> None:
    """
    For scripts, which pass --yes.
    """
    user.file(".claude.json", CLAUDE)

    ran = await user.run("setup", "claude-code", "--yes", "--json")

    (agent,) = ran.json["agents"]
    assert (True, "set_up", "http") == (agent["changed"], agent["state"], agent["transport"])
    assert any(line.startswith("+") and URL in line for line in agent["diff"])
    assert ("setup", "upstash", True) == (ran.json["action"], ran.json["server"], ran.json["changed"])
    assert SECRET not in ran.out


async def test_without_yes_a_script_changes_nothing(user: User) -> None:
    """
    The preview is shown, and the error says what to do.
    """
    claude = user.file(".claude.json", CLAUDE)

    ran = await user.run("setup")

    assert exit_codes.USAGE == ran.code
    assert "Pass --yes" in ran.err
    assert URL in ran.out
    assert CLAUDE.encode() == claude.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the test needs a terminal of Unix")
@pytest.mark.parametrize("answer", ["y\n", "n\n"])
async def test_user_is_asked_after_the_preview(user: User, answer: str) -> None:
    """
    Only yes changes the file.
    """
    claude = user.file(".claude.json", CLAUDE)

    async with terminal("setup", environment=user.environment) as asked:
        await asked.shows(b"Change this file? [y/N]: ")
        asked.type(answer)
        ran = await asked.ended()

    assert URL in ran.out
    assert (answer == "y\n") == (URL in claude.read_text(encoding="utf-8"))
    assert (0 if answer == "y\n" else exit_codes.FAILURE) == ran.code


async def test_agent_that_is_not_here_is_an_error_with_the_line_to_run_there(user: User) -> None:
    """
    A name that was typed, or no agent at all; for each agent there is one line.
    """
    named = await user.run("setup", "codex")
    none = await user.run("setup")

    assert (exit_codes.NOT_FOUND, exit_codes.NOT_FOUND) == (named.code, none.code)
    assert f"codex mcp add upstash --url {URL}" in named.err
    assert "No agent was found" in none.err
    assert f"claude mcp add --transport http --scope user upstash {URL}" in none.err
    assert all(f"  {agent.title}: " in none.err for agent in AGENTS.values())


async def test_another_entry_is_replaced_only_by_name(user: User) -> None:
    """
    The user may have the hosted server under the same name.
    """
    file = user.file(".cursor/mcp.json", '{"mcpServers": {"upstash": {"url": "https://mcp.example.com"}}}')

    plain = await user.run("setup", "--yes")
    assert b"mcp.example.com" in file.read_bytes()
    assert "To replace it: upstash-helper setup cursor" in plain.err

    named = await user.run("setup", "cursor", "--yes", "--transport", "http")
    assert 0 == named.code
    assert {"url": URL} == json.loads(file.read_bytes())["mcpServers"]["upstash"]


async def test_one_invalid_file_does_not_stop_the_others(user: User) -> None:
    """
    The error has the place in the file, and the exit code says that something failed.
    """
    user.file(".claude.json", '{\n  "a": 1\n  "b": 2\n}')
    codex = user.file(".codex/config.toml", "")

    ran = await user.run("setup", "--yes")

    assert exit_codes.FAILURE == ran.code
    assert "line 3, column 3" in ran.err
    assert URL in codex.read_text(encoding="utf-8")


async def test_profile_and_port_of_the_settings(user: User, tmp_path: Path) -> None:
    """
    Another profile has its own entry and address. A port in the terminal's environment is not lasting, so it is not
    used.
    """
    claude = user.file(".claude.json", CLAUDE)
    config = tmp_path / "helper" / "config" / "profiles" / "work" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("port = 3456\n", encoding="utf-8")

    for profile in ((), ("--profile", "work")):
        ran = await user.run(*profile, "setup", "--yes", variables={"UPSTASH_HELPER_PORT": "4567"})
        assert 0 == ran.code

    servers: dict[str, Any] = json.loads(claude.read_bytes())["mcpServers"]
    assert (URL, "http://localhost:3456/mcp") == (servers["upstash"]["url"], servers["upstash-work"]["url"])

    undone = await user.run("--profile", "work", "setup", "--undo", "--yes")
    assert 0 == undone.code
    assert ["other", "upstash"] == list(json.loads(claude.read_bytes())["mcpServers"])


@pytest.mark.parametrize("order", [("work", "other"), ("other", "work")])
async def test_undo_is_exact_in_any_order_of_profiles(user: User, order: tuple[str, str]) -> None:
    """
    The entries that were replaced are as they were, with their spaces, also if the other profile's change came between.
    """
    content = """{"mcpServers": {
  "upstash-work":{"type":"stdio","command":"work",   "args":[]},
  "upstash-other":{"type":"stdio","command":"other",   "args":[]}
}}"""
    claude = user.file(".claude.json", content)
    for profile in ("work", "other"):
        ran = await user.run("--profile", profile, "setup", "claude-code", "--force", "--yes")
        assert 0 == ran.code, ran.err
    changed = claude.read_bytes()

    for profile in order:
        undone = await user.run("--profile", profile, "setup", "--undo", "--yes")
        assert 0 == undone.code, undone.err

    assert content.encode() != changed
    assert content.encode() == claude.read_bytes()


async def test_undo_mentions_the_entries_of_other_profiles(user: User) -> None:
    """
    Each profile undoes its own setup. If another one has an entry, the command that removes it is shown.
    """
    user.file(".claude.json", CLAUDE)
    await user.run("--profile", "work", "setup", "--force", "--yes")

    nothing = await user.run("setup", "--undo", "--yes")
    undone = await user.run("--profile", "work", "setup", "--undo", "--yes")

    assert "Nothing to undo." in nothing.out
    assert (
        "Note: The entry of the profile work is still in the configuration of Claude Code."
        " To remove it: upstash-helper --profile work setup --undo\n"
    ) == nothing.err
    assert "is still in the configuration" not in undone.err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Codex", "Did you mean codex?"),
        ("claude", "Did you mean claude-code?"),
        ("vs code", "Did you mean vscode?"),
        ("windsurf", f"In any other agent, add the address {URL}, or the command: upstash-helper mcp"),
    ],
)
async def test_unknown_agent_gets_a_suggestion(user: User, name: str, hint: str) -> None:
    """
    A name that is close to that of an agent leads to it. For any other agent, the error says what to add to it.
    """
    ran = await user.run("setup", name)

    assert exit_codes.USAGE == ran.code
    assert f"'{name}' is not one of claude-code, codex, gemini, cursor, vscode, opencode. {hint}\n" in ran.err


async def test_port_that_changes_allows_only_the_command(user: User, tmp_path: Path) -> None:
    """
    With port_policy = "on-demand", the API is at the first free port of three.
    """
    config = tmp_path / "helper" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('port_policy = "on-demand"\n', encoding="utf-8")
    codex = user.file(".codex/config.toml", "")

    refused = await user.run("setup", "--transport", "http", "--yes")
    done = await user.run("setup", "--force", "--yes")

    assert (exit_codes.USAGE, True) == (refused.code, "api_port" in refused.err)
    assert 0 == done.code
    assert '"mcp"]' in codex.read_text(encoding="utf-8")


async def test_command_runs_this_installation_with_its_profile(user: User, tmp_path: Path) -> None:
    """
    The entry starts with an absolute path that exists, and has no secret: the folder of the helper's files only.
    """
    cursor = user.file(".cursor/mcp.json", "{}")

    ran = await user.run("--profile", "work", "setup", "--force", "--yes")

    assert 0 == ran.code
    entry = json.loads(cursor.read_bytes())["mcpServers"]["upstash-work"]
    assert Path(entry["command"]).is_absolute()
    assert Path(entry["command"]).exists()
    assert ["--profile", "work", "mcp"] == entry["args"][-3:]
    assert {"UPSTASH_HELPER_HOME": str(tmp_path / "helper")} == entry["env"]
    assert "Restart Cursor" in ran.out
    started = await asyncio.create_subprocess_exec(
        entry["command"], *entry["args"], "--help", env=user.environment | entry["env"], stdout=asyncio.subprocess.PIPE
    )
    output, _ = await started.communicate()
    assert (0, True) == (started.returncode, b"Usage: upstash-helper mcp" in output)


@symbolic_links
async def test_command_in_a_temporary_folder_is_refused(user: User, tmp_path: Path) -> None:
    """
    The agent would start whatever is there later. The address has no such problem.
    """
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    cursor = user.file(".cursor/mcp.json", "{}")
    user.file(".config/Code/User/mcp.json", "{}")
    user.file("Library/Application Support/Code/User/mcp.json", "{}")
    codex = user.file(".codex/config.toml", "")
    command = (str(python), "-m", "upstash_helper", "setup", "--yes")

    process = await asyncio.create_subprocess_exec(
        *command, env=user.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()

    assert exit_codes.FAILURE == process.returncode
    assert 1 == errors.count(b"This upstash-helper runs from a folder for temporary files")
    assert b"Cursor and VS Code: This upstash-helper" in errors
    for way_out in (b"install/install.py", b"--force", b"--transport http"):
        assert way_out in errors
    assert b"pipx install" not in errors
    assert b"{}" == cursor.read_bytes()
    assert URL in codex.read_text(encoding="utf-8")


async def test_options_that_exclude_each_other(user: User) -> None:
    """
    The usage error names them.
    """
    ran = await user.run("setup", "--list", "--undo")

    assert (exit_codes.USAGE, True) == (ran.code, "--undo" in ran.err)


def test_names_of_agents_are_completed(user: User) -> None:
    """
    By the shell.
    """
    assert sorted(AGENTS) == sorted(completed(user.environment, "setup", ""))
    assert ["codex"] == completed(user.environment, "setup", "claude-code", "cod")


async def test_uninstall_names_the_agents_and_purge_would_undo(user: User) -> None:
    """
    The record of what was changed is in a folder that --purge removes.
    """
    claude = user.file(".claude.json", CLAUDE)
    await user.run("setup", "--yes")

    kept = await user.run("uninstall", "--dry-run")
    purged = await user.run("uninstall", "--purge", "--dry-run", "--json")

    assert "in the configuration of Claude Code. To remove it: upstash-helper setup --undo" in kept.err
    assert any(str(claude) == step["what"] for step in purged.json["steps"])
    assert URL in claude.read_text(encoding="utf-8")
