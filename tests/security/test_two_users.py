"""
Two users of one machine do not meet: neither has anything of the other's, and each can have a helper.

Both are accounts of this system, and their helpers, their commands and their attempts are programs that run as them.
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

# Says of each path what could be done with it. Nothing is changed: a file is opened without being emptied.
REACH = """
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

ASK = """
import http.client
result = []
for method, path in given["asked"]:
    one = http.client.HTTPConnection("127.0.0.1", given["port"], timeout=30)
    headers = {"Authorization": "Bearer " + given["token"], "Idempotency-Key": "k", "Content-Type": "application/json"}
    body = '{"name":"db","primary_region":"us-east-1"}' if method == "POST" else None
    one.request(method, path, body=body, headers=headers)
    answer = one.getresponse()
    text = answer.read().decode()
    result.append([answer.status, text])
    one.close()
"""

# A session with a bus and an unlocked keyring, in which a program then runs.
_SESSION = """
printf password | gnome-keyring-daemon --unlock --components=secrets >"$HOME/keyring.out" 2>&1
printf %s "$DBUS_SESSION_BUS_ADDRESS" >"$HOME/bus"
exec "$@"
"""
SESSION = ("dbus-run-session", "--", "sh", "-c", _SESSION, "sh")

# Says what of the helper's can be found in the keyring on a bus.
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
    """A helper that runs, and what it knows."""

    user: User
    port: int
    process: subprocess.Popen[str]
    email: str = ""
    api_key: str = ""

    @property
    def announced(self) -> dict[str, Any]:
        """What it tells its own user's programs."""
        file = self.user.runtime / "upstash-helper" / "daemon.json"
        found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
        return found

    @property
    def token(self) -> str:
        """Its owner's token."""
        return str(self.announced["owner_token"])


@contextmanager
def helper_of(user: User, port: int, *around: str, **settings: str) -> Iterator[Helper]:
    """Run a user's helper, started as a program of the user's own; ``around`` starts it in a session."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**settings, "port": str(port)}.items()]
    command = [*around, sys.executable, "-P", "-m", "upstash_helper", "run", "--stop-with-parent", *flags]
    with user.start(*command) as process:
        try:
            lock = user.runtime / "upstash-helper" / "daemon.json"
            until(lambda: process.poll() is not None or lock.exists())
            assert process.poll() is None, process.communicate()[0]
            yield Helper(user, port, process)
        finally:
            # Its standard input ends, which ends it, in whatever session it is.
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[User, User]]:
    """Ann and Ben."""
    with two_users() as both:
        yield both


@pytest.fixture
def ann(users: tuple[User, User]) -> User:
    """Who was first."""
    return users[0]


@pytest.fixture
def ben(users: tuple[User, User]) -> User:
    """Who came second."""
    return users[1]


@pytest.fixture
async def anns(ann: User, far_side: Sandbox) -> AsyncIterator[Helper]:
    """Ann's helper, connected to an account with a database, its key in a file and not in a keyring."""
    email = f"ann-{secrets.token_hex(4)}@example.com"
    await far_side.account(email, PASSWORD)
    key = await far_side.api_key(email, "made-in-the-console")
    world = {"auth_url": far_side.auth_url, "api_url": far_side.api_url, "rest_url": far_side.rest_url}
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


async def test_the_second_user_is_told_whose_the_port_is(anns: Helper, ben: User) -> None:
    """
    `start` and `run` on a port that is another user's fail with that user's name and a way out; `status` sees nothing.
    """
    port = str(anns.port)

    rans = [await ben.helper(command, "--port", port) for command in ("start", "run", "restart")]
    status = await ben.helper("status", UPSTASH_HELPER_PORT=port)

    for ran in rans:
        assert exit_codes.PORT_BUSY == ran.code
        assert f"Port {port} of 127.0.0.1 is in use by another user's program (user {anns.user.name})" in ran.err
        assert "--port" in ran.err
        assert anns.email not in ran.err
    assert (exit_codes.NOT_RUNNING, "") == (status.code, status.out)


async def test_both_have_a_helper_with_a_port_for_each(anns: Helper, ben: User) -> None:
    """
    On another port the second user's helper runs beside the first; each user's commands reach one's own alone.
    """
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


