"""The stdio bridge and the real daemon: who asks for access, how often, and what a client sees meanwhile."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.activator import listening
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from tests.support.mcp_bridge import AGENT, SECONDS, BridgeProcess, environment, stateless, tokens
from tests.support.until import until
from tests.support.world import PASSWORD
from upstash_helper.cli.mcp.arguments import DEFAULT_SCOPES, READ_ONLY_SCOPES
from upstash_helper.protocol import wire
from upstash_helper.settings.profiles import exists, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox import Sandbox
    from upstash_helper.protocol.wire_apps import Pairing

PROGRAM = str(Path(sys.executable).resolve())


@pytest.fixture(name="daemon")
def _daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess.running(tmp_path) as daemon:
        yield daemon


@pytest.fixture(name="bridge")
def _bridge(tmp_path: Path, daemon: DaemonProcess) -> Iterator[BridgeProcess]:
    assert daemon.pid
    with BridgeProcess.running(tmp_path) as bridge:
        yield bridge


def asked(daemon: DaemonProcess) -> Pairing:
    """Return the pending request, as soon as there is one."""
    return until(daemon.client.pairings)[0]


def tool_text(response: dict[str, Any]) -> str:
    """Return what the model reads."""
    assert response["result"]["isError"]
    return str(response["result"]["content"][0]["text"])


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="platform: there is no sh on Windows")
def test_agent_asks_and_not_the_bridge(tmp_path: Path, daemon: DaemonProcess) -> None:
    """The verified program is the one that started the bridge, whatever shells are between. Its name comes after."""
    command = f"{sys.executable} -m upstash_helper mcp; exit"
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(tmp_path),
    ) as process:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": stateless(client="Some Agent")}
        assert process.stdin is not None
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()

        pairing = asked(daemon)
        list_command = [sys.executable, "-m", "upstash_helper", "approvals", "list"]
        shown = subprocess.run(list_command, env=daemon.environment, capture_output=True, text=True, check=True).stdout
        process.stdin.close()

    assert f"{PROGRAM}, which it started" in shown
    assert shown.index(PROGRAM) < shown.index("Some Agent")
    assert ("native", PROGRAM, os.getpid()) == (pairing.identity.kind, pairing.identity.name, pairing.identity.pid)
    assert PROGRAM == pairing.identity.sent_by
    assert () == pairing.identity.warnings
    assert "Some Agent" == pairing.claimed_name
    assert DEFAULT_SCOPES == tuple(each.scope for each in pairing.scopes)


# It starts the bridge, which keeps the streams, and ends.
_STARTER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-m", "upstash_helper", "mcp"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="platform: which process adopts others differs")
def test_agent_that_has_ended_is_unknown(tmp_path: Path, daemon: DaemonProcess) -> None:
    """If the program that started the bridge has ended, the prompt names the bridge, with a warning."""
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(tmp_path),
    ) as process:
        process.wait(SECONDS)
        assert process.stdin is not None
        assert process.stdout is not None
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": stateless()}
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()

        pairing = asked(daemon)
        process.stdin.close()
        process.stdout.read()  # until the bridge has ended

    assert PROGRAM == pairing.identity.name
    assert ["unknown_starter"] == [warning.code for warning in pairing.identity.warnings]


def test_read_only_client_requests_less(tmp_path: Path, daemon: DaemonProcess) -> None:
    """With ``--read-only``, only reading is requested, and a token that allows more is not used."""
    tokens(tmp_path).save("uha_of-an-agent-that-may-do-more")
    with BridgeProcess.running(tmp_path, "--read-only") as bridge:
        bridge.initialize()

        pairing = asked(daemon)

    assert READ_ONLY_SCOPES == tuple(each.scope for each in pairing.scopes)


# --- before the user has decided --------------------------------------------------------------------------------------


def test_client_gets_the_same_answers_before_and_after_the_approval(
    daemon: DaemonProcess, bridge: BridgeProcess
) -> None:
    """What the bridge answers in the daemon's place is what the daemon answers."""

    def answers(prefix: str) -> list[dict[str, Any]]:
        info = {"capabilities": {}, "clientInfo": {"name": "an agent", "version": "1"}}
        versions = ("2025-06-18", "2025-11-25", "2024-11-05")
        responses = [bridge.request(f"{prefix}{it}", "initialize", {**info, "protocolVersion": it}) for it in versions]
        return [
            *(response["result"] for response in responses),
            bridge.request(f"{prefix}ping", "ping")["result"],
            bridge.request(f"{prefix}discover", "server/discover", stateless())["result"],
        ]

    before = answers("before")
    daemon.client.approve(asked(daemon).id)
    until(daemon.client.apps)
    until(lambda: bridge.request("probe", "tools/list", stateless())["result"]["tools"])
    after = answers("after")

    assert after == before


