"""Parts of the stdio bridge: lines, events, header fields, arguments, and the account of its token."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from upstash_helper.api.mcp.resource import BODY_LIMIT
from upstash_helper.cli.mcp.access import refusal
from upstash_helper.cli.mcp.agent import Agent, agent_of, file_name, token_account
from upstash_helper.cli.mcp.arguments import (
    DEFAULT_SCOPES,
    READ_ONLY_SCOPES,
    McpRequest,
    McpUsageError,
    parse_command_line,
)
from upstash_helper.cli.mcp.lines import MAX_LINE_BYTES, Invalid, Output, parse, read_lines
from upstash_helper.cli.mcp.replies import TooLong, events
from upstash_helper.cli.mcp.shells import only_start
from upstash_helper.cli.mcp.unapproved import answer_at_once
from upstash_helper.client.errors import from_problem
from upstash_helper.protocol.mcp import header_value
from upstash_helper.protocol.wire import Problem
from upstash_helper.system.starters import Process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def lines_of(data: bytes, *, limit: int) -> list[bytes | str]:
    """Return what is read from a pipe, with the texts of errors."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as stream:
        found = [str(it) if isinstance(it, Invalid) else it for it in read_lines(stream.fileno(), limit=limit)]
    writer.join()
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n\r\n \n", []),
        (b"one\ntwo\r\nthree", [b"one", b"two", b"three"]),
        (b"x" * 100 + b"\n", [b"x" * 100]),
        (b"x" * 101 + b"\ntwo\n", ["The message is longer than 100 bytes, so it was ignored.", b"two"]),
        (b"x" * 200_000, ["The message is longer than 100 bytes, so it was ignored."]),
    ],
)
def test_lines_are_read_up_to_a_limit(data: bytes, expected: Sequence[bytes | str]) -> None:
    """Empty lines are skipped, a last line needs no end, and one that is too long is reported and skipped."""
    assert expected == lines_of(data, limit=100)


def test_limit_of_lines_is_that_of_the_daemon() -> None:
    """The bridge forwards what the daemon accepts, and nothing longer."""
    assert BODY_LIMIT == MAX_LINE_BYTES


def test_long_line_is_written_completely() -> None:
    """A message that does not fit into the pipe at once arrives completely, on one line."""
    reading, writing = os.pipe()
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as stream:
            received.extend(stream)

    reader = threading.Thread(target=read)
    reader.start()
    body = b"{\r\n" + b'"a": "' + b"x" * 300_000 + b'"\n}'

    Output(writing).send(body)
    os.close(writing)
    reader.join()

    assert [b'{  "a": "' + b"x" * 300_000 + b'" }\n'] == received


def test_closed_output_is_reported_once_it_is_used() -> None:
    """Writing to a client that has gone ends the bridge, and does not fail."""
    reading, writing = os.pipe()
    os.close(reading)
    output, closed = Output(writing), threading.Event()
    output.on_closed = closed.set

    output.send(b"{}")
    output.send(b"{}")
    os.close(writing)

    assert closed.is_set()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b'data: {"a":1}\n\n', [b'{"a":1}']),
        (b'data:{"a":\r\ndata:  1}\r\n\r\n', [b'{"a":\n 1}']),
        (b": comment\n\nid: 5\nretry: 10\ndata: 1\n\n", [b"1"]),
        (b"event: message\ndata: 1\n\nevent: other\ndata: 2\n\ndata: 3\n\n", [b"1", b"3"]),
        (b"data:\n\ndata: 1\n\n", [b"1"]),
        (b"data: 1\n\ndata: 2\n", [b"1"]),
    ],
)
def test_events_of_a_stream(stream: bytes, expected: list[bytes]) -> None:
    """Data on several lines is joined; comments, other events, and one without an end are left out."""
    assert expected == list(events(stream.splitlines(keepends=True)))


def test_line_in_pieces_is_one_line() -> None:
    """A line that is longer than what is read at once is put together."""
    assert [b"123456"] == list(events([b"data: 12", b"34", b"56\n", b"\n"]))


