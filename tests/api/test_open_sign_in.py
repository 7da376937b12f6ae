"""The open sign-in against the sandbox's issuer: connect without a client ID, create, list, use, disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.support import open_sign_in
from tests.support.world import PASSWORD, continued

if TYPE_CHECKING:
    from tests.support.world import World


async def test_account_is_connected_without_a_client_id(open_world: World) -> None:
    """The status names the flow, the account, the access, and how the console lists it."""
    world = open_world
    before = (await world.get("/v1/connection")).json

    connection = await world.connect()

    assert ("disconnected", "open") == (before["state"], before["sign_in"])
    assert ("connected", "grant", "open") == (connection["state"], connection["method"], connection["sign_in"])
    assert {"email": world.email, "team_id": None, "team_role": None} == connection["account"]
    assert "full" == connection["access"]
    assert [connection["grant_name"]] == [grant["client_name"] for grant in await world.sandbox.grants(world.email)]


async def test_authorization_request_is_as_upstash_and_the_standards_ask(open_world: World) -> None:
    """PKCE with S256, a state, and a redirect to the API's own port."""
    started = await open_world.start()

    url = urlsplit(started["authorization_url"])
    query = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{open_world.sandbox.issuer_url}/oauth/authorize"
    assert ("code", "S256") == (query["response_type"], query["code_challenge_method"])
    assert f"http://127.0.0.1:{open_world.port}/callback" == query["redirect_uri"]
    assert {"openid", "email", "offline_access"} == set(query["scope"].split())
    assert 43 == len(query["state"]) == len(query["code_challenge"])


async def test_result_page_says_that_the_account_is_connected(open_world: World) -> None:
    """It is at the origin of the owner's pages, and has neither the code nor the state."""
    world = open_world
    started = await world.start()
    address = await world.sign_in(started)
    landed = await world.land(address)
    await world.settled(started["attempt_id"])

    page = await world.page(continued(landed))

    secrets = {value for values in parse_qs(urlsplit(address).query).values() for value in values if len(value) > 20}
    assert "Your account has been connected" in page.text
    assert world.email in page.text
    assert not any(
        secret in text for secret in secrets - {world.sandbox.issuer_url} for text in (landed.text, page.text)
    )


async def test_databases_are_created_listed_and_deleted(open_world: World) -> None:
    """With the access token in place of an API key."""
    world = open_world
    await world.connect()

    made = await world.create("orders")
    listed = (await world.get("/v1/databases")).json["databases"]
    deleted = await world.call("DELETE", f"/v1/databases/{made['id']}")
    passed = await world.get("/upstash/v2/redis/databases")

    assert [made["id"]] == [database["id"] for database in listed]
    assert (204, 200) == (deleted.status, passed.status)
    assert [] == passed.json
    assert [] == await world.sandbox.api_key_names(world.email)


async def test_second_connect_uses_the_same_registration(open_world: World) -> None:
    """The console lists one grant, however often the user signs in."""
    world = open_world
    clients = len(await world.sandbox.clients())
    await world.connect()
    await world.call("DELETE", "/v1/connection")

    await world.connect(sign_up=False)

    assert clients + 1 == len(await world.sandbox.clients())
    assert 1 == len(await world.sandbox.grants(world.email))
    assert 200 == (await world.get("/v1/databases")).status


async def test_disconnect_ends_the_grant_and_says_where_it_is_listed(open_world: World) -> None:
    """Nothing is left here, and nothing at Upstash."""
    world = open_world
    name = (await world.connect())["grant_name"]

    reply = await world.call("DELETE", "/v1/connection")
    await world.daemon.background.drain(10)

    assert name == reply.json["grant_name"]
    assert f"{name} (Account > OAuth Clients)" in reply.json["detail"]
    assert await world.store.load() is None
    assert [] == await world.sandbox.grants(world.email)


async def test_disconnect_forgets_the_grant_although_upstash_cannot_be_reached(open_world: World) -> None:
    """Revoking is best effort."""
    world = open_world
    await world.connect()
    await world.sandbox.fault(listener="issuer", path="/oauth/token/revoke", reset=True, times=None)

    reply = await world.call("DELETE", "/v1/connection")

    assert 200 == reply.status
    assert await world.store.load() is None
    assert "disconnected" == (await world.get("/v1/connection")).json["state"]


async def test_user_can_choose_a_team(open_world: World) -> None:
    """Its databases are others than those of the personal account."""
    world = open_world
    await world.connect()
    await world.create("personal")
    team_id = await world.sandbox.team(world.email, "crew")

    connection = await world.connect(force=True, sign_up=False, team_id=team_id)

    assert (team_id, "owner") == (connection["account"]["team_id"], connection["account"]["team_role"])
    assert f"Connected as {world.email} (team {team_id})" == connection["title"]
    assert [] == (await world.get("/v1/databases")).json["databases"]


