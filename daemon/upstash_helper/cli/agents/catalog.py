"""
The agents that ``setup`` supports: how to recognize each on this computer, and where and how it is configured.

Only the user's own configuration is written, never a project's. Each agent's facts are in its function, with their
source. They were looked up in November 2026. The agents that get the address were run: each signed in at a daemon.

An agent gets the address of the daemon if its own OAuth sign-in works with a server at localhost: then one process
serves all agents, and the agent does not have to find and start a command. Otherwise, it gets the command
``upstash-helper mcp``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from upstash_helper.service.context import Platform

Transport = Literal["http", "stdio"]
Format = Literal["json", "commented", "jsonc", "toml"]
"""``commented``: JSON with comments. ``jsonc``: with comments and trailing commas."""


@dataclass(frozen=True, kw_only=True)
class Computer:
    """Where this user's programs keep their settings, and which programs exist."""

    platform: Platform
    home: Path
    environ: Mapping[str, str] = field(repr=False)

    def folder(self, variable: str) -> Path | None:
        """Return the folder in an environment variable, if it is an absolute path."""
        value = Path(self.environ.get(variable, ""))
        return value if value.is_absolute() else None

    @property
    def xdg_config(self) -> Path:
        """The folder of the XDG Base Directory Specification, which some programs use on every system."""
        return self.folder("XDG_CONFIG_HOME") or self.home / ".config"

    @property
    def application_data(self) -> Path:
        """The folder in which Electron programs have theirs."""
        if self.platform == "win32":
            return self.folder("APPDATA") or self.home / "AppData" / "Roaming"
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        return self.xdg_config

    def has_program(self, name: str) -> bool:
        """Return whether a program is on the PATH."""
        return shutil.which(name, path=self.environ.get("PATH", "")) is not None


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an agent is configured to use: an address, or a command. It contains no secret."""

    url: str = ""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the command that the agent's own environment may not have."""

    @property
    def transport(self) -> Transport:
        """How the agent connects."""
        return "http" if self.url else "stdio"

    def is_used_by(self, other: Target | None) -> bool:
        """Return whether an entry uses this target, possibly with more options, such as ``--read-only``."""
        if other is None or self.url != other.url or self.environment != other.environment:
            return False
        return self.command == other.command[: len(self.command)]


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent."""

    name: str
    title: str
    programs: tuple[str, ...]
    traces: Callable[[Computer], tuple[Path, ...]]
    """Files and folders that only this agent creates."""
    file: Callable[[Computer], Path]
    format: Format
    container: Callable[[Mapping[str, Any]], tuple[str, ...]]
    """The path of keys to the object that contains the servers. It may depend on the content of the file."""
    fields: Callable[[Target], dict[str, Any]]
    """The server's entry."""
    transport: Transport
    sign_in: str
    """The user's next step if the agent has the address, with ``{server}``."""
    by_hand: Callable[[str, Target], str]
    """One line with which the user can configure the agent."""

    def is_found(self, computer: Computer) -> bool:
        """Return whether the agent is on this computer."""
        return any(map(computer.has_program, self.programs)) or any(path.exists() for path in self.traces(computer))


def target_of(entry: Mapping[str, Any]) -> Target | None:
    """Return the target of an entry in any agent's format; None if the entry cannot be expressed as a `Target`."""
    if any(entry.get(key) for key in _CREDENTIAL_FIELDS):
        return None
    url = next((entry[key] for key in ("url", "httpUrl", "serverUrl") if entry.get(key)), "")
    command = entry.get("command") or ()
    words = [command] if isinstance(command, str) else command
    arguments = entry.get("args") or ()
    environment = entry.get("env") or entry.get("environment") or {}
    if not isinstance(url, str) or not isinstance(environment, dict):
        return None
    if not isinstance(words, list | tuple) or not isinstance(arguments, list | tuple):
        return None
    if bool(url) == bool(words) or not all(isinstance(word, str) for word in (*words, *arguments)):
        return None
    return Target(url=url, command=(*words, *arguments), environment=environment)


