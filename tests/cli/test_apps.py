"""``apps …`` against a real daemon, with real apps."""

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


async def test_empty_list_points_to_approvals(shell: Shell) -> None:
    """
    For an empty list, stdout is empty and stderr shows how to list pending requests.
    """
    ran = await shell("apps", "list")

    assert (0, "") == (ran.code, ran.out)
    assert "upstash-helper approvals list" in ran.err


async def test_list_is_a_table(shell: Shell, running: DaemonProcess) -> None:
    """
    For people the list shows each app's identity, name, id, and scopes in short.
    """
    app = SampleApp.approved(running, "connection:read", "databases:read", "databases:write", origin=PAGE)

    header, row = (await shell("apps", "list")).out.splitlines()

    assert ["WHO", "NAME", "ID", "LAST", "USED", "SCOPES"] == header.split()
    assert [PAGE, "Orders", app.app_id] == row.split()[:3]
    assert row.endswith("connection:read databases:read,write")


async def test_show_lists_permissions_and_expiry(shell: Shell, running: DaemonProcess) -> None:
    """
    An app is shown with its permissions in plain words and its expiry.
    """
    asked = SampleApp.requesting(running, "databases:credentials", origin=PAGE)
    running.client.approve(asked.id, all_databases=True)
    asked.fetch()

    ran = await shell("apps", "show", "Orders")

    assert PAGE in ran.out
    assert "Read the passwords" in ran.out
    assert "all your databases, not only of those that the app created" in ran.out
    assert "90 days" in ran.out
    assert "Misuse" not in ran.out


async def test_misuse_is_shown(shell: Shell, running: DaemonProcess) -> None:
    """
    If a token was used by another page or program, the user sees how often.
    """
    app = SampleApp.approved(running, origin=PAGE)
    SampleApp(running, OTHER).send("GET", "/v1/connection", token=app.pairing["token"])

    assert "token used once by another page or program" in (await shell("apps", "show", "Orders")).out


async def test_json_is_the_apis_answer(shell: Shell, running: DaemonProcess) -> None:
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
async def test_app_is_found_by_id_prefix_or_name(shell: Shell, running: DaemonProcess, how: str) -> None:
    """
    The id, its beginning, and the name all work.
    """
    app = SampleApp.approved(running, origin=PAGE, name="My orders")
    SampleApp.approved(running, origin=OTHER, name="Other")
    names = {"id": app.app_id, "prefix": app.app_id[:6], "name": "My orders"}

    ran = await shell("apps", "show", names[how], "--json")

    assert (0, app.app_id) == (ran.code, ran.json["id"])


async def test_rename_changes_only_the_name(shell: Shell, running: DaemonProcess) -> None:
    """
    The name changes, the identity does not.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await shell("apps", "rename", "Orders", "Shop", "--json")

    assert ("Shop", PAGE) == (ran.json["name"], ran.json["identity"]["name"])
    assert ["Shop"] == [one.name for one in running.client.apps()]


@pytest.mark.parametrize("name", ["", "\u202e", "x" * 300])
async def test_invalid_name_is_rejected(shell: Shell, running: DaemonProcess, name: str) -> None:
    """
    A name that cannot be displayed is a usage error.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await shell("apps", "rename", "Orders", name)

    assert exit_codes.USAGE == ran.code
    assert "name" in ran.err


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("\n", 1, 1)])
async def test_revoke_asks_for_confirmation(running: DaemonProcess, typed: str, code: int, left: int) -> None:
    """
    On a terminal the user is asked, with the app's name and identity.
    """
    SampleApp.approved(running, origin=PAGE)

    ran = await at_terminal("apps", "revoke", "Orders", environment=running.environment, typed=(typed,))

    assert code == ran.code, ran.err
    assert f'Revoke the access of "Orders" ({PAGE})?' in ran.err
    assert left == len(running.client.apps())


async def test_revoked_token_stops_working(shell: Shell, running: DaemonProcess) -> None:
    """
    After a revocation the app's token is not accepted.
    """
    app = SampleApp.approved(running)
    before = app.call("GET", "/v1/connection")

    ran = await shell("apps", "revoke", app.app_id, "--yes", "--json")

    assert {"revoked": True, "id": app.app_id, "name": "Orders"} == ran.json
    assert (200, 401) == (before.status, app.call("GET", "/v1/connection").status)


async def test_revoke_without_a_terminal_needs_yes(shell: Shell, running: DaemonProcess) -> None:
    """
    A script has to pass --yes; without it nothing happens.
    """
    SampleApp.approved(running)

    ran = await shell("apps", "revoke", "Orders", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "--yes" in ran.err
    assert 1 == len(running.client.apps())


async def test_ambiguous_name_lists_the_ids(shell: Shell, running: DaemonProcess) -> None:
    """
    If two apps have the same name, nothing is done, and their ids and identities are listed.
    """
    apps = [SampleApp.approved(running, origin=origin) for origin in (PAGE, OTHER)]

    ran = await shell("apps", "revoke", "Orders", "--yes")

    assert exit_codes.USAGE == ran.code
    assert all(f"{app.app_id}  {app.origin}" in ran.err for app in apps)
    assert 2 == len(running.client.apps())


async def test_name_equal_to_anothers_id_prefix_is_ambiguous(shell: Shell, running: DaemonProcess) -> None:
    """
    An app whose name is the beginning of another's id cannot be mistaken for it.
    """
    app = SampleApp.approved(running, origin=PAGE)
    SampleApp.approved(running, origin=OTHER, name=app.app_id[:8])

    ran = await shell("apps", "revoke", app.app_id[:8], "--yes")

    assert exit_codes.USAGE == ran.code
    assert 2 == len(running.client.apps())


async def test_unknown_name_suggests_a_similar_one(shell: Shell, running: DaemonProcess) -> None:
    """
    A misspelled name exits with 5 and suggests the closest one, or else shows how to list apps.
    """
    SampleApp.approved(running)

    near, far = await shell("apps", "show", "Ordres"), await shell("apps", "show", "xyz")

    assert [exit_codes.NOT_FOUND] * 2 == [near.code, far.code]
    assert "Did you mean 'Orders'?" in near.err
    assert "upstash-helper apps list" in far.err
