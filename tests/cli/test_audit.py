"""``audit`` against a real daemon and a real sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.sample_app import SampleApp
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire_apps

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

PAGE = "https://app.example.com"


@pytest.fixture
def app(running: DaemonProcess, connected: str) -> SampleApp:
    """An app with access that made a create request which was rejected."""
    app = SampleApp.approved(running, "databases:write", "databases:credentials", origin=PAGE)
    refused = {"name": "orders", "primary_region": "nowhere"}
    app.call("POST", "/v1/databases", refused, **{"Idempotency-Key": "k0"})
    return app


def make(app: SampleApp) -> str:
    """Create a database as ``app`` and return its id."""
    wanted = {"name": "orders", "primary_region": "us-east-1"}
    made = app.call("POST", "/v1/databases", wanted, **{"Idempotency-Key": "k1"})
    assert made.status == 201, made.json
    return str(made.json["id"])


async def test_audit_is_a_table_newest_first(shell: Shell, app: SampleApp) -> None:
    """
    Each line has the time, identity, name, action, target, and result.
    """
    made = make(app)

    header, *rows = (await shell("audit")).out.splitlines()

    assert ["WHEN", "WHO", "NAME", "ACTION", "TARGET", "RESULT"] == header.split()
    about, result = rows[0].split()[2:-1], rows[0].split()[-1]
    assert [PAGE, "Orders", "database.create", made, '"orders"', "in", "us-east-1,"] == about[:7]
    assert "ok" == result
    assert [PAGE, "Orders", "database.create"] == rows[1].split()[2:5]
    assert not rows[1].endswith(" ok")
    assert "this user's own tools" in rows[-1]
    assert f"{datetime.now().astimezone():%Y-%m-%d}" == rows[0].split()[0]


async def test_identical_entries_are_one_line_with_a_count(shell: Shell, app: SampleApp) -> None:
    """
    Repeated entries are one line, with ×N.
    """
    made = make(app)
    for _ in range(3):
        app.call("GET", f"/v1/databases/{made}/credentials")

    ran = await shell("audit")

    assert f"database.credentials ×3  {made}" in ran.out


async def test_json_is_the_apis_page(shell: Shell, running: DaemonProcess, app: SampleApp) -> None:
    """
    With --json the entries are one page of the API, on one line.
    """
    ran = await shell("audit", "--json")

    assert running.client.audit_page() == msgspec.json.decode(ran.out, type=wire_apps.AuditPage)
    assert 1 == ran.out.count("\n")


@pytest.mark.parametrize("how", ["name", "id", "owner"])
async def test_entries_can_be_limited_to_one_app(shell: Shell, app: SampleApp, how: str) -> None:
    """
    The entries can be those of one app, by name or id, or those of the user's own tools.
    """
    named = {"name": "Orders", "id": app.app_id, "owner": "owner"}[how]

    entries = (await shell("audit", "--app", named, "--json")).json["entries"]

    assert entries
    assert {"this user's own tools" if how == "owner" else PAGE} == {one["identity"] for one in entries}
    assert how != "id" or {app.app_id} == {one["app_id"] for one in entries}


async def test_revoked_app_stays_in_the_audit(shell: Shell, running: DaemonProcess, app: SampleApp) -> None:
    """
    The entries of a revoked app are kept.
    """
    running.client.revoke_app(app.app_id)

    assert PAGE in (await shell("audit", "--app", "Orders")).out


async def test_limit_shows_that_there_are_more(shell: Shell, running: DaemonProcess, app: SampleApp) -> None:
    """
    With --limit the newest entries are shown; a note or the API's page token shows that there are more.
    """
    all_of_them = running.client.audit_page().entries

    table, page = await shell("audit", "--limit", "2"), await shell("audit", "--limit", "2", "--json")

    assert 3 == len(table.out.splitlines())
    assert "--limit" in table.err
    found = msgspec.json.decode(page.out, type=wire_apps.AuditPage)
    assert all_of_them[:2] == found.entries
    rest = running.client.audit_page(page_token=found.next_page_token)
    assert all_of_them[2:] == rest.entries


def test_client_reads_all_pages(running: DaemonProcess, app: SampleApp) -> None:
    """
    The client reads page after page, up to the requested number of entries.
    """
    whole = [one for page in running.client.audit() for one in page.entries]
    some = [one for page in running.client.audit(limit=1) for one in page.entries]

    assert list(running.client.audit_page().entries) == whole
    assert whole[:1] == some


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("1h", True),
        ("2d", True),
        ("1w", True),
        ("today", True),
        ("an hour ago", True),
        ("without a zone", True),
        ("tomorrow", False),
        ("in an hour", False),
    ],
)
async def test_since_takes_times_and_ages(shell: Shell, app: SampleApp, since: str, *, found: bool) -> None:
    """
    Accepted are an age, a day or time in the user's time zone, and RFC 3339.
    """
    now = datetime.now().astimezone()
    given = {
        "today": f"{now:%Y-%m-%d}",
        "an hour ago": (now - timedelta(hours=1)).astimezone(UTC).isoformat(),
        "without a zone": (now - timedelta(minutes=5)).replace(tzinfo=None).isoformat(),
        "tomorrow": f"{now + timedelta(days=1):%Y-%m-%d}",
        "in an hour": f"{(now + timedelta(hours=1)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }.get(since, since)

    ran = await shell("audit", "--since", given, "--json")

    assert 0 == ran.code, ran.err
    assert found == bool(ran.json["entries"])


@pytest.mark.parametrize("since", ["yesterday", "2h30", "-1h", "999999999w", "2026-13-01", ""])
async def test_invalid_time_is_a_usage_error(shell: Shell, since: str) -> None:
    """
    An invalid time is a usage error, with examples of valid ones.
    """
    ran = await shell("audit", "--since", since)

    assert exit_codes.USAGE == ran.code
    assert "2026-01-31T09:00:00Z" in ran.err


@pytest.mark.usefixtures("running")
async def test_no_entries_prints_a_note(shell: Shell) -> None:
    """
    Without entries, stdout is empty and stderr has a sentence, with the app that was asked for.
    """
    nothing, nobody = await shell("audit"), await shell("audit", "--app", "Nobody")

    assert [(0, ""), (0, "")] == [(ran.code, ran.out) for ran in (nothing, nobody)]
    assert "No entries." in nothing.err
    assert "'Nobody'" in nobody.err
