"""T79: output that cannot be encoded is replaced, and output that cannot be written is one sentence."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest

from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.forked_commands import CLOSED, FULL, ForkedCommands
from tests.support.sample_app import SampleApp
from tests.support.world import PASSWORD
from upstash_helper.protocol import discovery
from upstash_helper.protocol.wire import CreateDatabase
from upstash_helper.system import console

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.forked_commands import Printed
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: needs fork and /dev/full")

ROOT = Path(__file__).parents[2]
DATABASE = "café-日本"
APP = "Ünï→✓ \u202eevil\x1b[31m \U0001f600 日本"
ENCODINGS = ("cp437", "latin-1", "ascii")

READ = (
    ("status",), ("databases", "list"), ("databases", "get", DATABASE), ("databases", "regions"),
    ("databases", "env", DATABASE), ("databases", "credentials", DATABASE), ("apps", "list"), ("approvals", "blocked"),
    ("approvals", "list"), ("audit",), ("config", "show"), ("config", "path"), ("completion", "bash"),
    ("completion", "zsh"), ("completion", "fish"), ("service", "status"), ("open", "--print"),
)  # fmt: skip
"""Commands that print what the daemon, the account, and apps have."""


@pytest.fixture
async def daemon(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[DaemonProcess]:
    """A daemon that is connected, with a database and apps whose names few encodings have."""
    email = f"output-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")
    urls = {"auth_url": sandbox.auth_url, "api_url": sandbox.api_url, "rest_url": sandbox.rest_url}
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, client_id=sandbox.client_id, **urls) as daemon:
        daemon.client.use_api_key(email=email, api_key=key)
        new = CreateDatabase(name=DATABASE, primary_region="sa-east-1")
        daemon.client.create_database(new, idempotency_key=str(uuid.uuid4()))
        SampleApp.approved(daemon, "databases:read", name=APP, origin="https://app.example.com")
        daemon.client.block(SampleApp.requesting(daemon, name=APP, origin="https://blocked.example").id)
        SampleApp.requesting(daemon, "databases:read", name=APP, origin="https://other.example")
        yield daemon


def explained(printed: Printed) -> bytes:
    """Return the error output, which has no traceback."""
    assert b"Traceback" not in printed.err, printed
    assert b"Exception ignored" not in printed.err, printed
    return printed.err


async def test_t79_every_command_prints_in_every_encoding(daemon: DaemonProcess) -> None:
    """An app and a database may have any name. What the encoding does not have is escaped, and JSON is UTF-8."""
    lines = [*READ, *((*line, "--json") for line in READ)]
    runs = [ForkedCommands(daemon.environment, encoding).run(*lines) for encoding in ENCODINGS]

    for encoding, results in zip(ENCODINGS, await asyncio.gather(*runs), strict=True):
        texts = {}
        for printed in results:
            explained(printed)
            assert 0 == printed.code, printed
            decoded = printed.out.decode("utf-8" if "--json" in printed.command else encoding)
            assert "\x1b" not in decoded
            texts[" ".join(printed.command)] = decoded
        listed, as_json = texts["databases list"], msgspec.json.decode(texts["databases list --json"])
        escaped = DATABASE.encode(encoding, "backslashreplace").decode(encoding)
        assert escaped in listed
        assert [DATABASE] == [one["name"] for one in as_json["databases"]]
        assert "S\\xe3o Paulo" in texts["databases regions"] or "São Paulo" in texts["databases regions"]


async def test_t79_help_of_every_command_prints_in_every_encoding(tmp_path: Path) -> None:
    """Help is printed on every terminal."""
    environ = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}
    runs = await asyncio.gather(*(ForkedCommands(environ, encoding).run() for encoding in ("cp437", "ascii")))

    for printed in (one for run in runs for one in run):
        explained(printed)
        assert (0, True) == (printed.code, bool(printed.out)), printed
    assert 50 < len(runs[0])


@pytest.mark.parametrize(("stdout", "reason"), [(FULL, b"No space left on device"), (CLOSED, b"it is closed")])
async def test_t79_output_that_cannot_be_written_is_one_sentence(
    daemon: DaemonProcess, stdout: str, reason: bytes
) -> None:
    """This applies to every command, with and without JSON."""
    lines = [*READ, *((*line, "--json") for line in READ)]

    for printed in await ForkedCommands(daemon.environment, streams={"stdout": stdout}).run(*lines):
        *notes, line = explained(printed).splitlines()
        assert (1, True) == (printed.code, b"cannot be written to standard output: " + reason in line), printed
        assert not [note for note in notes if b"written" in note]
        if "--json" in printed.command:
            assert "output_failed" == msgspec.json.decode(line)["code"]


@pytest.mark.parametrize("stdout", [FULL, CLOSED])
async def test_t79_help_that_cannot_be_written_is_one_sentence(tmp_path: Path, stdout: str) -> None:
    """This applies to the help of every command, and to the version."""
    environ = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}

    for printed in await ForkedCommands(environ, streams={"stdout": stdout}).run():
        (line,) = explained(printed).splitlines()
        assert (1, True) == (printed.code, line.startswith(b"Error: The result cannot be written")), printed


async def test_t79_closed_streams_are_no_bug(daemon: DaemonProcess) -> None:
    """Nothing can be reported on a closed stderr. A closed stdin has no input, and nobody can be asked."""
    silent = ForkedCommands(daemon.environment, streams={"stdout": CLOSED, "stderr": CLOSED, "stdin": CLOSED})
    no_input = ForkedCommands(daemon.environment, streams={"stdin": CLOSED})

    both = await silent.run(["status"], ["databases", "list"], ["no-such-command"])
    asked = await no_input.run(
        ["connect", "--api-key", "--email", "ann@example.com"],
        ["databases", "delete", DATABASE],
        ["approvals", "approve"],
    )

    assert [1, 1, 2] == [one.code for one in both]
    assert [2, 2] == [one.code for one in asked[:2]]
    assert b"No API key on standard input." in explained(asked[0])
    assert b"standard input is not a terminal" in explained(asked[1])
    assert 0 != asked[2].code
    explained(asked[2])


async def test_t79_event_stream_ends_when_it_cannot_be_written(daemon: DaemonProcess) -> None:
    """A stream ends with the sentence at the first event."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$@" > {FULL}', "sh", sys.executable, "-m", "upstash_helper", "events", "--json",
        env=daemon.environment, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(30):
        started = await process.stderr.readline()
        SampleApp.requesting(daemon, "databases:read", origin="https://third.example")
        line = await process.stderr.read()
        code = await process.wait()

    assert b"Waiting for events" in started
    assert (1, "output_failed") == (code, msgspec.json.decode(line)["code"])