async def test_nothing_is_sent_to_whoever_took_the_port(ann: User, ben: User) -> None:
    """
    After a crash the old announcement names a port that another user's server has by now: no command tells it a word.
    """
    port = free_port()
    with helper_of(ben, port, credential_store="memory") as crashed:
        token = crashed.token
        crashed.process.kill()
        crashed.process.wait(30)
    assert token == crashed.token
    commands = ("status", "stop", "start", "restart", "open", "databases list", "connect", "disconnect --yes", "events",
                "approvals list", "tray", "doctor")  # fmt: skip

    with ann.listening(port) as heard:
        rans = [await ben.helper(*command.split(), UPSTASH_HELPER_PORT=str(port)) for command in commands]

    assert "Traceback" not in "".join(ran.err for ran in rans)
    # Looking whether something listens there is all that `doctor` does.
    assert [] == [said for said in heard if said]


async def test_no_file_of_the_other_users_can_be_opened(anns: Helper, ben: User) -> None:
    """
    Discovery, locks, ledger, log, credential: none can be read, written, listed or planted, though the home is open.
    """
    ann = anns.user
    control = ann.home / "for everybody"
    control.write_text("hello", encoding="utf-8")
    control.chmod(0o644)
    files = [str(control), *below(ann.home / ".local/state/upstash-helper"), *below(ann.runtime)]
    names = {path.rpartition("/")[2] for path in files}
    assert {"daemon.json", "daemon.lock", "ledger.db", "upstash-helper.log"} < names
    assert [name for name in names if name.startswith("credential")]

    reached = await ben.evaluate(REACH, files)

    assert [[str(control), "read"]] == reached


async def test_the_users_own_programs_can_open_them(anns: Helper) -> None:
    """
    What keeps the other out is whose they are: the same attempts by their owner succeed.
    """
    files = [path for path in below(anns.user.home / ".local/state/upstash-helper") if path.endswith(("db", "log"))]

    reached = await anns.user.evaluate(REACH, files)

    assert {(path, what) for path in files if not path.endswith("/log") for what in ("read", "write")} <= {
        (path, what) for path, what in reached
    }


async def test_the_owners_token_in_the_wrong_hands_is_worth_nothing(anns: Helper, ben: User) -> None:
    """
    The helper asks the system whose the connection is: with Ann's own token Ben gets 403 to everything, Ann an answer.
    """
    asked = [("GET", "/v1/connection"), ("GET", "/v1/databases"), ("POST", "/v1/databases"), ("GET", "/")]
    given = {"port": anns.port, "token": anns.token, "asked": asked}

    bens = await ben.evaluate(ASK, given)
    own = await anns.user.evaluate(ASK, given | {"asked": asked[:2]})
    databases = await anns.user.helper("databases", "list", "--json")

    assert [(403, "wrong_user")] * len(asked) == [(status, msgspec.json.decode(text)["code"]) for status, text in bens]
    assert not [text for _, text in bens if anns.email in text or "orders" in text]
    assert [200, 200] == [status for status, _ in own]
    assert ["orders"] == [one["name"] for one in databases.json["databases"]]


async def test_with_the_others_environment_nothing_is_reached(anns: Helper, ben: User) -> None:
    """
    After `su` without `-` a program has the other user's HOME and XDG_RUNTIME_DIR: an error says what cannot be opened.
    """
    ann = anns.user
    before = below(ann.home) + below(ann.runtime)
    theirs = {"HOME": str(ann.home), "XDG_RUNTIME_DIR": str(ann.runtime), "UPSTASH_HELPER_PORT": str(anns.port)}

    refused = ("status", "start", "run", "restart", "databases list", "approvals list", "doctor", "open")
    rans = {command: await ben.helper(*command.split(), **theirs) for command in (*refused, "stop", "config show")}

    assert set(refused) <= {command for command, ran in rans.items() if ran.code}
    said = "".join(ran.out + ran.err for ran in rans.values())
    assert "Traceback" not in said
    assert anns.email not in said
    assert before == below(ann.home) + below(ann.runtime)
    assert 0 == (await ann.helper("status")).code


async def test_a_runtime_folder_that_another_was_first_to_make_is_not_used(ann: User, ben: User) -> None:
    """
    Without a session's runtime folder the helper does not go to /tmp, where Ann could have made Ben's before him.
    """
    # Where platformdirs would look below the temporary folder.
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


async def test_each_has_a_keyring_of_ones_own(ann: User, ben: User, far_side: Sandbox) -> None:
    """
    Each helper's key is in its user's keyring; the other's bus lets Ben in neither by hand nor by his helper.
    """
    skip_unless_there_is_one()
    email = f"ann-{secrets.token_hex(4)}@example.com"
    await far_side.account(email, PASSWORD)
    key = await far_side.api_key(email, "made-in-the-console")
    store = {"credential_store": "keyring", "api_url": far_side.api_url}

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
