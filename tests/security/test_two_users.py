"""
Two users of one machine are isolated: neither can access the other's data, and each can have a helper.

Both are accounts of this system. Their helpers, commands, and attempts are processes that run as them.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.daemon import free_port
from tests.support.keyring import skip_unless_there_is_one
from tests.support.until import until
from tests.support.users import User, two_users
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow

# Reports for each path which operations succeed. Nothing is changed: files are opened without truncating them.
TRY_FILES = """
import os
result = []
for path in given:
    for what, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY)):
        try:
            os.close(os.open(path, flags | os.O_NONBLOCK))
            result.append([path, what])
        except OSError:
            pass
    try:
        os.listdir(path)
        result.append([path, "list"])
    except OSError:
        pass
    if os.path.isdir(path):
        for name in ("daemon.json", "planted"):
            try:
                os.link(given[0], os.path.join(path, name))
                result.append([path, "plant"])
            except OSError:
                pass
"""

SEND_REQUESTS = """
import http.client
result = []
for method, path in given["requests"]:
    one = http.client.HTTPConnection("127.0.0.1", given["port"], timeout=30)
    headers = {"Authorization": "Bearer " + given["token"], "Idempotency-Key": "k", "Content-Type": "application/json"}
    body = '{"name":"db","primary_region":"us-east-1"}' if method == "POST" else None
    one.request(method, path, body=body, headers=headers)
    answer = one.getresponse()
    text = answer.read().decode()
    result.append([answer.status, text])
    one.close()
"""

# Runs a program in a session with a bus and an unlocked keyring.
_SESSION = """
printf password | gnome-keyring-daemon --unlock --components=secrets >"$HOME/keyring.out" 2>&1
printf %s "$DBUS_SESSION_BUS_ADDRESS" >"$HOME/bus"
exec "$@"
"""
SESSION = ("dbus-run-session", "--", "sh", "-c", _SESSION, "sh")

# Reports which of the helper's entries the keyring on a bus discloses.
SEARCH = """
import sys
import secretstorage
from jeepney.io.blocking import open_dbus_connection
try:
    connection = open_dbus_connection(sys.argv[1])
except Exception:
    print("refused")
else:
    with connection:
        print(len(list(secretstorage.search_items(connection, {"application": "Python keyring library"}))), "found")
"""


@dataclass
class Helper:
    """A running helper, and its credentials."""

    user: User
    port: int
    process: subprocess.Popen[str]
    email: str = ""
    api_key: str = ""

    @property
    def announced(self) -> dict[str, Any]:
        """Its discovery file."""
        file = self.user.runtime / "upstash-helper" / "daemon.json"
        found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
        return found

    @property
    def token(self) -> str:
        """Its owner token."""
        return str(self.announced["owner_token"])


@contextmanager
def helper_of(user: User, port: int, *around: str, **settings: str) -> Iterator[Helper]:
    """Run a user's helper as a process of that user; ``around`` is a command that runs it in a session."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**settings, "port": str(port)}.items()]
    command = [*around, sys.executable, "-P", "-m", "upstash_helper", "run", "--stop-with-parent", *flags]
    with user.start(*command) as process:
        try:
            lock = user.runtime / "upstash-helper" / "daemon.json"
            until(lambda: process.poll() is not None or lock.exists())
            assert process.poll() is None, process.communicate()[0]
            yield Helper(user, port, process)
        finally:
            # Closing its standard input ends it, in any session.
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[User, User]]:
    """Ann and Ben."""
    with two_users() as both:
        yield both


@pytest.fixture
def ann(users: tuple[User, User]) -> User:
    """The first user."""
    return users[0]


@pytest.fixture
def ben(users: tuple[User, User]) -> User:
    """The second user."""
    return users[1]


@pytest.fixture
async def anns(ann: User, sandbox: Sandbox) -> AsyncIterator[Helper]:
    """Ann's helper, connected to an account with a database. Its key is in a file, not in a keyring."""
    email = f"ann-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")
    world = {"auth_url": sandbox.auth_url, "api_url": sandbox.api_url, "rest_url": sandbox.rest_url}
    with helper_of(ann, free_port(), credential_store="file", **world) as running:
        connected = await ann.helper("connect", "--api-key", "--email", email, typed=f"{key}\n")
        assert 0 == connected.code, connected.err
        made = await ann.helper("databases", "create", "orders", "--region", "us-east-1")
        assert 0 == made.code, made.err
        running.email, running.api_key = email, key
        yield running