_CREDENTIAL_FIELDS: Final = (
    "headers", "headersHelper", "http_headers", "http_headers_helper", "env_http_headers", "bearer_token",
    "bearer_token_env_var", "authProviderType",
)  # fmt: skip

CONNECTION_FIELDS: Final = frozenset(
    {
        *_CREDENTIAL_FIELDS,
        "type", "url", "httpUrl", "serverUrl", "tcp", "command", "args", "env", "environment", "env_vars", "envFile",
        "cwd", "oauth", "oauth_resource", "scopes", "auth",
    }
)  # fmt: skip
"""The fields of an entry that describe the connection, for any agent. ``setup`` replaces these and keeps all others."""


def _command_fields(target: Target, *, typed: bool) -> dict[str, Any]:
    kind = {"type": "stdio"} if typed else {}
    environment = {"env": dict(target.environment)} if target.environment else {}
    return {**kind, "command": target.command[0], "args": list(target.command[1:]), **environment}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shell(words: tuple[str, ...]) -> str:
    """Return words as a command line for POSIX shells and, if the words are ordinary, PowerShell."""
    import shlex

    return shlex.join(words)


def _variables(option: str, target: Target) -> tuple[str, ...]:
    return tuple(word for name, value in target.environment.items() for word in (option, f"{name}={value}"))


# --- Claude Code ------------------------------------------------------------------------------------------------------


def _claude_code() -> Agent:
    """
    Servers of the user scope are in `mcpServers` of `~/.claude.json`, on every system; with CLAUDE_CONFIG_DIR, the file
    is in that folder (code.claude.com/docs/en/mcp and /settings). A `.config.json` in the configuration folder, which
    early versions wrote, is used instead if it exists (shipped code of @anthropic-ai/claude-code 2.1.332). The file is
    strict JSON, which Claude Code rewrites while it runs.

    HTTP with OAuth: it registers a loopback redirect (`http://localhost:PORT/callback`). `claude mcp login` exists
    since 2.1.186 (code.claude.com/docs/en/whats-new/2026-w26); `/mcp` in a session does the same in all versions.
    """

    def file(computer: Computer) -> Path:
        own = computer.folder("CLAUDE_CONFIG_DIR")
        early = (own or computer.home / ".claude") / ".config.json"
        return early if early.exists() else (own or computer.home) / ".claude.json"

    def by_hand(server: str, target: Target) -> str:
        if target.url:
            return f"claude mcp add --transport http --scope user {server} {target.url}"
        words = (*_variables("--env", target), "--", *target.command)
        return f"claude mcp add --scope user {server} {_shell(words)}"

    return Agent(
        name="claude-code",
        title="Claude Code",
        programs=("claude",),
        traces=lambda computer: (file(computer), computer.folder("CLAUDE_CONFIG_DIR") or computer.home / ".claude"),
        file=file,
        format="json",
        container=lambda _: ("mcpServers",),
        fields=lambda target: (
            {"type": "http", "url": target.url} if target.url else _command_fields(target, typed=True)
        ),
        transport="http",
        sign_in="In Claude Code, enter /mcp, select {server}, and authenticate.",
        by_hand=by_hand,
    )


# --- Codex ------------------------------------------------------------------------------------------------------------