def test_event_that_is_too_long_is_refused() -> None:
    """A stream cannot occupy any amount of memory, neither with one line nor with many."""
    with pytest.raises(TooLong):
        list(events(iter([b"data: " + b"x" * 200, b"x" * 200]), limit=100))
    with pytest.raises(TooLong):
        list(events(iter([b"data: " + b"x" * 60 + b"\n"] * 2), limit=100))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis_list", "redis_list"),
        ("a b", "a b"),
        (" a", "=?base64?IGE=?="),
        ("a\r\nX: y", "=?base64?YQ0KWDogeQ==?="),
        ("ä", "=?base64?w6Q=?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ("", ""),
    ],
)
def test_header_value_cannot_break_out_of_its_field(text: str, expected: str) -> None:
    """A value is encoded unless it is plain ASCII that cannot be taken for an encoded one."""
    assert expected == header_value(text)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mcp"], McpRequest(None, DEFAULT_SCOPES)),
        (["--profile", "work", "mcp", "--read-only"], McpRequest("work", READ_ONLY_SCOPES)),
        (
            ["--profile=work", "mcp", "--scope=databases:write", "--scope", "databases:read"],
            McpRequest("work", ("databases:read", "databases:write")),
        ),
        (["mcp", "--help"], None),
        (["mcp", "headers"], None),
        (["apps", "rename", "mcp"], None),
    ],
)
def test_arguments(arguments: list[str], expected: McpRequest | None) -> None:
    """The arguments of ``mcp`` are parsed without click; everything else is left to it."""
    assert expected == parse_command_line(arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--scope"], ["--scope", "everything"], ["--read-only", "--scope", "databases:read"], ["--json"], ["x"]],
)
def test_invalid_arguments(arguments: list[str]) -> None:
    """An invalid command line is an error with a sentence."""
    with pytest.raises(McpUsageError, match=r"\.$"):
        parse_command_line(["mcp", *arguments])


def started_by(executable: str, *words: str) -> Agent:
    """Return an agent as its process shows it."""
    return agent_of(Process(os.getpid(), 1, 0.0, is_ours=True, executable=executable, words=(executable, *words)))


def test_update_of_an_agent_does_not_change_its_account() -> None:
    """An agent that has its version in its path finds its token again after an update."""
    old, new = (started_by(f"/home/ann/.local/share/claude/versions/{it}") for it in ("2.1.317", "2.2.0-beta.1"))

    assert old == new
    assert Agent("/home/ann/.local/share/claude/versions/*", "claude") == old


def test_programs_of_an_interpreter_have_different_accounts(tmp_path: Path) -> None:
    """Two agents that run in Node.js are two agents, with the options of Node.js left out."""
    scripts = script(tmp_path, "gemini-cli/index.js"), script(tmp_path, "claude-code/cli.js")
    one = started_by("/usr/bin/node", "--no-warnings", scripts[0])
    other = started_by("/usr/bin/node", scripts[1])

    assert (f"/usr/bin/node {scripts[0]}", "index.js", True) == one
    assert (f"/usr/bin/node {scripts[1]}", "cli.js", True) == other
    assert 2 == len({token_account(each, DEFAULT_SCOPES) for each in (one, other)})


