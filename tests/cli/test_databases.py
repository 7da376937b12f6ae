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
    """Make a database."""
    new = wire.CreateDatabase(name=name, primary_region="eu-west-1")
    return daemon.client.create_database(new, idempotency_key=f"key-of-{name}-{len(list(daemon.client.databases()))}")


async def test_an_account_without_databases_says_how_to_make_one(shell: Shell) -> None:
    """
    An empty list is empty on stdout, and a hint is on stderr.
    """
    ran = await shell("databases", "list")

    assert (0, "") == (ran.code, ran.out)
    assert "upstash-helper databases create" in ran.err


async def test_list_is_a_table(shell: Shell, running: DaemonProcess) -> None:
    """
    For a person the list is a table with a header, by name.
    """
    second, first = make(running, "zebra"), make(running, "aardvark")

    ran = await shell("databases", "list")

    header, *rows = ran.out.splitlines()
    assert ["NAME", "ID", "REGION", "PLAN", "STATE", "HOST"] == header.split()
    assert [[one.name, one.id, "eu-west-1"] for one in (first, second)] == [row.split()[:3] for row in rows]


async def test_json_is_the_apis_own(shell: Shell, running: DaemonProcess) -> None:
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


async def test_create_takes_all_that_can_be_chosen(shell: Shell) -> None:
    """
    Regions, plan, budget and eviction are as they were asked for.
    """
    ran = await shell(
        "databases", "create", "orders", "--region", "us-east-1", "--read-region", "us-west-1",
        "--read-region", "eu-west-1", "--platform", "aws", "--plan", "payg", "--budget", "20", "--eviction", "--json",
    )  # fmt: skip

    assert 0 == ran.code, ran.err
    made = msgspec.json.decode(ran.out, type=wire.Database)
    assert ("orders", "us-east-1", {"us-west-1", "eu-west-1"}) == (
        made.name,
        made.primary_region,
        set(made.read_regions),
    )
    assert ("payg", 20, True) == (made.plan, made.budget, made.eviction)


async def test_create_shows_what_to_do_next(shell: Shell) -> None:
    """
    For a person the new database is shown, with the command that gives its variables.
    """
    ran = await shell("databases", "create", "orders", "--region", "us-east-1")

    assert 0 == ran.code, ran.err
    assert "orders" in ran.out
    assert "upstash-helper databases env orders" in ran.err


async def test_same_key_makes_one_database(shell: Shell, running: DaemonProcess) -> None:
    """
    Repeating a creation with its idempotency key answers the database that was made.
    """
    command = ("databases", "create", "orders", "--region", "us-east-1", "--idempotency-key", "k1", "--json")

    first, second = await shell(*command), await shell(*command)

    assert first.json == second.json
    assert 1 == len(list(running.client.databases(refresh=True)))


async def test_without_a_key_each_creation_is_another(shell: Shell, running: DaemonProcess) -> None:
    """
    Two creations are two databases, unless they are one by their key.
    """
    for name in ("first", "second"):
        assert 0 == (await shell("databases", "create", name, "--region", "us-east-1")).code

    assert ["first", "second"] == [one.name for one in running.client.databases(refresh=True)]


async def test_unknown_outcome_is_told_with_the_key(shell: Shell, far_side: Sandbox) -> None:
    """
    When the answer of a creation is lost, the user is told how to repeat it without making a second database.
    """
    await far_side.fault(method="POST", path="/v2/redis/database", when="after", reset=True)
    await far_side.fault(path="/v2/redis/databases", status=503, times=None)  # and nobody can look whether it is there
    try:
        ran = await shell("databases", "create", "orders", "--region", "us-east-1")
    finally:
        await far_side.clear_faults()

    assert exit_codes.UPSTASH == ran.code
    assert "--idempotency-key " in ran.err


async def test_bad_names_are_refused_by_pointer(shell: Shell) -> None:
    """
    A value that the API does not take is named with its place, and the exit code is that of wrong usage.
    """
    ran = await shell("databases", "create", "a\tb", "--region", "US EAST")

    assert exit_codes.USAGE == ran.code
    assert "/name" in ran.err
    assert "Traceback" not in ran.err


async def test_a_database_has_two_names(shell: Shell, running: DaemonProcess) -> None:
    """
    A database is found by its name and by its id.
    """
    made = make(running)

    by_name = await shell("databases", "get", "orders", "--json")
    by_id = await shell("databases", "get", made.id, "--json")

    assert by_name.json == by_id.json


async def test_unknown_name_is_answered_by_a_near_one(shell: Shell, running: DaemonProcess) -> None:
    """
    A misspelt name exits with 5 and suggests the one that was probably meant.
    """
    make(running)

    ran = await shell("databases", "get", "odrers")

    assert exit_codes.NOT_FOUND == ran.code
    assert "Did you mean 'orders'?" in ran.err