def _codex() -> Agent:
    """
    Tables `[mcp_servers.NAME]` in `config.toml` of CODEX_HOME, by default `~/.codex`, on every system. The command
    line, the IDE extension, and the desktop app share it (github.com/openai/codex: codex-rs/config/src/mcp_types.rs,
    find_codex_home.rs). `url` is streamable HTTP, `command` and `args` are stdio, and mixing them is an error.

    HTTP with OAuth: `codex mcp login NAME` registers `http://127.0.0.1:PORT/callback/ID` and opens the browser
    (codex-rs/rmcp-client/src/perform_oauth_login.rs). Checked with 0.171.
    """

    def folder(computer: Computer) -> Path:
        return computer.folder("CODEX_HOME") or computer.home / ".codex"

    def by_hand(server: str, target: Target) -> str:
        if target.url:
            return f"codex mcp add {server} --url {target.url}"
        words = (*_variables("--env", target), "--", *target.command)
        return f"codex mcp add {server} {_shell(words)}"

    return Agent(
        name="codex",
        title="Codex",
        programs=("codex",),
        traces=lambda computer: (folder(computer),),
        file=lambda computer: folder(computer) / "config.toml",
        format="toml",
        container=lambda _: ("mcp_servers",),
        fields=lambda target: {"url": target.url} if target.url else _command_fields(target, typed=False),
        transport="http",
        sign_in="Sign in with: codex mcp login {server}",
        by_hand=by_hand,
    )


# --- Gemini CLI -------------------------------------------------------------------------------------------------------


def _gemini() -> Agent:
    """
    `mcpServers` in `.gemini/settings.json` of GEMINI_CLI_HOME, by default the home folder, on every system. Comments
    are allowed, trailing commas are not. `url` with the type "http" is streamable HTTP; `httpUrl`, which older versions
    know, is deprecated (shipped code of @google/gemini-cli 0.61.0; google-gemini/gemini-cli: docs/tools/mcp-server.md).

    HTTP with OAuth: `/mcp auth NAME` registers a loopback redirect (packages/core/src/mcp/oauth-provider.ts).
    """

    def file(computer: Computer) -> Path:
        return (computer.folder("GEMINI_CLI_HOME") or computer.home) / ".gemini" / "settings.json"

    def by_hand(server: str, target: Target) -> str:
        if target.url:
            return f"gemini mcp add --scope user --transport http {server} {target.url}"
        words = (*_variables("--env", target), server, *target.command)
        return f"gemini mcp add --scope user {_shell(words)}"

    return Agent(
        name="gemini",
        title="Gemini CLI",
        programs=("gemini",),
        traces=lambda computer: (file(computer),),
        file=file,
        format="commented",
        container=lambda _: ("mcpServers",),
        fields=lambda target: (
            {"url": target.url, "type": "http"} if target.url else _command_fields(target, typed=False)
        ),
        transport="http",
        sign_in="In Gemini CLI, enter: /mcp auth {server}",
        by_hand=by_hand,
    )


# --- Cursor -----------------------------------------------------------------------------------------------------------


def _cursor() -> Agent:
    """
    `mcpServers` in `~/.cursor/mcp.json`, on every system, for the editor and its command line (cursor.com/docs/mcp).

    Its OAuth sign-in registers three redirects at once, of which only one is a loopback address: the others are
    `cursor://anysphere.cursor-mcp/oauth/callback` and a page of cursor.com (erp-mafia/accounted, pull request 2225;
    bytebase/bytebase, issue 20510). So it gets the command.
    """

    def by_hand(server: str, target: Target) -> str:
        return f"In ~/.cursor/mcp.json: {_json({'mcpServers': {server: _cursor_fields(target)}})}"

    return Agent(
        name="cursor",
        title="Cursor",
        programs=("cursor", "cursor-agent"),
        traces=lambda computer: (computer.home / ".cursor", computer.application_data / "Cursor"),
        file=lambda computer: computer.home / ".cursor" / "mcp.json",
        format="jsonc",
        container=lambda _: ("mcpServers",),
        fields=_cursor_fields,
        transport="stdio",
        sign_in="In Cursor's settings, under MCP, sign in to {server}.",
        by_hand=by_hand,
    )


def _cursor_fields(target: Target) -> dict[str, Any]:
    return {"url": target.url} if target.url else _command_fields(target, typed=False)


# --- VS Code ----------------------------------------------------------------------------------------------------------