def test_tools_appear_when_the_user_approves(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """The list is empty at first. After the approval the client is told, and gets the tools."""
    bridge.initialize()
    before = bridge.request(1, "tools/list")
    daemon.client.approve(asked(daemon).id)

    told = bridge.receive()
    after = bridge.request(2, "tools/list")

    assert [] == before["result"]["tools"]
    assert "notifications/tools/list_changed" == told["method"]
    assert "redis_list_databases" in [tool["name"] for tool in after["result"]["tools"]]


def test_subscription_tells_when_the_user_approves(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """A subscription is acknowledged at once, and reports after the approval that the list has changed."""
    filters = stateless(notifications={"toolsListChanged": True, "promptsListChanged": True})
    acknowledged = bridge.request("s", "subscriptions/listen", filters)
    daemon.client.approve(asked(daemon).id)

    told = bridge.receive()

    assert {"toolsListChanged": True} == acknowledged["params"]["notifications"]
    assert "notifications/tools/list_changed" == told["method"]
    assert {"io.modelcontextprotocol/subscriptionId": "s"} == told["params"]["_meta"]


def test_call_waits_for_the_user(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """A call before the approval reports progress while it waits, and is carried out after the approval."""
    params = stateless(name="redis_list_databases", arguments={})
    params["_meta"]["progressToken"] = "p"

    progress = bridge.request(1, "tools/call", params)
    daemon.client.approve(asked(daemon).id)
    received = bridge.receive()
    while "method" in received:
        received = bridge.receive()

    assert ("notifications/progress", "p") == (progress["method"], progress["params"]["progressToken"])
    # There is no account, which the daemon says.
    assert "upstash-helper connect" in json.dumps(received) or "No Upstash account" in json.dumps(received)


def test_withdrawn_when_the_client_ends(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """When the client ends before the user has decided, the prompt disappears."""
    bridge.initialize()
    asked(daemon)

    assert 0 == bridge.close_stdin()

    assert () == daemon.client.pairings(), "".join(bridge.stderr)


def test_client_that_says_nothing_causes_no_prompt(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """A client that only starts the command, such as to see whether it exists, does not request access."""
    assert 0 == bridge.close_stdin()

    assert () == daemon.client.pairings()
    assert () == next(daemon.client.audit()).entries


# --- one approval for each agent --------------------------------------------------------------------------------------


def test_processes_of_an_agent_share_one_approval(tmp_path: Path, daemon: DaemonProcess) -> None:
    """Two bridges of an agent cause one request, and both have access when it is approved. So has a third one."""
    with BridgeProcess.running(tmp_path) as first, BridgeProcess.running(tmp_path) as second:
        first.initialize()
        pairing = asked(daemon)
        second.initialize()
        assert [] == second.request(1, "tools/list")["result"]["tools"]
        assert [pairing.id] == [each.id for each in daemon.client.pairings()]

        daemon.client.approve(pairing.id)
        second.receive()
        listed = [bridge.request(2, "tools/list")["result"]["tools"] for bridge in (first, second)]

        with BridgeProcess.running(tmp_path) as third:
            third.initialize()
            listed.append(third.request(2, "tools/list")["result"]["tools"])

    assert all(listed)
    assert 1 == len(daemon.client.apps())
    assert "mcp" == daemon.client.apps()[0].audience


def test_denial_counts_for_all_processes_of_an_agent(tmp_path: Path, daemon: DaemonProcess) -> None:
    """After a denial, the model reads it, the other process does not ask again, and neither does the next call."""
    call = stateless(name="redis_list_databases", arguments={})
    with BridgeProcess.running(tmp_path) as first, BridgeProcess.running(tmp_path) as second:
        first.initialize()
        pairing = asked(daemon)
        assert [] == second.request(0, "tools/list", stateless())["result"]["tools"]  # so it waits for the first
        second.send(id=1, method="tools/call", params=call)
        first.send(id=1, method="tools/call", params=call)

        daemon.client.deny(pairing.id)
        texts = [tool_text(bridge.receive()) for bridge in (first, second)]
        again = [tool_text(bridge.request(2, "tools/call", call)) for bridge in (first, second)]

        assert [] == first.request(3, "tools/list", stateless())["result"]["tools"]
    assert all("denied" in text and "Nothing was done." in text for text in (*texts, *again))
    assert () == daemon.client.pairings()


def test_revoked_agent_asks_again_once(daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """After a revocation, the next call requests access again. After another one, the model reads why it cannot."""
    call = stateless(name="redis_list_databases", arguments={})
    assert [] == bridge.request("first", "tools/list", stateless())["result"]["tools"]
    daemon.client.approve(asked(daemon).id)
    until(lambda: bridge.request("probe", "tools/list", stateless())["result"]["tools"])

    daemon.client.revoke_app(daemon.client.apps()[0].id)
    bridge.send(id=1, method="tools/call", params=call)
    daemon.client.approve(asked(daemon).id)
    bridge.receive()
    daemon.client.revoke_app(daemon.client.apps()[0].id)
    refused = bridge.request(2, "tools/call", call)

    assert "revoked" in tool_text(refused)
    assert () == daemon.client.pairings()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the process that holds the lock is not identified")
def test_request_of_a_killed_bridge_is_replaced(tmp_path: Path, daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """A bridge that was killed leaves its request behind, and the agent's next one takes its place."""
    bridge.initialize()
    before = asked(daemon)
    bridge.kill()

    with BridgeProcess.running(tmp_path) as next_bridge:
        next_bridge.initialize()
        until(lambda: [it.id for it in daemon.client.pairings()] not in ([], [before.id]))
        replaced = daemon.client.pairings()

    assert [before.id] == [each.replaces for each in replaced]


# --- questions --------------------------------------------------------------------------------------------------------


async def test_answer_to_a_form_from_before_a_crash_deletes_nothing_else(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """
    A client still shows the form about one database when the daemon has crashed, and asks about another one then. A yes
    in the first form answers nothing, and the client has been told so.
    """
    urls = {it: getattr(sandbox, it) for it in ("client_id", "auth_url", "api_url", "rest_url")}
    email = f"cli-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "for-a-form")
    with DaemonProcess.running(tmp_path, port=daemon_port, credential_store="file", **urls) as daemon:
        daemon.client.use_api_key(email=email, api_key=key)
        alpha, bravo = (
            daemon.client.create_database(
                wire.CreateDatabase(name=name, primary_region="us-east-1"), idempotency_key=secrets.token_hex(8)
            ).id
            for name in ("alpha", "bravo")
        )
        with BridgeProcess.running(tmp_path) as bridge:
            info = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "an agent", "version": "1"}}
            bridge.request("init", "initialize", {**info, "capabilities": {"elicitation": {}}})
            bridge.send(id="list", method="tools/list")
            daemon.client.approve(asked(daemon).id)
            received(bridge, "id", "list")
            form = ask_to_delete(bridge, 1, alpha)
            daemon.kill()
            told = received(bridge, "method", "notifications/cancelled")
            daemon.start()
            other = ask_to_delete(bridge, 2, bravo)

            bridge.send(id=form["id"], result={"action": "accept", "content": {"confirm": True}})
            bridge.send(id=other["id"], result={"action": "decline"})
            denied = received(bridge, "id", 2)

        assert form["id"] == told["params"]["requestId"]
        assert denied["result"]["structuredContent"]["done"] is False
        assert ["alpha", "bravo"] == sorted(it.name for it in daemon.client.databases(refresh=True))


def ask_to_delete(bridge: BridgeProcess, request_id: int, database_id: str) -> dict[str, Any]:
    """Call the tool that deletes a database, and return the form for the user."""
    params = {"name": "redis_delete_database", "arguments": {"database_id": database_id}}
    bridge.send(id=request_id, method="tools/call", params=params)
    return received(bridge, "method", "elicitation/create")


def received(bridge: BridgeProcess, member: str, value: object) -> dict[str, Any]:
    """Return the next message that has this value; those before it do not matter."""
    while (message := bridge.receive()).get(member) != value:
        pass
    return message


# --- starting the daemon ----------------------------------------------------------------------------------------------


def test_daemon_is_started(tmp_path: Path) -> None:
    """A bridge starts the daemon of its profile, and the client can connect meanwhile."""
    daemon = DaemonProcess(tmp_path, profile="work")
    daemon.folders.config.mkdir(parents=True)
    settings = f'port = {free_port()}\nopen_browser = false\nnotifications = false\ncredential_store = "memory"\n'
    daemon.folders.config_file.write_text(settings, encoding="utf-8")
    try:
        with BridgeProcess.running(tmp_path, "--profile", "work", "mcp") as bridge:
            response = bridge.initialize()
            pairing = until(lambda: _pairings(daemon))[0]

            assert "upstash-helper" == response["result"]["serverInfo"]["name"]
            assert PROGRAM == pairing.identity.name
    finally:
        daemon.client.stop()


def _pairings(daemon: DaemonProcess) -> tuple[Pairing, ...]:
    from upstash_helper.client.errors import DaemonUnreachable

    try:
        return daemon.client.pairings()
    except DaemonUnreachable:
        return ()


def test_daemon_that_cannot_start_is_reported(tmp_path: Path) -> None:
    """If the daemon cannot be started, the model reads why, and the client stays connected."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("port = 99999\n", encoding="utf-8")
    with BridgeProcess.running(tmp_path) as bridge:
        response = bridge.initialize()
        called = bridge.request(1, "tools/call", {"name": "redis_list_databases"})

    assert "upstash-helper" == response["result"]["serverInfo"]["name"]
    assert "99999" in tool_text(called)


def test_taken_port_is_reported_with_the_first_call(tmp_path: Path) -> None:
    """If another program has the daemon's port, the result of the first call says which, and how to change the port."""
    with listening("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        settings = f'port = {port}\nopen_browser = false\nnotifications = false\ncredential_store = "memory"\n'
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.toml").write_text(settings, encoding="utf-8")
        with BridgeProcess.running(tmp_path) as bridge:
            bridge.initialize()
            called = bridge.request(1, "tools/call", {"name": "redis_list_databases"})

    assert f"Port {port} on 127.0.0.1 is in use by" in tool_text(called)
    assert "setting 'port'" in tool_text(called)


@pytest.mark.parametrize("command", [("mcp",), ("mcp", "headers")])
def test_unknown_profile_is_not_created(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A typing error in the profile's name starts no daemon and leaves no files. The error says how to create it."""
    with BridgeProcess.running(tmp_path, "--profile", "nosuch", *command) as process:
        if command == ("mcp",):
            process.initialize()
            shown = tool_text(process.request(1, "tools/call", {"name": "redis_list_databases"}))
        else:
            assert 1 == process.process.wait(SECONDS)
            shown = until(lambda: "".join(process.stderr))

    assert "There is no profile nosuch." in shown
    assert "upstash-helper --profile nosuch start" in shown
    assert [] == list(tmp_path.rglob("nosuch"))


def test_profile_that_was_set_up_exists(tmp_path: Path) -> None:
    """A profile exists with its settings, and with files of a daemon. A runtime folder is none."""
    profile, folders = locate(profile="work", environ=environment(tmp_path))

    assert not exists(profile, folders)
    folders.runtime.mkdir(parents=True)
    assert not exists(profile, folders)
    folders.state.mkdir(parents=True, exist_ok=True)
    folders.ledger_file.touch()
    assert exists(profile, folders)
    folders.ledger_file.unlink()
    folders.config.mkdir(parents=True)
    folders.config_file.touch()
    assert exists(profile, folders)
    assert exists(*locate(environ=environment(tmp_path)))


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="platform: others do not show a process like this")
def test_token_is_in_no_argument_and_no_output(tmp_path: Path, daemon: DaemonProcess, bridge: BridgeProcess) -> None:
    """The token is in the store alone: not in the arguments, the environment, the log, or the streams."""
    received = [bridge.initialize()]
    daemon.client.approve(asked(daemon).id)
    token = until(tokens(tmp_path).load) or ""
    received.append(bridge.request(1, "tools/list"))

    process = Path("/proc", str(bridge.pid))
    assert token.startswith("uha_")
    assert token.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert token not in json.dumps(received) + "".join(bridge.stderr) + daemon.log


def test_token_is_in_the_keyring(tmp_path: Path, daemon: DaemonProcess) -> None:
    """By default, the token is in the keyring and in no file, and the next bridge reads it there."""
    skip_unless_there_is_one()
    with PrivateKeyring() as keyring:
        environ = clean_environment() | keyring.env | {"UPSTASH_HELPER_HOME": str(tmp_path)}
        with BridgeProcess.running(tmp_path, environ=environ) as bridge:
            bridge.initialize()
            daemon.client.approve(asked(daemon).id)
            until(lambda: bridge.request("probe", "tools/list", stateless())["result"]["tools"])
        with BridgeProcess.running(tmp_path, environ=environ) as bridge:
            listed = bridge.request(1, "tools/list", stateless())

    assert listed["result"]["tools"]
    assert 1 == len(daemon.client.apps())
    assert not (tmp_path / "state" / "mcp").exists()
    assert [] == [file for file in tmp_path.rglob("*") if file.is_file() and b"uha_" in file.read_bytes()]


# --- headers ----------------------------------------------------------------------------------------------------------


def test_missing_keyring_names_the_setting(tmp_path: Path) -> None:
    """
    Without a keyring, the user reads which setting replaces it, and not the parameter of a client library. A model is
    not told to try again, which does not help until the user has changed something.
    """
    backend = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    environ = {**environment(tmp_path), "UPSTASH_HELPER_CREDENTIAL_STORE": "keyring", **backend}
    with (
        DaemonProcess.running(tmp_path, environment=backend, credential_store="keyring") as daemon,
        BridgeProcess.running(tmp_path, environ=environ) as bridge,
    ):
        bridge.initialize()
        daemon.client.approve(asked(daemon).id)
        until(lambda: bridge.request("probe", "tools/list", stateless())["result"]["tools"])
        called = bridge.request(1, "tools/call", stateless(name="redis_list_databases", arguments={}))
        shown = until(lambda: "".join(bridge.stderr))

    assert 'credential_store = "file"' in shown
    assert "FileTokens" not in shown
    assert 'credential_store = "file"' in tool_text(called)
    assert "Try again" not in tool_text(called)


def test_headers_are_printed_for_a_client_that_has_access(tmp_path: Path, daemon: DaemonProcess) -> None:
    """``mcp headers`` asks once, and prints the same token from then on, with nothing secret elsewhere."""
    command = [sys.executable, AGENT, "mcp", "headers"]
    options: dict[str, Any] = {"env": environment(tmp_path), "stdout": -1, "stderr": -1, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, **options) as process:
        daemon.client.approve(asked(daemon).id)
        output, diagnostics = process.communicate(timeout=SECONDS)

    second = subprocess.run(command, **options, timeout=SECONDS, check=False)

    headers = json.loads(output)
    assert ["Authorization"] == list(headers)
    assert f"Bearer {tokens(tmp_path).load()}" == headers["Authorization"]
    assert (0, output) == (second.returncode, second.stdout)
    assert headers["Authorization"].removeprefix("Bearer ").encode() not in diagnostics + second.stderr


def test_denied_headers_fail(tmp_path: Path, daemon: DaemonProcess) -> None:
    """If the user denies the request, ``mcp headers`` prints why to stderr, nothing to stdout, and fails."""
    command = [sys.executable, "-m", "upstash_helper", "mcp", "headers"]
    with subprocess.Popen(
        command, env=environment(tmp_path), stdin=subprocess.DEVNULL, stdout=-1, stderr=-1
    ) as process:
        daemon.client.deny(asked(daemon).id)
        output, diagnostics = process.communicate(timeout=SECONDS)

    assert (1, b"") == (process.returncode, output)
    assert 1 == diagnostics.count(b"The user denied the request.")


def test_another_program_does_not_get_the_agents_token(tmp_path: Path, daemon: DaemonProcess) -> None:
    """
    A program that runs the command of an agent with access is another agent, also as a script of the same interpreter:
    it causes a request in its own name, and gets nothing without the user's approval.
    """
    other = tmp_path / "other_agent.py"
    other.write_bytes(Path(AGENT).read_bytes())
    options: dict[str, Any] = {"env": environment(tmp_path), "stdin": subprocess.DEVNULL, "stdout": -1, "stderr": -1}
    with subprocess.Popen([sys.executable, AGENT, "mcp", "headers"], **options) as process:
        daemon.client.approve(asked(daemon).id)
        output, _ = process.communicate(timeout=SECONDS)

    with subprocess.Popen([sys.executable, str(other), "mcp", "headers"], **options) as process:
        pairing = asked(daemon)
        daemon.client.deny(pairing.id)
        stolen, diagnostics = process.communicate(timeout=SECONDS)

    assert ["Authorization"] == list(json.loads(output))
    assert "other_agent" in pairing.claimed_name
    assert (1, b"") == (process.returncode, stolen)
    assert (tokens(tmp_path).load() or "no token").encode() not in diagnostics
    assert 1 == len(daemon.client.apps())


# It does what an agent in the arguments of an interpreter does: it starts a command, and ends with it.
_EVALUATED = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-m", "upstash_helper", *sys.argv[1:]]).returncode)
"""
# It does what an agent does whose model has a tool that runs commands.
_WITH_SHELL = """
import subprocess, sys
sys.exit(subprocess.run(["/bin/sh", "-c", sys.executable + " -m upstash_helper mcp headers; exit $?"]).returncode)
"""


@pytest.mark.parametrize("kind", ["arguments", "shell", "build"])
def test_token_of_an_agent_that_cannot_be_told_apart_is_not_kept(
    tmp_path: Path, daemon: DaemonProcess, kind: str
) -> None:
    """
    All code in arguments of an interpreter is the same to the system, and so is what a program runs that runs anything.
    A shell of an agent may run its model's commands. So the next one has to request access.
    """
    if kind == "arguments":
        commands = [[sys.executable, "-c", _EVALUATED, "mcp", "headers"]] * 2
    elif sys.platform == "win32":
        pytest.skip("platform: there is no sh on Windows")
    elif kind == "shell":
        agent = tmp_path / "agent.py"
        agent.write_text(_WITH_SHELL, encoding="utf-8")
        commands = [[sys.executable, str(agent)]] * 2
    else:
        make = shutil.which("make") or pytest.skip("machine: there is no make")
        for name in ("one", "other"):
            recipe = f"all:\n\t@{sys.executable} -m upstash_helper mcp headers\n"
            (tmp_path / name).write_text(recipe, encoding="utf-8")
        commands = [[make, "-sf", str(tmp_path / name)] for name in ("one", "other")]
    options: dict[str, Any] = {"env": environment(tmp_path), "stdin": subprocess.DEVNULL, "stdout": -1, "stderr": -1}
    with subprocess.Popen(commands[0], **options) as process:
        daemon.client.approve(asked(daemon).id)
        output, diagnostics = process.communicate(timeout=SECONDS)
    with subprocess.Popen(commands[1], **options) as process:
        daemon.client.deny(asked(daemon).id)
        second, _ = process.communicate(timeout=SECONDS)

    assert ["Authorization"] == list(json.loads(output))
    assert b"" == second
    assert b"access is requested each time" in diagnostics
    assert not (tmp_path / "state" / "mcp").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: there is no sh on Windows")
def test_shell_that_a_client_starts_the_command_with_changes_nothing(tmp_path: Path, daemon: DaemonProcess) -> None:
    """Clients run the command for header fields in a shell. The agent's token is kept, and used the next time."""
    agent = tmp_path / "agent.py"
    agent.write_text(_WITH_SHELL.replace("; exit $?", ""), encoding="utf-8")
    options: dict[str, Any] = {"env": environment(tmp_path), "stdin": subprocess.DEVNULL, "stdout": -1, "stderr": -1}
    with subprocess.Popen([sys.executable, str(agent)], **options) as process:
        daemon.client.approve(asked(daemon).id)
        output, _ = process.communicate(timeout=SECONDS)

    second = subprocess.run([sys.executable, str(agent)], **options, timeout=SECONDS, check=False)

    assert ["Authorization"] == list(json.loads(output))
    assert output == second.stdout


def test_headers_are_not_shown_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal, ``mcp headers`` prints no token, and says how to print it anyway. Nobody is asked."""
    reading, writing = os.openpty() if sys.platform != "win32" else pytest.skip("platform: Windows has no openpty")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "upstash_helper", "mcp", "headers"],
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)

    assert 1 == done.returncode
    assert b"--show" in done.stderr
    assert not (tmp_path / "run").exists()