def below(folder: Path) -> list[str]:
    """Return a folder and everything in it."""
    return [str(folder), *(str(path) for path in sorted(folder.rglob("*")))]


async def test_second_user_learns_who_has_the_port(anns: Helper, ben: User) -> None:
    """
    `start` and `run` on another user's port fail with that user's name and a suggestion. `status` finds no helper.
    """
    port = str(anns.port)

    rans = [await ben.helper(command, "--port", port) for command in ("start", "run", "restart")]
    status = await ben.helper("status", UPSTASH_HELPER_PORT=port)

    for ran in rans:
        assert exit_codes.PORT_BUSY == ran.code
        assert f"Port {port} on 127.0.0.1 is in use by another user's program (user {anns.user.name})" in ran.err
        assert "--port" in ran.err
        assert anns.email not in ran.err
    assert (exit_codes.NOT_RUNNING, "") == (status.code, status.out)


async def test_both_users_can_have_a_helper_on_different_ports(anns: Helper, ben: User) -> None:
    """With another port the second user's helper runs as well. Each user's commands reach only their own helper."""
    with helper_of(ben, free_port(), credential_store="file") as bens:
        ann_sees, ben_sees = await anns.user.helper("status", "--json"), await ben.helper("status", "--json")
        ben_lists = await ben.helper("databases", "list")
        stopped = await ben.helper("stop")
        until(lambda: bens.process.poll() is not None)
        still = await anns.user.helper("databases", "list")

    assert anns.announced["pid"] == ann_sees.json["pid"]
    assert ann_sees.json["pid"] != ben_sees.json["pid"]
    assert ("connected", "disconnected") == (
        ann_sees.json["connection"]["state"], ben_sees.json["connection"]["state"],
    )  # fmt: skip
    assert exit_codes.NOT_CONNECTED == ben_lists.code
    assert 0 == stopped.code
    assert (0, True) == (still.code, "orders" in still.out)


async def test_nothing_is_sent_to_a_server_that_took_over_the_port(ann: User, ben: User) -> None:
    """
    After a crash, the stale discovery file names a port that another user's server now has. No command sends
    anything to it.
    """
    port = free_port()
    with helper_of(ben, port, credential_store="memory") as crashed:
        token = crashed.token
        crashed.process.kill()
        crashed.process.wait(30)
    assert token == crashed.token
    commands = ("status", "stop", "start", "restart", "open", "databases list", "connect", "disconnect --yes", "events",
                "approvals list", "tray", "doctor")  # fmt: skip

    with ann.listening(port) as received:
        rans = [await ben.helper(*command.split(), UPSTASH_HELPER_PORT=str(port)) for command in commands]

    assert "Traceback" not in "".join(ran.err for ran in rans)
    # `doctor` only checks whether the port is in use.
    assert [] == [data for data in received if data]


async def test_files_of_the_other_user_are_not_accessible(anns: Helper, ben: User) -> None:
    """
    Discovery file, locks, ledger, log, and credential cannot be read, written, listed, or created, although the
    home folder is accessible.
    """
    ann = anns.user
    control = ann.home / "for everybody"
    control.write_text("hello", encoding="utf-8")
    control.chmod(0o644)
    files = [str(control), *below(ann.home / ".local/state/upstash-helper"), *below(ann.runtime)]
    names = {path.rpartition("/")[2] for path in files}
    assert {"daemon.json", "daemon.lock", "ledger.db", "upstash-helper.log"} < names
    assert [name for name in names if name.startswith("credential")]

    reached = await ben.evaluate(TRY_FILES, files)

    assert [[str(control), "read"]] == reached


async def test_files_are_accessible_to_their_user(anns: Helper) -> None:
    """The same attempts by the owner of the files succeed, so it is the ownership that protects them."""
    files = [path for path in below(anns.user.home / ".local/state/upstash-helper") if path.endswith(("db", "log"))]

    reached = await anns.user.evaluate(TRY_FILES, files)

    assert {(path, what) for path in files if not path.endswith("/log") for what in ("read", "write")} <= {
        (path, what) for path, what in reached
    }


