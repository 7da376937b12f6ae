"""The admin API, with which tests control the sandbox, and its description in the README."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import PASSWORD, Caller, OpenClient, bearer, send, unique_email
from tests.support.sandbox import Sandbox
from upstash_helper.sandbox.admin_routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from tests.sandbox.callers import Response

README = Path(__file__).parents[2] / "daemon" / "upstash_helper" / "sandbox" / "README.md"


@pytest.fixture
async def own_sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox for a test that deletes everything, or stops it."""
    async with Sandbox.running(tmp_path / "data") as sandbox:
        yield sandbox


async def admin(sandbox: Sandbox, session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Response:
    """Call the admin API."""
    options = {} if body is None else {"json": body}
    url = f"{sandbox.ready.admin_url}/{path}"
    return await send(session, method, url, headers=bearer(sandbox.ready.admin_token), **options)


# --- accounts and databases -------------------------------------------------------------------------------------------


async def test_database_is_created_without_a_sign_in(sandbox: Sandbox, caller: Caller) -> None:
    """
    A database of an account or a team needs no more than its owner, has Upstash's format, and works at once.
    """
    team_id = await sandbox.team(caller.email, "Librarians")

    own = await admin(sandbox, caller.session, "POST", "databases", {"email": caller.email})
    fields = {"team_id": team_id, "database_name": "shared", "primary_region": "eu-west-1", "eviction": True}
    shared = await admin(sandbox, caller.session, "POST", "databases", fields)
    listed = (await admin(sandbox, caller.session, "GET", "databases")).json

    assert [own.json] == (await caller.call("GET", "databases")).json
    assert "OK" == await caller.run(shared.json, "SET", "a", "b")
    assert ("shared", "eu-west-1", True) == tuple(
        shared.json[name] for name in ("database_name", "primary_region", "eviction")
    )
    assert {own.json["database_id"], shared.json["database_id"]} <= {it["database_id"] for it in listed}


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({}, 400, "either email"),
        ({"email": "{email}", "team_id": "x"}, 400, "either email"),
        ({"email": "nobody@example.com"}, 404, "GET accounts lists them"),
        ({"team_id": "x"}, 404, "team not found"),
        ({"email": "{email}", "primary_region": "moon-1"}, 400, "primary_region"),
        ({"email": "{email}", "nmae": "x"}, 400, "nmae"),
        ({"email": 1}, 400, "email"),
    ],
)
async def test_invalid_database_is_refused(
    sandbox: Sandbox, caller: Caller, body: dict[str, Any], status: int, part: str
) -> None:
    """
    The error names the field, or how to find out what exists.
    """
    filled = {name: caller.email if value == "{email}" else value for name, value in body.items()}

    response = await admin(sandbox, caller.session, "POST", "databases", filled)

    assert (status, True) == (response.status, part in response.json["error"]), response.body


async def test_account_is_deleted_with_everything(
    sandbox: Sandbox, caller: Caller, open_client: OpenClient, session: aiohttp.ClientSession
) -> None:
    """
    The account's keys, grants, databases, and teams are gone, and the email can sign up again. Others are not affected.
    """
    other = await Caller.new(sandbox, session)
    team_id = await sandbox.team(caller.email, "Librarians", {other.email: "dev"})
    tokens = await open_client.sign_in(caller.email, sign_up=False)
    database = await caller.create()
    kept = await other.create()

    deleted = await admin(sandbox, session, "DELETE", f"accounts/{caller.email}")

    assert deleted.status == 200
    assert (await caller.call("GET", "databases")).status == 401
    assert (await open_client.token_info(tokens["access_token"])).status == 401
    assert (await caller.rest(database["rest_token"], "/ping")).status == 401
    assert [] == (await other.call("GET", "/v2/teams")).json
    assert "PONG" == await other.run(kept, "PING")
    assert (await admin(sandbox, session, "DELETE", f"teams/{team_id}")).status == 404
    await sandbox.account(caller.email, PASSWORD)
    assert [] == await sandbox.api_key_names(caller.email)


async def test_account_is_deleted_twice_at_once(sandbox: Sandbox, caller: Caller) -> None:
    """
    Requests that delete the same account and its databases at the same time do not fail.
    """
    databases = [await caller.create() for _ in range(3)]
    path = f"accounts/{caller.email}"

    responses = await asyncio.gather(
        admin(sandbox, caller.session, "DELETE", path),
        admin(sandbox, caller.session, "DELETE", path),
        *(caller.call("DELETE", f"database/{database['database_id']}") for database in databases),
    )

    assert {response.status for response in responses} <= {200, 401, 404}, [it.body for it in responses]
    assert 200 in {response.status for response in responses[:2]}
    assert (await admin(sandbox, caller.session, "DELETE", path)).status == 404


