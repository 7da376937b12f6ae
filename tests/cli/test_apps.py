"""``apps …`` against a real daemon; the apps are what they send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.sample_app import SampleApp
from tests.support.terminal import at_terminal
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire_apps

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

PAGE = "https://app.example.com"
OTHER = "https://other.example"


async def test_nobody_is_let_in_at_first(shell: Shell) -> None:
    """
    An empty list is empty on stdout, and tells where those that wait are.
    """
    ran = await shell("apps", "list")

    assert (0, "") == (ran.code, ran.out)
    assert "upstash-helper approvals list" in ran.err


async def test_list_is_a_table(shell: Shell, running: DaemonProcess) -> None:
    """
    For a person the list has who each app is, its name, its id, and in short what it may use.
    """
    app = SampleApp.approved(running, "connection:read", "databases:read", "databases:write", origin=PAGE)

    header, row = (await shell("apps", "list")).out.splitlines()

    assert ["WHO", "NAME", "ID", "LAST", "USED", "MAY", "USE"] == header.split()
    assert [PAGE, "Orders", app.app_id] == row.split()[:3]
    assert row.endswith("connection:read databases:read,write")


async def test_show_tells_all(shell: Shell, running: DaemonProcess) -> None:
    """
    One app is shown with what it may do in plain words, and until when.
    """
    asked = SampleApp.requesting(running, "databases:credentials", origin=PAGE)
    running.client.approve(asked.id, all_databases=True)
    asked.fetch()

    ran = await shell("apps", "show", "Orders")

    assert PAGE in ran.out
    assert "Read the passwords" in ran.out
    assert "Also those of all your other databases" in ran.out
    assert "90 days" in ran.out
    assert "Misused" not in ran.out


async def test_misuse_is_shown(shell: Shell, running: DaemonProcess) -> None:
    """
    When a token came from where it does not belong, the user sees how often.
    """
    app = SampleApp.approved(running, origin=PAGE)
    SampleApp(running, OTHER).send("GET", "/v1/connection", token=app.pairing["token"])

    assert "1 times its token came from where it does not belong" in (await shell("apps", "show", "Orders")).out


async def test_json_is_the_apis_own(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json each command prints the API's answer, on one line.
    """
    SampleApp.approved(running, origin=PAGE)

    listed, shown = await shell("apps", "list", "--json"), await shell("apps", "show", "Orders", "--json")

    [app] = running.client.apps()
    assert (app,) == msgspec.json.decode(listed.out, type=wire_apps.AppList).apps
    assert app == msgspec.json.decode(shown.out, type=wire_apps.App)
    assert (1, 1) == (listed.out.count("\n"), shown.out.count("\n"))


@pytest.mark.parametrize("how", ["id", "prefix", "name"])
async def test_an_app_has_several_names(shell: Shell, running: DaemonProcess, how: str) -> None:
    """
    The id, its beginning, and the name all name an app.
    """
    app = SampleApp.approved(running, origin=PAGE, name="My orders")
    SampleApp.approved(running, origin=OTHER, name="Other")
    names = {"id": app.app_id, "prefix": app.app_id[:6], "name": "My orders"}

    ran = await shell("apps", "show", names[how], "--json")

    assert (0, app.app_id) == (ran.code, ran.json["id"])


async def test_rename_gives_the_users_own_name(shell: Shell, running: DaemonProcess) -> None:
    """
    An app is called as the user likes, and stays who it is.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await shell("apps", "rename", "Orders", "Shop", "--json")

    assert ("Shop", PAGE) == (ran.json["name"], ran.json["identity"]["name"])
    assert ["Shop"] == [one.name for one in running.client.apps()]


@pytest.mark.parametrize("name", ["", "\u202e", "x" * 300])
async def test_bad_names_are_refused(shell: Shell, running: DaemonProcess, name: str) -> None:
    """
    A name that cannot be shown is wrong usage.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await shell("apps", "rename", "Orders", name)

    assert exit_codes.USAGE == ran.code
    assert "/name" in ran.err


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("\n", 1, 1)])
async def test_revoke_asks(running: DaemonProcess, typed: str, code: int, left: int) -> None:
    """
    At a terminal the user is asked, with the name and who it is.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await at_terminal("apps", "revoke", "Orders", environment=running.environment, typed=(typed,))

    assert code == ran.code, ran.err
    assert f'Revoke "Orders" ({PAGE})?' in ran.err
    assert left == len(running.client.apps())


async def test_a_revoked_app_is_out(shell: Shell, running: DaemonProcess) -> None:
    """
    After a revoke the app's token is not known any more.
    """
    app = SampleApp.approved(running)
    before = app.call("GET", "/v1/connection")

    ran = await shell("apps", "revoke", app.app_id, "--yes", "--json")

    assert {"revoked": True, "id": app.app_id, "name": "Orders"} == ran.json
    assert (200, 401) == (before.status, app.call("GET", "/v1/connection").status)


async def test_revoking_without_a_terminal_needs_yes(shell: Shell, running: DaemonProcess) -> None:
    """
    A script must say --yes; without it nothing happens.
    """
    SampleApp.approved(running)

    ran = await shell("apps", "revoke", "Orders", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "--yes" in ran.err
    assert 1 == len(running.client.apps())


async def test_a_name_that_two_have_is_answered_by_their_ids(shell: Shell, running: DaemonProcess) -> None:
    """
    Where two apps have the same name, nothing is done, and their ids are told with who they are.
    """
    apps = [SampleApp.approved(running, origin=origin) for origin in (PAGE, OTHER)]

    ran = await shell("apps", "revoke", "Orders", "--yes")

    assert exit_codes.USAGE == ran.code
    assert all(f"{app.app_id}  {app.origin}" in ran.err for app in apps)
    assert 2 == len(running.client.apps())


async def test_a_name_like_the_beginning_of_anothers_id_is_ambiguous(shell: Shell, running: DaemonProcess) -> None:
    """
    An app that calls itself like another's id cannot be taken for it.
    """
    app = SampleApp.approved(running, origin=PAGE)
    SampleApp.approved(running, origin=OTHER, name=app.app_id[:8])

    ran = await shell("apps", "revoke", app.app_id[:8], "--yes")

    assert exit_codes.USAGE == ran.code
    assert 2 == len(running.client.apps())


async def test_unknown_name_is_answered_by_a_near_one(shell: Shell, running: DaemonProcess) -> None:
    """
    A misspelt name exits with 5 and suggests the one that was probably meant; else it tells where the apps are.
    """
    SampleApp.approved(running)

    near, far = await shell("apps", "show", "Ordres"), await shell("apps", "show", "xyz")

    assert [exit_codes.NOT_FOUND] * 2 == [near.code, far.code]
    assert "Did you mean 'Orders'?" in near.err
    assert "upstash-helper apps list" in far.err
