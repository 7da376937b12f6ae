"""``databases …`` against a real daemon and a real sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis.asyncio

from tests.support.terminal import at_terminal
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("connected")


def make(daemon: DaemonProcess, name: str = "orders") -> wire.Database:
    """Create a database."""
    new = wire.CreateDatabase(name=name, primary_region="eu-west-1")
    return daemon.client.create_database(new, idempotency_key=f"key-of-{name}-{len(list(daemon.client.databases()))}")


async def test_empty_list_shows_how_to_create_a_database(shell: Shell) -> None:
    """
    For an empty list, stdout is empty and stderr has a hint.
    """
    ran = await shell("databases", "list")

    assert (0, "") == (ran.code, ran.out)
    assert "upstash-helper databases create" in ran.err


async def test_list_is_a_table(shell: Shell, running: DaemonProcess) -> None:
    """
    For people the list is a table with a header, sorted by name.
    """
    second, first = make(running, "zebra"), make(running, "aardvark")

    ran = await shell("databases", "list")

    header, *rows = ran.out.splitlines()
    assert ["NAME", "ID", "REGION", "PLAN", "STATE", "HOST"] == header.split()
    assert [[one.name, one.id, "eu-west-1"] for one in (first, second)] == [row.split()[:3] for row in rows]


async def test_json_is_the_apis_answer(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json each command prints the API's answer, on one line.
    """
    made = make(running)

    listed = await shell("databases", "list", "--json")
    got = await shell("databases", "get", "orders", "--json")
    credentials = await shell("databases", "credentials", "orders", "--json")
    regions = await shell("databases", "regions", "--json")

    assert (made,) == msgspec.json.decode(listed.out, type=wire.DatabaseList).databases
    assert made == msgspec.json.decode(got.out, type=wire.Database)
    assert made.id == msgspec.json.decode(credentials.out, type=wire.DatabaseCredentials).id
    assert running.client.regions() == msgspec.json.decode(regions.out, type=wire.RegionList).regions
    assert all(1 == ran.out.count("\n") for ran in (listed, got, credentials, regions))


async def test_create_passes_all_options(shell: Shell) -> None:
    """
    Regions, plan, budget, eviction, and TLS are as given.
    """
    ran = await shell(
        "databases", "create", "orders", "--region", "us-east-1", "--read-region", "us-west-1",
        "--read-region", "eu-west-1", "--platform", "aws", "--plan", "payg", "--budget", "20", "--eviction", "--tls",
        "--json",
    )  # fmt: skip

    assert 0 == ran.code, ran.err
    made = msgspec.json.decode(ran.out, type=wire.Database)
    assert ("orders", "us-east-1", {"us-west-1", "eu-west-1"}) == (
        made.name,
        made.primary_region,
        set(made.read_regions),
    )
    assert ("payg", 20, True, True) == (made.plan, made.budget, made.eviction, made.tls)


async def test_create_shows_the_next_step(shell: Shell) -> None:
    """
    For people the new database is shown, with the command that prints its variables.
    """
    ran = await shell("databases", "create", "orders", "--region", "us-east-1")

    assert 0 == ran.code, ran.err
    assert "orders" in ran.out
    assert "upstash-helper databases env orders" in ran.err


async def test_same_idempotency_key_creates_one_database(shell: Shell, running: DaemonProcess) -> None:
    """
    Repeating a create with its idempotency key returns the same database.
    """
    command = ("databases", "create", "orders", "--region", "us-east-1", "--idempotency-key", "k1", "--json")

    first, second = await shell(*command), await shell(*command)

    assert first.json == second.json
    assert 1 == len(list(running.client.databases(refresh=True)))


async def test_creates_without_a_key_are_separate(shell: Shell, running: DaemonProcess) -> None:
    """
    Two creates without a key are two databases.
    """
    for name in ("first", "second"):
        assert 0 == (await shell("databases", "create", name, "--region", "us-east-1")).code

    assert ["first", "second"] == [one.name for one in running.client.databases(refresh=True)]