async def test_team_is_deleted_with_its_databases(sandbox: Sandbox, caller: Caller) -> None:
    """
    A team that still has databases can be deleted, other than through the Developer API.
    """
    team_id = await sandbox.team(caller.email, "Librarians")
    await admin(sandbox, caller.session, "POST", "databases", {"team_id": team_id})

    refused = await caller.call("DELETE", f"/v2/team/{team_id}")
    deleted = await admin(sandbox, caller.session, "DELETE", f"teams/{team_id}")

    assert [400, 200] == [refused.status, deleted.status]
    assert [] == (await caller.call("GET", "/v2/teams")).json


async def test_reset_deletes_everything(own_sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    After a reset, the sandbox has no accounts, databases, or clients, default settings, no faults, and an empty log.
    """
    caller = await Caller.new(own_sandbox, session)
    await caller.create()
    await caller.call("POST", "/v2/blob/bucket", {"name": "covers"})
    await caller.call("GET", "/v2/qstash/users")
    app = await OpenClient.new(own_sandbox, session)
    await app.sign_in(unique_email())
    await own_sandbox.fault(path="/v2/nothing", times=None, status=500)
    changed = (await admin(own_sandbox, session, "POST", "settings", {"userinfo": False})).json

    response = await admin(own_sandbox, session, "DELETE", "everything")

    assert (200, "OK") == (response.status, response.json)
    for path in ("accounts", "databases", "grants", "clients", "faults", "requests"):
        assert [] == (await admin(own_sandbox, session, "GET", path)).json, path
    assert [False, True] == [changed["userinfo"], (await own_sandbox.settings())["userinfo"]]
    assert [] == [*(own_sandbox.data / "databases").iterdir()]
    again = await Caller.new(own_sandbox, session)
    assert [] == (await again.call("GET", "databases")).json


# --- faults and the request log ---------------------------------------------------------------------------------------


async def test_fault_is_turned_off_and_removed_by_its_id(sandbox: Sandbox, caller: Caller) -> None:
    """
    Each fault has an ID, with which it can be turned off, and removed.
    """
    fault = (await admin(sandbox, caller.session, "POST", "faults", {"times": None, "status": 503})).json
    at = f"faults/{fault['id']}"

    off = await admin(sandbox, caller.session, "PATCH", at, {"enabled": False})
    healthy = await caller.call("GET", "databases")
    listed = (await admin(sandbox, caller.session, "GET", "faults")).json
    await admin(sandbox, caller.session, "PATCH", at, {"enabled": True})
    broken = await caller.call("GET", "databases")
    removed = [await admin(sandbox, caller.session, "DELETE", path) for path in (at, at, "faults/x")]

    assert [200, 200, 503] == [off.status, healthy.status, broken.status]
    assert [{**fault, "enabled": False}] == listed
    assert [200, 404, 400] == [response.status for response in removed]


async def test_requests_are_filtered(sandbox: Sandbox, caller: Caller) -> None:
    """
    The log can be filtered by listener, method, path, status, and ID.
    """
    await sandbox.forget_requests()
    await caller.call("GET", "databases")
    await caller.call("POST", "database", {})
    await caller.rest("wrong", "/get/x")

    async def paths(query: str) -> list[str]:
        response = await admin(sandbox, caller.session, "GET", f"requests?{query}")
        assert response.status == 200, response.body
        return [entry["path"] for entry in response.json]

    everything = await sandbox.requests()
    assert ["/v2/redis/databases", "/v2/redis/database", "/get"] == [entry["path"] for entry in everything]
    assert ["/get"] == await paths("listener=rest")
    assert ["/v2/redis/database"] == await paths("method=post")
    assert ["/v2/redis/databases", "/v2/redis/database"] == await paths("path=/v2/redis/*")
    assert ["/v2/redis/database"] == await paths("status=400")
    assert ["/get"] == await paths(f"after={everything[1]['id']}")


async def test_request_is_waited_for(sandbox: Sandbox, caller: Caller) -> None:
    """
    A caller can wait for a request. The response is sent as soon as one has been answered.
    """
    await sandbox.forget_requests()
    waiting = asyncio.create_task(
        admin(sandbox, caller.session, "GET", "requests?path=/v2/redis/database&status=400&wait=60")
    )
    await asyncio.sleep(0)
    await caller.call("GET", "databases")
    await caller.call("POST", "database", {})

    async with asyncio.timeout(50):
        (entry,) = (await waiting).json

    assert ("POST", "/v2/redis/database", 400) == (entry["method"], entry["path"], entry["status"])


async def test_waiting_in_vain_ends(sandbox: Sandbox, caller: Caller) -> None:
    """
    If there is no such request in time, the list is empty.
    """
    response = await admin(sandbox, caller.session, "GET", "requests?path=/nothing-like-this&wait=0.2")

    assert (200, []) == (response.status, response.json)


@pytest.mark.parametrize("query", ["listener=x", "status=abc", "wait=61", "wait=nan", "after=-1", "nonsense=1"])
async def test_invalid_filter_is_refused(sandbox: Sandbox, caller: Caller, query: str) -> None:
    """
    The error names the invalid parameter.
    """
    response = await admin(sandbox, caller.session, "GET", f"requests?{query}")

    assert (400, True) == (response.status, query.partition("=")[0] in response.json["error"]), response.body


async def test_log_of_any_path_can_be_read(sandbox: Sandbox, caller: Caller) -> None:
    """
    A path that is not UTF-8, or has half of a surrogate pair, does not make the log unreadable.
    """
    await sandbox.forget_requests()
    for path in ("/%ff%fe", "/%ED%A0%80", "/%00", "/%0d%0a"):
        await send(caller.session, "GET", sandbox.api_url + path)

    assert 4 == len(await sandbox.requests())


async def test_errors_of_the_admin_api_explain_themselves(sandbox: Sandbox, caller: Caller) -> None:
    """
    Every error says what is wrong and where, and where to look.
    """
    session, email = caller.session, caller.email
    twice = {"a@example.com": "dev", "A@example.com": "admin"}
    responses = [
        await admin(sandbox, session, "DELETE", "accounts/nobody@example.com"),
        await admin(sandbox, session, "GET", "api-keys"),
        await admin(sandbox, session, "POST", "api-keys", {"email": email, "name": "x", "revoke": True}),
        await admin(sandbox, session, "POST", "api-keys", {"email": email, "name": ""}),
        await admin(sandbox, session, "POST", "grants", {"id": "x", "action": "revoke"}),
        await admin(sandbox, session, "POST", "teams", {"email": email, "team_name": "x", "members": {email: "dev"}}),
        await admin(sandbox, session, "POST", "teams", {"email": email, "team_name": "x", "members": twice}),
        await admin(sandbox, session, "PUT", "accounts"),
        await admin(sandbox, session, "GET", "nothing"),
        await send(session, "GET", f"{sandbox.ready.admin_url}/accounts"),
    ]

    assert [
        (404, "no account with this email exists; GET accounts lists them"),
        (400, "invalid query: email is required"),
        (404, "no API key with this name exists; GET api-keys lists them"),
        (400, "invalid request body: name: Must not be empty."),
        (404, "no grant with this ID exists; GET grants lists them"),
        (409, f"{email} is already a member of the team, as its owner"),
        (409, "the members contain an email twice, in different case"),
        (405, "PUT is not allowed at /_sandbox/accounts. Allowed: GET, POST."),
        (501, "The sandbox has no GET /_sandbox/nothing at this address."),
        (401, "the admin token is required, as a bearer token; the sandbox prints it as admin_token"),
    ] == [(response.status, response.json["error"]) for response in responses]
    assert [] == (await caller.call("GET", "/v2/teams")).json


# --- the README -------------------------------------------------------------------------------------------------------


def section() -> str:
    """Return the README's section about the admin API."""
    return README.read_text("utf-8").partition("## The admin API\n")[2].partition("\n## ")[0]


def test_readme_lists_every_route() -> None:
    """
    The README's table has every route, with what it does.
    """
    rows = re.findall(r"^\| `(\w+) ([\w{}/-]+)` \| (.+?) \|", section(), flags=re.MULTILINE)

    assert [(route.method, route.path, route.does) for route in ROUTES] == [
        (method, path, does) for method, path, does in rows
    ]


@pytest.mark.skipif(not (shutil.which("sh") and shutil.which("curl")), reason="there is no sh or curl")
async def test_readmes_commands_work(own_sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    The commands in the README call every route, and each succeeds.
    """
    app = await OpenClient.new(own_sandbox, session)
    await app.sign_in(unique_email())
    _, script = re.findall(r"```sh\n(.+?)```", section(), flags=re.DOTALL)
    variables = {"ADMIN_URL": own_sandbox.ready.admin_url, "ADMIN_TOKEN": own_sandbox.ready.admin_token}

    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-eu"],
        input=script,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    called = re.findall(r"admin (GET|POST|PUT|PATCH|DELETE) \"?([\w-]+(?:/\$?\w+)?)", script)
    assert {(route.method, route.path.replace("{id}", "*").replace("{email}", "*")) for route in ROUTES} == {
        (method, re.sub(r"/.+", "/*", path)) for method, path in called
    }