async def test_owner_token_does_not_work_for_another_user(anns: Helper, ben: User) -> None:
    """
    The helper asks the system who opened the connection: with Ann's token, Ben always gets a 403, and Ann a
    response.
    """
    requests = [("GET", "/v1/connection"), ("GET", "/v1/databases"), ("POST", "/v1/databases"), ("GET", "/")]
    given = {"port": anns.port, "token": anns.token, "requests": requests}

    bens = await ben.evaluate(SEND_REQUESTS, given)
    own = await anns.user.evaluate(SEND_REQUESTS, given | {"requests": requests[:2]})
    databases = await anns.user.helper("databases", "list", "--json")

    assert [(403, "wrong_user")] * len(requests) == [
        (status, msgspec.json.decode(text)["code"]) for status, text in bens
    ]
    assert not [text for _, text in bens if anns.email in text or "orders" in text]
    assert [200, 200] == [status for status, _ in own]
    assert ["orders"] == [one["name"] for one in databases.json["databases"]]


async def test_environment_of_the_other_user_gives_no_access(anns: Helper, ben: User) -> None:
    """
    After `su` without `-`, a program has the other user's HOME and XDG_RUNTIME_DIR. The error names the file that
    cannot be opened.
    """
    ann = anns.user
    before = below(ann.home) + below(ann.runtime)
    theirs = {"HOME": str(ann.home), "XDG_RUNTIME_DIR": str(ann.runtime), "UPSTASH_HELPER_PORT": str(anns.port)}

    refused = ("status", "start", "run", "restart", "databases list", "approvals list", "doctor", "open")
    rans = {command: await ben.helper(*command.split(), **theirs) for command in (*refused, "stop", "config show")}

    assert set(refused) <= {command for command, ran in rans.items() if ran.code}
    output = "".join(ran.out + ran.err for ran in rans.values())
    assert "Traceback" not in output
    assert anns.email not in output
    assert before == below(ann.home) + below(ann.runtime)
    assert 0 == (await ann.helper("status")).code


async def test_runtime_folder_in_tmp_is_not_used(ann: User, ben: User) -> None:
    """
    Without a session's runtime folder the helper does not use /tmp, where Ann could have created Ben's folder
    first.
    """
    # The path that platformdirs would use below the temporary folder.
    trap = ben.base / "tmp"
    trap.mkdir(mode=0o777)
    trap.chmod(0o1777)
    made = await ann.evaluate("import os; os.mkdir(given, 0o777); os.chmod(given, 0o777); result = 1",
                          str(trap / f"runtime-{ben.uid}"))  # fmt: skip
    assert 1 == made

    for runtime in ("", str(ann.runtime)):
        own = {"XDG_RUNTIME_DIR": runtime, "TMPDIR": str(trap)}
        started = await ben.helper("start", "--port", str(free_port()), "--credential-store", "memory", **own)
        status = await ben.helper("status", **own)
        stopped = await ben.helper("stop", **own)

        assert [0, 0, 0] == [started.code, status.code, stopped.code], started.err + status.err
    assert [str(trap), str(trap / f"runtime-{ben.uid}")] == below(trap)


async def test_each_user_has_a_separate_keyring(ann: User, ben: User, sandbox: Sandbox) -> None:
    """Each helper's key is in its user's keyring, which Ben's programs and helper cannot reach on Ann's bus."""
    skip_unless_there_is_one()
    email = f"ann-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")
    store = {"credential_store": "keyring", "api_url": sandbox.api_url}

    with helper_of(ann, free_port(), *SESSION, **store) as anns, helper_of(ben, free_port(), *SESSION, **store):
        connected = await ann.helper("connect", "--api-key", "--email", email, typed=f"{key}\n")
        bens = await ben.helper("status", "--json")
        buses = [(user.home / "bus").read_text(encoding="utf-8").strip() for user in (ann, ben)]
        by_hand = [[await user.python("-c", SEARCH, bus) for bus in buses] for user in (ann, ben)]
        await ben.helper("stop")
        with helper_of(ben, free_port(), "env", f"DBUS_SESSION_BUS_ADDRESS={buses[0]}", **store):
            misled = await ben.helper("status", "--json")
        assert anns.process.poll() is None

    assert 0 == connected.code, connected.err
    assert ("disconnected", "ok") == (
        bens.json["connection"]["state"],
        bens.json["connection"]["credential_store"]["state"],
    )
    assert buses[0] != buses[1]
    assert [["1 found", "refused"], ["refused", "0 found"]] == [[ran.out.strip() for ran in rans] for rans in by_hand]
    assert "keyring_unavailable" == misled.json["connection"]["state"]
    assert email not in misled.out