async def test_unknown_outcome_shows_the_idempotency_key(shell: Shell, sandbox: Sandbox) -> None:
    """
    If the answer to a create is lost, the user sees how to retry without creating a second database.
    """
    await sandbox.fault(method="POST", path="/v2/redis/database", when="after", reset=True)
    await sandbox.fault(path="/v2/redis/databases", status=503, times=None)  # so that the daemon cannot check either
    try:
        ran = await shell("databases", "create", "orders", "--region", "us-east-1")
    finally:
        await sandbox.clear_faults()

    assert exit_codes.UPSTASH == ran.code
    assert "--idempotency-key " in ran.err


async def test_invalid_value_is_named_by_its_pointer(shell: Shell) -> None:
    """
    A value that the API rejects is a usage error that names its field.
    """
    ran = await shell("databases", "create", "a\tb", "--region", "US EAST")

    assert exit_codes.USAGE == ran.code
    assert "/name" in ran.err
    assert "Traceback" not in ran.err


async def test_database_is_found_by_name_or_id(shell: Shell, running: DaemonProcess) -> None:
    """
    A database is found by its name and by its id.
    """
    made = make(running)

    by_name = await shell("databases", "get", "orders", "--json")
    by_id = await shell("databases", "get", made.id, "--json")

    assert by_name.json == by_id.json


async def test_unknown_name_suggests_a_similar_one(shell: Shell, running: DaemonProcess) -> None:
    """
    A misspelled name exits with 5 and suggests the closest one.
    """
    make(running)

    ran = await shell("databases", "get", "odrers")

    assert exit_codes.NOT_FOUND == ran.code
    assert "Did you mean 'orders'?" in ran.err


async def test_ambiguous_name_lists_the_ids(shell: Shell, running: DaemonProcess) -> None:
    """
    If two databases have the same name, nothing is done and their ids are listed.
    """
    first, second = make(running, "first"), make(running, "second")
    assert 0 == (await shell("databases", "rename", "second", "first")).code

    ran = await shell("databases", "delete", "first", "--yes")

    assert exit_codes.USAGE == ran.code
    assert first.id in ran.err
    assert second.id in ran.err
    assert 2 == len(list(running.client.databases(refresh=True)))


async def test_unknown_name_is_looked_up_upstream(shell: Shell, running: DaemonProcess) -> None:
    """
    A name that the daemon does not know yet is looked up upstream.
    """
    assert 0 == (await shell("databases", "list")).code
    make(running, "fresh")

    assert 0 == (await shell("databases", "get", "fresh")).code


async def test_update_changes_only_the_given_options(shell: Shell, running: DaemonProcess) -> None:
    """
    Given options change, the others do not.
    """
    before = make(running)

    ran = await shell("databases", "update", "orders", "--eviction", "--read-region", "us-east-1", "--json")
    again = await shell("databases", "update", "orders", "--no-eviction", "--no-read-regions", "--json")

    assert 0 == ran.code, ran.err
    assert (True, ["us-east-1"]) == (ran.json["eviction"], ran.json["read_regions"])
    assert before == msgspec.json.decode(again.out, type=wire.Database)


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ((), 'REDIS_URL="{}"'),
        (("--export",), "export REDIS_URL={}"),
        (("--format", "shell"), "export REDIS_URL={}"),
        (("--format", "powershell"), "$env:REDIS_URL = '{}'"),
    ],
)
async def test_env_prints_every_format(shell: Shell, running: DaemonProcess, form: tuple[str, ...], line: str) -> None:
    """
    Every format contains the database's variables.
    """
    url = running.client.credentials(make(running).id).redis_url

    ran = await shell("databases", "env", "orders", *form)

    assert line.format(url) in ran.out.splitlines()