async def test_read_only_access_refuses_changes_before_anything_is_sent(open_world: World) -> None:
    """The problem says how to connect with full access. Reading works."""
    world = open_world
    connection = await world.connect(full_access=False)
    await world.sandbox.forget_requests()

    attempts = [
        await world.call(
            "POST", "/v1/databases", {"name": "a", "primary_region": "us-east-1"}, headers={"Idempotency-Key": "k"}
        ),
        await world.call("PATCH", "/v1/databases/some-id", {"name": "b"}),
        await world.call("DELETE", "/v1/databases/some-id"),
        await world.call("POST", "/upstash/v2/redis/database", {"name": "a"}),
    ]

    assert ("connected", "read_only") == (connection["state"], connection["access"])
    assert "read-only" in connection["title"]
    assert [(403, "read_only_access")] * 4 == [(reply.status, reply.code) for reply in attempts]
    assert all("full access" in reply.json["detail"] for reply in attempts)
    assert [] == [request for request in await world.sandbox.requests() if request["method"] != "GET"]
    assert 200 == (await world.get("/v1/databases")).status


async def test_cancel_at_upstash_ends_the_attempt(open_world: World) -> None:
    """Both at the sign-in and at the consent page."""
    for email in (None, open_world.email):
        started = await open_world.start()
        address = await open_sign_in.cancel(started["authorization_url"], email, PASSWORD)

        await open_world.land(address)

        attempt = await open_world.settled(started["attempt_id"])
        assert ("failed", "access_denied") == (attempt["state"], attempt["reason"])


async def test_redirect_of_another_issuer_is_rejected(open_world: World) -> None:
    """RFC 9207: so is one without an issuer, if the server has announced that it sends it."""
    world = open_world
    for issuer in ("wrong", "off"):
        await world.sandbox.settings(issuer_iss="on")
        started = await world.start()
        address = await world.sign_in(started, sign_up=issuer == "wrong")
        without = address.partition("&iss=")[0]

        await world.land(f"{without}&iss=https://issuer.invalid" if issuer == "wrong" else without)

        attempt = await world.settled(started["attempt_id"])
        assert ("failed", "issuer_mismatch") == (attempt["state"], attempt["reason"])


async def test_address_can_be_pasted(open_world: World) -> None:
    """For a browser on another computer."""
    world = open_world
    started = await world.start()
    address = await world.sign_in(started)

    reply = await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/redirect", {"address": address})

    assert 200 == reply.status, reply.text
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_lost_registration_is_replaced_by_the_next_sign_in(open_world: World) -> None:
    """Once: the sign-in that noticed it fails with the reason."""
    world = open_world
    started = await world.start()
    address = await world.sign_in(started)
    for client in await world.sandbox.clients():
        await world.sandbox.remove_client(client["id"])

    await world.land(address)

    attempt = await world.settled(started["attempt_id"])
    assert ("failed", "registration_lost") == (attempt["state"], attempt["reason"])
    assert "connected" == (await world.connect(sign_up=False))["state"]


async def test_connect_without_the_issuer_is_a_problem_in_words(open_world: World) -> None:
    """Nothing is started."""
    await open_world.sandbox.fault(
        listener="issuer", path="/.well-known/oauth-authorization-server", status=500, times=None
    )

    reply = await open_world.call("POST", "/v1/connection", {})

    assert (502, "upstream_unavailable") == (reply.status, reply.code)
    assert "disconnected" == (await open_world.get("/v1/connection")).json["state"]


async def test_database_of_another_account_is_not_the_apps_own(open_world: World) -> None:
    """
    An app may read the credentials of databases that it created in the connected account. After the user has moved to
    a team, and the database with them, it has to be granted; after the way back it is the app's own again.
    """
    world = open_world
    await world.connect()
    app = await world.pair("databases:read", "databases:write", "databases:credentials")
    made = (
        await world.as_app(
            app,
            "POST",
            "/v1/databases",
            {"name": "orders", "primary_region": "us-east-1"},
            **{"Idempotency-Key": "one"},
        )
    ).json
    at = f"/v1/databases/{made['id']}/credentials"
    own = await world.as_app(app, "GET", at)
    team_id = await world.sandbox.team(world.email, "crew")

    await world.connect(force=True, sign_up=False, team_id=team_id)
    in_team = await world.as_app(app, "GET", at)
    await world.connect(force=True, sign_up=False)
    back = await world.as_app(app, "GET", at)

    assert [200, 403, 200] == [own.status, in_team.status, back.status]
    assert "not_the_creator" == in_team.code