def test_t79_broken_pipe_is_quiet(tmp_path: Path) -> None:
    """``| head`` ends a command as SIGPIPE ends other programs."""
    reader, writer = os.pipe()
    os.close(reader)
    environ = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}
    try:
        ran = subprocess.run(
            (sys.executable, "-m", "upstash_helper", "--help"), stdout=writer, stderr=subprocess.PIPE, env=environ,
            check=False,
        )  # fmt: skip
    finally:
        os.close(writer)

    assert (128 + signal.SIGPIPE, b"") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, str(ROOT / "install" / "demo.py"), "--help"),
        (sys.executable, str(ROOT / "install" / "test.py"), "--help"),
        (sys.executable, str(ROOT / "install" / "install.py"), "--help"),
        (sys.executable, "-m", "upstash_helper.sandbox", "--help"),
    ],
)
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_t79_other_programs_explain_it_as_well(command: tuple[str, ...], redirection: str) -> None:
    """The scripts of the checkout and the sandbox are programs of their own."""
    ran = subprocess.run(
        ("sh", "-c", f'exec "$@" {redirection}', "sh", *command), capture_output=True, check=False, text=True
    )

    (line,) = ran.stderr.splitlines()
    assert (1, True) == (ran.returncode, line.startswith("Error: The result cannot be written to standard output"))


HOSTILE = "evil\x1b[31m\x07\r\nError: fake\u202e\x9b2J"