def script(folder: Path, name: str) -> str:
    """Create a script, and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("executable", "words"),
    [
        ("/usr/bin/deno", ("run", "-A", "SCRIPT")),
        ("/usr/bin/deno", ("run", "--allow-net=example.com", "SCRIPT")),
        ("/usr/bin/bun", ("run", "SCRIPT")),
        ("/usr/bin/bun", ("--bun", "run", "SCRIPT", "run")),
        ("/usr/bin/node", ("-r", "OTHER", "SCRIPT", "OTHER")),
        ("/usr/bin/node", ("--require", "OTHER", "--import", "OTHER", "--enable-source-maps", "SCRIPT")),
        ("/usr/bin/node", ("--loader", "OTHER", "--max-old-space-size=4096", "--", "SCRIPT")),
        ("/usr/bin/python3.12", ("-W", "OTHER", "SCRIPT")),
        ("/usr/bin/python3", ("-IuX", "OTHER", "-Wignore", "SCRIPT", "-c")),
        ("/usr/bin/java", ("-cp", "OTHER", "-Xmx1g", "-jar", "SCRIPT")),
    ],
)
def test_options_and_subcommands_are_no_scripts(
    executable: str, words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a subcommand nor the value of an option is the script, even if there is such a file."""
    monkeypatch.chdir(tmp_path)
    paths = {it: script(tmp_path, f"{it.lower()}.x") for it in ("SCRIPT", "OTHER")}
    script(tmp_path, "run")

    agent = started_by(executable, *(paths.get(word, word) for word in words))

    assert Agent(f"{executable} {paths['SCRIPT']}", "script.x", is_certain=True) == agent


