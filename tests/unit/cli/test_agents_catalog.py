"""Where each agent has its configuration on each system, and what is written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from install.environment import ROOT
from upstash_helper.cli.agents.catalog import AGENTS, Computer, Target, target_of
from upstash_helper.service.context import Platform

HTTP = Target(url="http://localhost:3000/mcp")
STDIO = Target(command=("/opt/upstash-helper", "--profile", "work", "mcp"), environment={"UPSTASH_HELPER_HOME": "/x"})
COMMAND, ARGUMENTS, ENVIRONMENT = "/opt/upstash-helper", ["--profile", "work", "mcp"], {"UPSTASH_HELPER_HOME": "/x"}


def computer(home: Path, platform: Platform = "linux", **variables: str) -> Computer:
    return Computer(platform=platform, home=home, environ=variables)


@pytest.mark.parametrize(
    ("name", "platform", "file"),
    [
        ("claude-code", "linux", ".claude.json"),
        ("claude-code", "darwin", ".claude.json"),
        ("claude-code", "win32", ".claude.json"),
        ("codex", "linux", ".codex/config.toml"),
        ("codex", "darwin", ".codex/config.toml"),
        ("codex", "win32", ".codex/config.toml"),
        ("gemini", "linux", ".gemini/settings.json"),
        ("gemini", "darwin", ".gemini/settings.json"),
        ("gemini", "win32", ".gemini/settings.json"),
        ("cursor", "linux", ".cursor/mcp.json"),
        ("cursor", "darwin", ".cursor/mcp.json"),
        ("cursor", "win32", ".cursor/mcp.json"),
        ("vscode", "linux", ".config/Code/User/mcp.json"),
        ("vscode", "darwin", "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "AppData/Roaming/Code/User/mcp.json"),
        ("opencode", "linux", ".config/opencode/opencode.json"),
        ("opencode", "darwin", ".config/opencode/opencode.json"),
        ("opencode", "win32", ".config/opencode/opencode.json"),
    ],
)
def test_file_on_each_system(name: str, platform: Platform, file: str, tmp_path: Path) -> None:
    """
    The user's own configuration, where the agent's documentation says.
    """
    assert tmp_path / file == AGENTS[name].file(computer(tmp_path, platform))


@pytest.mark.parametrize(
    ("name", "platform", "variable", "file"),
    [
        ("claude-code", "linux", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "win32", "CODEX_HOME", "config.toml"),
        ("gemini", "darwin", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("vscode", "linux", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
        ("vscode", "win32", "APPDATA", "Code/User/mcp.json"),
        ("vscode", "darwin", "VSCODE_APPDATA", "Code/User/mcp.json"),
        ("opencode", "darwin", "XDG_CONFIG_HOME", "opencode/opencode.json"),
    ],
)
def test_agents_own_variables_move_the_file(
    name: str, platform: Platform, variable: str, file: str, tmp_path: Path
) -> None:
    """
    A variable that is set to a relative path is ignored: it depends on the folder in which the agent is started.
    """
    moved = computer(tmp_path / "home", platform, **{variable: str(tmp_path / "moved")})
    relative = computer(tmp_path / "home", platform, **{variable: "moved"})

    assert tmp_path / "moved" / file == AGENTS[name].file(moved)
    assert AGENTS[name].file(computer(tmp_path / "home", platform)) == AGENTS[name].file(relative)


def test_file_of_an_early_claude_code_is_used_if_it_exists(tmp_path: Path) -> None:
    """
    Claude Code itself prefers it.
    """
    early = tmp_path / ".claude" / ".config.json"
    early.parent.mkdir()
    early.touch()

    assert early == AGENTS["claude-code"].file(computer(tmp_path))


@pytest.mark.parametrize("name", ["opencode.jsonc", "opencode.json"])
def test_opencodes_existing_file_is_used(name: str, tmp_path: Path) -> None:
    """
    OpenCode reads both, and the user has one.
    """
    file = tmp_path / ".config" / "opencode" / name
    file.parent.mkdir(parents=True)
    file.touch()

    assert file == AGENTS["opencode"].file(computer(tmp_path))


@pytest.mark.parametrize("name", AGENTS)
def test_agent_is_found_by_its_program_or_its_files(name: str, tmp_path: Path) -> None:
    """
    Nothing is found on an empty computer, and no agent by the files of another one.
    """
    agent = AGENTS[name]
    programs, home = tmp_path / "bin", tmp_path / "home"
    with_program = computer(home, PATH=str(programs), PATHEXT=".EXE")
    assert not agent.is_found(with_program)

    programs.mkdir()
    for suffix in ("", ".EXE"):
        (programs / f"{agent.programs[0]}{suffix}").touch(mode=0o700)
    assert agent.is_found(with_program)

    file = agent.file(computer(home))
    file.parent.mkdir(parents=True)
    file.touch()
    found = {other.name for other in AGENTS.values() if other.is_found(computer(home))}
    assert {name} == found


@pytest.mark.parametrize(
    ("name", "http", "stdio"),
    [
        (
            "claude-code",
            {"type": "http", "url": HTTP.url},
            {"type": "stdio", "command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT},
        ),
        ("codex", {"url": HTTP.url}, {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}),
        (
            "gemini",
            {"url": HTTP.url, "type": "http"},
            {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT},
        ),
        ("cursor", {"url": HTTP.url}, {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}),
        (
            "vscode",
            {"type": "http", "url": HTTP.url},
            {"type": "stdio", "command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT},
        ),
        (
            "opencode",
            {"type": "remote", "url": HTTP.url},
            {"type": "local", "command": [COMMAND, *ARGUMENTS], "environment": ENVIRONMENT},
        ),
    ],
)
def test_entry_in_each_agents_format(name: str, http: dict[str, Any], stdio: dict[str, Any]) -> None:
    """
    It is read back as what it was made from.
    """
    agent = AGENTS[name]

    assert (http, stdio) == (agent.fields(HTTP), agent.fields(STDIO))
    assert (HTTP, STDIO) == (target_of(http), target_of(stdio))


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ({"url": "http://x", "headers": {}}, Target(url="http://x")),
        ({"httpUrl": "http://x", "trust": True}, Target(url="http://x")),
        ({"command": "a", "args": [], "env": {}, "enabled": False}, Target(command=("a",))),
        ({"url": "http://x", "headers": {"Authorization": "Bearer x"}}, None),
        ({"url": "http://x", "bearer_token_env_var": "X"}, None),
        ({"url": "http://x", "command": "a"}, None),
        ({"command": "a", "args": "b"}, None),
        ({"command": ["a", 1]}, None),
        ({"command": {"a": 1}}, None),
        ({"url": ["http://x"]}, None),
        ({"command": "a", "env": []}, Target(command=("a",))),
        ({"command": "a", "env": ["A=1"]}, None),
        ({}, None),
    ],
)
def test_entry_of_others_is_understood_or_not_taken_for_ours(entry: dict[str, Any], target: Target | None) -> None:
    """
    Empty values mean the same as none. An entry with credentials is never the same as ours.
    """
    assert target == target_of(entry)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({}, ("mcp",)),
        ({"mcp": {"a": {"type": "local"}}}, ("mcp",)),
        ({"mcp": {"servers": {"a": {"type": "local"}}}}, ("mcp", "servers")),
        ({"mcp": {"servers": {}}}, ("mcp", "servers")),
        ({"mcp": {"servers": {"type": "remote", "url": "http://x"}}}, ("mcp",)),
        ({"mcp": None}, ("mcp",)),
    ],
)
def test_opencodes_servers_are_where_the_file_already_has_them(content: dict[str, Any], keys: tuple[str, ...]) -> None:
    """
    The form of version 2 only in a file that has it, since version 1 may read the file as well.
    """
    assert keys == AGENTS["opencode"].container(content)


@pytest.mark.parametrize("name", AGENTS)
def test_line_to_do_it_by_hand(name: str) -> None:
    """
    One line for each agent and transport, without line breaks.
    """
    for target in (HTTP, STDIO):
        line = AGENTS[name].by_hand("upstash", target)

        assert "\n" not in line
        assert "upstash" in line
        assert (target.url or target.command[0]) in line


@pytest.mark.parametrize("name", list(AGENTS))
def test_documents_have_the_line_that_setup_prints(name: str) -> None:
    """
    Where both are there, they are the same: a reader who compares them must not wonder which one is right.
    """
    agent = AGENTS[name]
    target = HTTP if agent.transport == "http" else Target(command=("upstash-helper", "mcp"))

    line = agent.by_hand("upstash", target)

    document = (ROOT / "daemon/upstash_helper/api/mcp/README.md").read_text("utf-8")
    assert f"`{line.rpartition('.json: ')[2]}`" in document