async def test_t79_names_that_others_have_chosen_cannot_control_the_terminal(
    daemon: DaemonProcess, sandbox: Sandbox
) -> None:
    """Another member of a team may have named a database. A command that only repeats the name is no exception."""
    (one,) = daemon.client.databases()
    found = discovery.read(daemon.folders.runtime)
    assert found is not None
    url, headers = (
        f"{found.base_url}/upstash/v2/redis/database/{one.id}",
        {"Authorization": f"Bearer {found.owner_token}"},
    )
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        record = {**await response.json(), "database_name": HOSTILE, "primary_region": "us\x1b[31m"}
    answers = {
        ("GET", "/v2/redis/databases"): [record],
        ("GET", f"/v2/redis/database/{one.id}"): record,
        ("POST", f"/v2/redis/reset-password/{one.id}"): record,
    }
    for (method, path), document in answers.items():
        await sandbox.fault(method=method, path=path, times=None, status=200, body=json.dumps(document))
    lines = (
        ["databases", "list"], ["databases", "reset-password", one.id],
        ["databases", "reset-password", one.id, "--yes"], ["databases", "delete", one.id, "--yes"],
    )  # fmt: skip

    try:
        daemon.client.database_page(refresh=True)
        printed = await ForkedCommands(daemon.environment).run(*lines)
    finally:
        await sandbox.clear_faults()

    assert [0, 2, 0, 0] == [one.code for one in printed], printed
    for one_printed in printed:
        text = (one_printed.out + one_printed.err).decode()
        assert not set("\x1b\x07\r\u202e\x9b") & set(text), text
        assert not [line for line in text.splitlines() if line.startswith("Error: fake")], text
    assert "evil\ufffd[31m" in printed[2].out.decode()
    assert f"databases credentials {one.id}" in printed[2].out.decode()
    assert "Deleted evil\ufffd[31m" in printed[3].out.decode()


TELL = """
import datetime
from upstash_helper.client.app_session import print_code
from upstash_helper.client.helper import print_url
print_code("ABCD-EFGH", datetime.datetime.now(datetime.UTC))
print_url("https://auth.example")
"""


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&- <&-", "2>/dev/null"])
def test_t79_app_without_stderr_can_request_access(redirection: str) -> None:
    """The Python client has nothing to print to then, as in an app with a window; the user still sees the prompt."""
    ran = subprocess.run(
        ("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", TELL), capture_output=True, check=False
    )

    assert (0, b"") == (ran.returncode, ran.stdout)


@pytest.mark.parametrize("encoding", ["cp1252", "cp437"])
async def test_t79_demo_runs_to_its_end(encoding: str) -> None:
    """Windows uses such an encoding for every pipe."""
    environ = clean_environment() | {"PYTHONIOENCODING": encoding}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "upstash_helper", "demo", "--once", env=environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, err = await process.communicate()

    assert 0 == process.returncode, err
    assert "ok " in out.decode(encoding)


def test_t79_own_characters_have_substitutes() -> None:
    """What we print ourselves stays readable; names of others are escaped, so that two names never look the same."""
    code = "from upstash_helper.system import console; console.prepare(); print('✓ ✗ → … “a” é 日')"
    shown = {
        encoding: subprocess.run(
            (sys.executable, "-c", code),
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        ).stdout.strip()
        for encoding in ("ascii", "latin-1", "utf-8")
    }

    assert b'ok XX -> ... "a" \\xe9 \\u65e5' == shown["ascii"]
    assert b'ok XX -> ... "a" \xe9 \\u65e5' == shown["latin-1"]
    assert "✓ ✗ → … “a” é 日".encode() == shown["utf-8"]
    assert 141 == console.BROKEN_PIPE


async def test_t79_arguments_in_another_encoding_are_understood(daemon: DaemonProcess) -> None:
    """With LC_ALL=C, Python does not decode a name in UTF-8. Bytes that are no text in it are an error in usage."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environ = {**daemon.environment, **locale}
    results = []
    for old, new in ((DATABASE.encode(), DATABASE.encode()), (DATABASE.encode(), b"caf\xe9")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "upstash_helper", "databases", "rename", old, new,
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        results.append((process.returncode, out, err))

    assert 0 == results[0][0], results[0]
    assert b"caf\\xe9-\\u65e5\\u672c" in results[0][1]
    assert (2, True) == (results[1][0], b"this terminal's encoding does not have" in results[1][2]), results[1]


async def test_t79_invalid_option_is_explained_in_words(tmp_path: Path) -> None:
    """A number is called a number."""
    environ = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}
    budget, timeout, backend = await ForkedCommands(environ).run(
        ["databases", "create", "x", "--region", "eu-west-1", "--budget", "z"], ["connect", "--timeout", "z"],
        ["tray", "--backend", "z"],
    )  # fmt: skip

    assert b"'z' is not a whole number." in budget.err
    assert b"'z' is not a number." in timeout.err
    assert b"'z' is not one of 'auto'" in backend.err
    assert [2, 2, 2] == [budget.code, timeout.code, backend.code]