async def test_env_as_json(shell: Shell, running: DaemonProcess) -> None:
    """
    Both --json and --format json print the API's object.
    """
    env = running.client.credentials(make(running).id).env

    assert env == (await shell("databases", "env", "orders", "--json")).json
    assert env == (await shell("databases", "env", "orders", "--format", "json")).json


async def test_reset_password_invalidates_the_old_one(shell: Shell, running: DaemonProcess) -> None:
    """
    After a reset only the new password works.
    """
    made = make(running)
    old = running.client.credentials(made.id)

    ran = await shell("databases", "reset-password", "orders", "--yes")

    assert 0 == ran.code, ran.err
    new = running.client.credentials(made.id)
    assert old.password not in ran.out + ran.err
    assert new.password not in ran.out + ran.err
    async with redis.asyncio.from_url(new.redis_url) as client:
        assert await client.ping()
    async with redis.asyncio.from_url(old.redis_url) as client:
        with pytest.raises(redis.AuthenticationError):
            await client.ping()


@pytest.mark.parametrize("command", ["delete", "reset-password"])
async def test_destructive_command_without_a_terminal_needs_yes(
    shell: Shell, running: DaemonProcess, command: str
) -> None:
    """
    A script has to pass --yes; otherwise nothing happens, and it is a usage error.
    """
    before = running.client.credentials(make(running).id)

    ran = await shell("databases", command, "orders", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "--yes" in ran.err
    assert before.password == running.client.credentials(before.id).password


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("\n", 1, 1), ("\x04", 130, 1)])
async def test_delete_asks_for_confirmation(running: DaemonProcess, typed: str, code: int, left: int) -> None:
    """
    On a terminal the user is asked, with the name and the id; anything but yes declines.
    """
    made = make(running)

    ran = await at_terminal("databases", "delete", "orders", environment=running.environment, typed=(typed,))

    assert code == ran.code, ran.err
    assert f"Permanently delete orders ({made.id}" in ran.err
    assert left == len(list(running.client.databases(refresh=True)))


async def test_delete_as_json(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json the result names the deleted database.
    """
    made = make(running)

    ran = await shell("databases", "delete", made.id, "--yes", "--json")

    assert {"deleted": True, "id": made.id, "name": "orders"} == ran.json


async def test_unreachable_upstash_has_its_exit_code(shell: Shell, sandbox: Sandbox) -> None:
    """
    If Upstash fails, the exit code is 6.
    """
    await sandbox.fault(path="/v2/redis/databases", status=503, times=None)
    try:
        ran = await shell("databases", "list", "--json")
    finally:
        await sandbox.clear_faults()

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.UPSTASH, "upstream_unavailable") == (ran.code, problem["code"])


async def test_progress_is_shown_after_a_second(shell: Shell, sandbox: Sandbox) -> None:
    """
    Work that takes longer than a second is announced on stderr, unless a program reads it.
    """
    await sandbox.fault(path="/v2/redis/databases", latency=1.5, times=None)
    try:
        slow = await shell("databases", "list", "--refresh")
        for_a_program = await shell("databases", "list", "--refresh", "--json")
    finally:
        await sandbox.clear_faults()
    quick = await shell("databases", "list")

    assert "Asking Upstash …" in slow.err.splitlines()
    assert "Asking Upstash" not in quick.err
    assert not for_a_program.err


async def test_regions_are_a_table(shell: Shell) -> None:
    """
    Regions are listed with their locations.
    """
    ran = await shell("databases", "regions")

    assert any(line.startswith("us-east-1 ") and "N. Virginia, USA" in line for line in ran.out.splitlines())


async def test_concurrent_commands_work(shell: Shell, running: DaemonProcess) -> None:
    """
    Several terminals can work at the same time.
    """
    make(running)

    ran = await asyncio.gather(*(shell("databases", "get", "orders", "--json") for _ in range(4)))

    assert [0] * 4 == [one.code for one in ran]