def _vscode() -> Agent:
    """
    `servers` in `mcp.json` of the user's default profile, since version 1.102 (code.visualstudio.com/docs/agents/
    reference/mcp-configuration): in `Code/User` below %APPDATA%, `~/Library/Application Support`, or XDG_CONFIG_HOME.
    VSCODE_APPDATA takes the place of these (microsoft/vscode: src/vs/platform/environment/node/userDataPath.ts).
    Comments and trailing commas are allowed.

    Its OAuth sign-in first redirects to `https://vscode.dev/redirect`, and to a loopback address only if that fails
    (src/vs/workbench/api/node/extHostAuthentication.ts, issue 278512). So it gets the command.
    """

    def folder(computer: Computer) -> Path:
        return (computer.folder("VSCODE_APPDATA") or computer.application_data) / "Code" / "User"

    def by_hand(server: str, target: Target) -> str:
        quoted = _json({"name": server, **_vscode_fields(target)}).replace("'", "\\u0027")
        return f"code --add-mcp '{quoted}'"

    return Agent(
        name="vscode",
        title="VS Code",
        programs=("code",),
        traces=lambda computer: (folder(computer),),
        file=lambda computer: folder(computer) / "mcp.json",
        format="jsonc",
        container=lambda _: ("servers",),
        fields=_vscode_fields,
        transport="stdio",
        sign_in="In VS Code, run the command MCP: List Servers, and start {server}.",
        by_hand=by_hand,
    )


def _vscode_fields(target: Target) -> dict[str, Any]:
    return {"type": "http", "url": target.url} if target.url else _command_fields(target, typed=True)


# --- OpenCode ---------------------------------------------------------------------------------------------------------


def _opencode() -> Agent:
    """
    `opencode.jsonc` or `opencode.json` in `opencode` below XDG_CONFIG_HOME, by default `~/.config`, on every system;
    both may have comments and trailing commas, and both are read (anomalyco/opencode: packages/opencode/src/config).
    Version 1 has the servers in `mcp`, version 2 in `mcp.servers`; version 2 also reads the form of version 1, and
    since 1.18 the other way around (v2-compat.ts, opencode.ai/docs/migrate-v1). So the form of version 1 is written
    unless the file has that of version 2.

    HTTP with OAuth: `opencode mcp auth NAME` registers `http://127.0.0.1:19876/mcp/oauth/callback` (config/mcp.ts).
    """

    def folder(computer: Computer) -> Path:
        return computer.xdg_config / "opencode"

    def file(computer: Computer) -> Path:
        names = ("opencode.jsonc", "opencode.json")
        existing = [path for path in (folder(computer) / name for name in names) if path.exists()]
        return existing[0] if existing else folder(computer) / "opencode.json"

    def container(content: Mapping[str, Any]) -> tuple[str, ...]:
        servers = content.get("mcp")
        nested = servers.get("servers") if isinstance(servers, dict) else None
        # A server may itself be named "servers".
        is_version_2 = isinstance(nested, dict) and not isinstance(nested.get("type"), str)
        return ("mcp", "servers") if is_version_2 else ("mcp",)

    def fields(target: Target) -> dict[str, Any]:
        if target.url:
            return {"type": "remote", "url": target.url}
        environment = {"environment": dict(target.environment)} if target.environment else {}
        return {"type": "local", "command": list(target.command), **environment}

    def by_hand(server: str, target: Target) -> str:
        return f"In ~/.config/opencode/opencode.json: {_json({'mcp': {server: fields(target)}})}"

    return Agent(
        name="opencode",
        title="OpenCode",
        programs=("opencode",),
        traces=lambda computer: (folder(computer),),
        file=file,
        format="jsonc",
        container=container,
        fields=fields,
        transport="http",
        sign_in="Sign in with: opencode mcp auth {server}",
        by_hand=by_hand,
    )


AGENTS: Final = {
    agent.name: agent for agent in (_claude_code(), _codex(), _gemini(), _cursor(), _vscode(), _opencode())
}
"""By the names that users enter."""