@pytest.mark.parametrize(
    ("executable", "words"),
    [
        ("/usr/bin/node", ()),
        ("/usr/bin/node", ("-e", "code", "there.x")),
        ("/usr/bin/node", ("--unheard-of", "there.x", "script.js")),
        ("/usr/bin/node", ("--allow-fs-read", "there.x", "script.js")),
        ("/usr/bin/node", ("--eval=code", "there.x")),
        ("/usr/bin/deno", ("run", "-r", "https://example.com/a.ts", "there.x")),
        ("/usr/bin/deno", ("run", "--env-file", "a.ts", "there.x")),
        ("/usr/bin/php", ("-r", "code", "there.x")),
        ("/usr/bin/perl", ("-ecode", "-w", "there.x")),
        ("/usr/bin/node", ("missing.js",)),
        ("/usr/bin/node", ("there.x",)),
        ("/usr/bin/node", ("./there.x",)),
        ("/usr/bin/python3", ("there.x",)),
        ("/usr/bin/node", ("-",)),
        ("/usr/bin/bun", ("run", "there")),
        ("/usr/bin/deno", ("task", "there.x")),
        ("/usr/bin/python3", ("-c", "code", "there.x")),
        ("/usr/bin/python3", ("-Ic", "code", "there.x")),
        ("/usr/bin/python3", ("-m",)),
        ("/usr/bin/python3", ("-m", "there")),
        ("/usr/bin/perl", ("-ne", "there.x", "there.x")),
        ("", ("there.x",)),
    ],
)
def test_uncertain_agent_has_no_account(
    executable: str, words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is not certain which script an interpreter runs, it could be that of any agent."""
    monkeypatch.chdir(tmp_path)
    for name in ("there.x", "there"):
        script(tmp_path, name)

    assert not started_by(executable, *words).is_certain


def test_unknown_starter_has_no_account() -> None:
    """Agents that the system does not report are not one agent."""
    assert not agent_of(None).is_certain


def test_module_is_one_of_its_virtual_environment(tmp_path: Path) -> None:
    """Two virtual environments share the file of the interpreter, but not the modules."""
    interpreters = [script(tmp_path, f"{name}/bin/python") for name in ("one", "other")]
    one, other, unknown, local = (
        agent_of(Process(os.getpid(), 1, 0.0, is_ours=True, executable="/usr/bin/python3.12", words=words))
        for words in (
            *((it, "-P", "-m", "an_agent") for it in interpreters),
            ("python", "-P", "-m", "an_agent"),
            (interpreters[0], "-m", "an_agent"),
        )
    )

    assert Agent(f"/usr/bin/python3.12 {interpreters[0]} -m an_agent", "an_agent", is_certain=True) == one
    assert f"/usr/bin/python3.12 {interpreters[1]} -m an_agent" == other.program
    assert not unknown.is_certain
    # It could be a file of the working directory, which may be another one by now.
    assert not local.is_certain


@pytest.mark.parametrize(
    "executable",
    [
        "/usr/bin/make", "/usr/bin/tmux", "/usr/bin/screen", "/usr/bin/git", "/usr/bin/sudo", "/usr/bin/script",
        "/usr/libexec/gnome-terminal-server", "/usr/bin/konsole", "/opt/kitty/bin/kitty", "C:\\Windows\\explorer.exe",
        "/System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal", "/usr/bin/emacs-29.1",
        "/usr/bin/vim.basic",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/usr/bin/qemu-x86_64-static",
        "/usr/bin/wine64-preloader", "/usr/lib/R/bin/exec/R", "/usr/bin/Rscript", "/usr/bin/gjs-console",
        "/usr/bin/tclsh8.6", "/usr/bin/expect", "/usr/bin/guile", "/usr/bin/gawk", "/usr/bin/dart",
        "/usr/bin/mono-sgen", "/usr/bin/osascript", "/usr/bin/swift-frontend", "/usr/bin/tcsh",
        "/usr/lib/erlang/erts-13/bin/beam.smp",
    ],
)  # fmt: skip
def test_program_that_runs_others_is_no_agent(executable: str) -> None:
    """Whatever two agents can have in common does not identify one."""
    assert not started_by(executable, "/opt/agent").is_certain


@pytest.mark.parametrize("name", ["npm/bin/npm-cli.js", "npm/bin/npx-cli.js", "bin/yarn", "bin/pytest", "bin/tsx"])
def test_script_that_runs_others_is_no_agent(tmp_path: Path, name: str) -> None:
    """Nor does a script, if it runs others."""
    assert not started_by("/usr/bin/node", script(tmp_path, name)).is_certain


def test_application_of_a_shared_electron_is_one_agent(tmp_path: Path) -> None:
    """Some distributions have one Electron for all applications, each of which is an argument."""
    code, obsidian = script(tmp_path, "code/code.mjs"), script(tmp_path, "obsidian/app.asar")

    agents = [started_by("/usr/lib/electron32/electron", *words) for words in ((code,), ("--no-sandbox", obsidian), ())]

    assert [f"/usr/lib/electron32/electron {code}", True] == [agents[0].program, agents[0].is_certain]
    assert agents[0].program != agents[1].program
    assert not agents[2].is_certain


@pytest.mark.parametrize(
    "executable",
    [
        "/home/ann/.local/share/claude/versions/2.1.317", "/usr/local/bin/codex", "/home/ann/.opencode/bin/opencode",
        "/usr/share/code/code", "/opt/Cursor/cursor", "/Applications/Claude.app/Contents/MacOS/Claude", "/usr/bin/zed",
        "C:\\Users\\ann\\AppData\\Local\\Programs\\cursor\\Cursor.exe", "/usr/bin/goose", "/usr/bin/windsurf",
    ],
)  # fmt: skip
def test_agent_that_is_a_program_has_an_account(executable: str) -> None:
    """The usual case: one approval for all its processes."""
    assert started_by(executable).is_certain


def shell(executable: str, *words: str) -> Process:
    """Return a shell between an agent and the bridge."""
    return Process(2, 1, 0.0, is_ours=True, executable=executable, words=(executable, *words))


@pytest.mark.parametrize(
    "launcher",
    [
        shell("/bin/sh", "-c", "upstash-helper mcp"),
        shell("/bin/bash", "-lc", "exec upstash-helper --profile work mcp --read-only"),
        shell("/bin/zsh", "-l", "-i", "-c", "'/Users/ann/My Tools/upstash-helper' mcp"),
        shell("/bin/zsh", "-c", "-l", "A=1 /usr/bin/env B=2 upstash-helper mcp headers"),
        shell("/usr/bin/fish", "--login", "--command", "uvx upstash-helper mcp"),
        shell("/bin/busybox", "sh", "-c", "/usr/bin/python3.12 -P -m upstash_helper mcp"),
        shell("C:\\Windows\\System32\\cmd.exe", "/d", "/s", "/c", "upstash-helper ^mcp^"),
        shell("C:\\Windows\\System32\\cmd.exe", "/c", "C:\\Program Files (x86)\\upstash-helper.exe", "mcp"),
        shell("C:\\Windows\\powershell.exe", "-NoProfile", "-Command", "upstash-helper mcp"),
        Process(2, 1, 0.0, is_ours=True, executable="/usr/bin/uv", words=("uvx", "upstash-helper", "mcp")),
    ],
    ids=lambda it: " ".join(it.words)[-60:],
)
def test_shell_that_only_starts_the_bridge_changes_nothing(launcher: Process) -> None:
    """Clients start commands like this."""
    assert only_start([launcher])


@pytest.mark.parametrize(
    "launcher",
    [
        shell("/bin/bash"),
        shell("/bin/bash", "-l"),
        shell("/bin/sh", "/opt/agent.sh"),
        shell("/bin/sh", "-e", "agent.sh", "upstash-helper"),
        shell("/bin/sh", "-c", "upstash-helper mcp headers; true"),
        shell("/bin/sh", "-c", "cat .env | upstash-helper mcp"),
        shell("/bin/sh", "-c", "$AGENT upstash-helper"),
        shell("/bin/sh", "-c", "./agent.sh upstash-helper", "sh"),
        shell("/bin/sh", "-c", "./agent.sh upstash-helper"),
        shell("/bin/sh", "-c", "agent.sh"),
        shell("/bin/sh", "-c", ""),
        shell("/bin/sh", "-c"),
        shell("/bin/zsh", "-c", "-l", "source /tmp/a.sh && eval 'upstash-helper mcp headers' < /dev/null && pwd -P"),
        shell("/bin/zsh", "-c", "-l", "eval 'upstash-helper mcp headers'"),
        shell("/bin/bash", "--rcfile", "a", "-c", "upstash-helper mcp"),
        shell("C:\\Windows\\System32\\cmd.exe"),
        shell("C:\\Windows\\System32\\cmd.exe", "/k", "upstash-helper mcp"),
        shell("C:\\Windows\\System32\\cmd.exe", "/c", "agent.bat"),
        shell("C:\\Windows\\powershell.exe", "-File", "agent.ps1"),
    ],
    ids=lambda it: " ".join(it.words)[-60:],
)
def test_shell_that_does_anything_else_may_be_the_agents(launcher: Process) -> None:
    """Its script may be the agent, and the command of a model's tool is not the agent's own."""
    assert not only_start([launcher])


def test_account_depends_on_the_scopes() -> None:
    """A token that allows more is not found by a client that is configured for less."""
    agent = started_by("/opt/agent")

    accounts = {token_account(agent, scopes) for scopes in (DEFAULT_SCOPES, READ_ONLY_SCOPES)}

    assert {"/mcp for /opt/agent", "/mcp for /opt/agent with connection:read databases:read"} == accounts


def test_unusual_path_is_a_valid_account() -> None:
    """Whatever a path contains, its account is short and printable, and its files have plain names."""
    account = token_account(started_by("/opt/" + "x" * 500 + "\n\udcff"), DEFAULT_SCOPES)

    assert account.isprintable()
    assert len(account) < 300
    assert file_name(account).isascii()


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}',
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params":'
            b' {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}}'
        ),
    ],
    ids=["session", "stateless"],
)
def test_model_without_tools_reads_that_the_user_has_to_approve_the_agent(line: bytes) -> None:
    """Without tools, it has nothing to call, so the response to its first request is all that it sees."""
    result = answer_at_once(parse(line))

    assert result is not None
    # The first 512 characters: what some clients show.
    assert "If there are no tools, ask the user to approve this agent" in result["instructions"][:512]


def test_expired_request_has_one_instruction() -> None:
    """
    A model reads that it can try again, and not also that it has to request access, which is done for it.
    """
    detail = "The request was not decided in time. Request access again."
    expired = from_problem(Problem(status=410, code="pairing_expired", title="Access request expired", detail=detail))

    assert (
        "The user did not decide on the request for access in time. Try again to request it again.",
        0.0,
    ) == refusal(expired)