async def test_a_name_that_two_have_is_answered_by_their_ids(shell: Shell, running: DaemonProcess) -> None:
    """
    Where two databases have the same name, nothing is done and their ids are told.
    """
    first, second = make(running, "first"), make(running, "second")
    assert 0 == (await shell("databases", "rename", "second", "first")).code

    ran = await shell("databases", "delete", "first", "--yes")

    assert exit_codes.USAGE == ran.code
    assert first.id in ran.err
    assert second.id in ran.err
    assert 2 == len(list(running.client.databases(refresh=True)))


async def test_a_database_made_elsewhere_is_found(shell: Shell, running: DaemonProcess) -> None:
    """
    A name that the daemon does not know yet is asked for upstream before it is said to be unknown.
    """
    assert 0 == (await shell("databases", "list")).code
    make(running, "fresh")

    assert 0 == (await shell("databases", "get", "fresh")).code


async def test_update_changes_what_is_named(shell: Shell, running: DaemonProcess) -> None:
    """
    What is named changes, and the rest stays.
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
async def test_env_prints_what_clients_read(
    shell: Shell, running: DaemonProcess, form: tuple[str, ...], line: str
) -> None:
    """
    Every format has the database's variables.
    """
    url = running.client.credentials(make(running).id).redis_url

    ran = await shell("databases", "env", "orders", *form)

    assert line.format(url) in ran.out.splitlines()


async def test_env_as_json_is_the_map(shell: Shell, running: DaemonProcess) -> None:
    """
    Both ways to ask for JSON give the API's map.
    """
    env = running.client.credentials(make(running).id).env

    assert env == (await shell("databases", "env", "orders", "--json")).json
    assert env == (await shell("databases", "env", "orders", "--format", "json")).json


async def test_reset_password_shuts_the_old_one_out(shell: Shell, running: DaemonProcess) -> None:
    """
    After a reset the old password opens nothing and the new one everything.
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
async def test_destroying_without_a_terminal_needs_yes(shell: Shell, running: DaemonProcess, command: str) -> None:
    """
    A script must say --yes; without it nothing happens, and the exit code is that of wrong usage.
    """
    before = running.client.credentials(make(running).id)

    ran = await shell("databases", command, "orders", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "--yes" in ran.err
    assert before.password == running.client.credentials(before.id).password


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("\n", 1, 1), ("\x04", 130, 1)])
async def test_destroying_asks(running: DaemonProcess, typed: str, code: int, left: int) -> None:
    """
    At a terminal the user is asked, with the name and the id; anything but yes means no.
    """
    made = make(running)

    ran = await at_terminal("databases", "delete", "orders", environment=running.environment, typed=(typed,))

    assert code == ran.code, ran.err
    assert f"Delete orders ({made.id}" in ran.err
    assert left == len(list(running.client.databases(refresh=True)))


async def test_delete_says_what_is_gone(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json the answer names what was deleted.
    """
    made = make(running)

    ran = await shell("databases", "delete", made.id, "--yes", "--json")

    assert {"deleted": True, "id": made.id, "name": "orders"} == ran.json


async def test_upstash_out_of_reach_has_its_exit_code(shell: Shell, far_side: Sandbox) -> None:
    """
    When it is Upstash that fails, the exit code says so.
    """
    await far_side.fault(path="/v2/redis/databases", status=503, times=None)
    try:
        ran = await shell("databases", "list", "--json")
    finally:
        await far_side.clear_faults()

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.UPSTASH, "upstream_unavailable") == (ran.code, problem["code"])


async def test_slow_work_is_told(shell: Shell, far_side: Sandbox) -> None:
    """
    What takes longer than a second says so, on stderr; but not to a program, which reads errors there.
    """
    await far_side.fault(path="/v2/redis/databases", latency=1.5, times=None)
    try:
        slow = await shell("databases", "list", "--refresh")
        for_a_program = await shell("databases", "list", "--refresh", "--json")
    finally:
        await far_side.clear_faults()
    quick = await shell("databases", "list")

    assert "Asking Upstash …" in slow.err.splitlines()
    assert "Asking Upstash" not in quick.err
    assert not for_a_program.err


async def test_regions_are_a_table(shell: Shell) -> None:
    """
    The regions are listed with the place that they stand for.
    """
    ran = await shell("databases", "regions")

    assert any(line.startswith("us-east-1 ") and "N. Virginia, USA" in line for line in ran.out.splitlines())


async def test_commands_at_once_do_not_disturb_each_other(shell: Shell, running: DaemonProcess) -> None:
    """
    Several terminals may work at the same time.
    """
    make(running)

    ran = await asyncio.gather(*(shell("databases", "get", "orders", "--json") for _ in range(4)))

    assert [0] * 4 == [one.code for one in ran]
