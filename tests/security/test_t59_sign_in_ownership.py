"""Threat T59: an app with `connection:write` cannot replace the account, or touch a sign-in that it did not start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from tests.support.clock import FakeClock
from tests.support.replacement import SCOPES, asked, attack, own_account, start_as, use_api_key
from tests.support.world import PASSWORD, World, as_page, continued
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import Reply
    from upstash_helper.broker.models import Credential

PAGE = "https://evil.example"
OTHER = "https://other.example"
KINDS = pytest.mark.parametrize("origin", [PAGE, None], ids=["page", "native"])


async def attempt_of(world: World, started: dict[str, Any]) -> dict[str, Any]:
    attempt: dict[str, Any] = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return attempt


async def account(world: World) -> str:
    connection = (await world.get("/v1/connection")).json
    return str((connection["account"] or {"email": ""})["email"])


async def revoked(world: World) -> bool:
    """Return whether the refresh token and the access token of the last sign-in were revoked."""
    return len([seen for seen in await world.sandbox.requests() if seen["path"] == "/oauth/revoke"]) >= 2


async def until_revoked(world: World) -> None:
    async with asyncio.timeout(20):
        while True:
            if await revoked(world):
                return
            await asyncio.sleep(0.01)


# --- force ------------------------------------------------------------------------------------------------------------


@KINDS
async def test_t59_app_cannot_force_a_sign_in(world: World, origin: str | None) -> None:
    """Neither while an account is connected nor while the owner is signing in. The answer says who can."""
    app = await world.pair(*SCOPES, origin=origin)
    pending = await world.start()
    during = await world.as_app(app, "POST", "/v1/connection", {"force": True})
    still = await attempt_of(world, pending)
    await world.land(await world.sign_in(pending))
    await world.settled(pending["attempt_id"])

    connected = await world.as_app(app, "POST", "/v1/connection", {"force": True, "open_browser": True})

    assert {(403, "owner_only")} == {(reply.status, reply.code) for reply in (during, connected)}
    assert "force" in connected.json["detail"]
    assert "pending" == still["state"]
    assert world.email == await account(world)
    assert [] == world.browser.opened


# --- its own sign-in while an account is connected --------------------------------------------------------------------


@KINDS
async def test_t59_app_signs_in_to_its_own_account_and_nothing_changes(world: World, origin: str | None) -> None:
    """The owner is asked, no API key is created, and everything else goes on with the connected account."""
    app, started, _ = await attack(world, origin)
    attempt = await asked(world, started["attempt_id"])
    databases = await world.get("/v1/databases?refresh=true")
    theirs = (await world.as_app(app, "GET", f"/v1/connection/attempts/{started['attempt_id']}")).json

    assert f"Replace {world.email} with evil-{world.email}?" == attempt["replacement"]["title"]
    assert ("Orders", world.email) == (attempt["replacement"]["claimed_name"], attempt["replacement"]["replaces"])
    assert (origin or attempt["replacement"]["requested_by"]) in attempt["replacement"]["detail"]
    assert ("confirmation_required", False) == (theirs["state"], "replacement" in theirs)
    assert f"evil-{world.email}" not in str(theirs)
    assert (200, world.email) == (databases.status, await account(world))
    assert [] == await world.sandbox.api_key_names(f"evil-{world.email}")
    assert [attempt["replacement"]["title"]] == [title for title, _ in world.desktop.shown if "Replace" in title]


async def test_t59_owner_replaces_the_account(world: World) -> None:
    """After the owner's yes the key is created and stored, once."""
    _, started, _ = await attack(world, PAGE)
    await asked(world, started["attempt_id"])
    path = f"/v1/connection/attempts/{started['attempt_id']}/confirm"

    confirmed = await world.call("POST", path)
    again = await world.call("POST", path)
    attempt = await world.settled(started["attempt_id"])

    assert (200, "exchanging") == (confirmed.status, confirmed.json["state"])
    assert (409, "nothing_to_confirm") == (again.status, again.code)
    assert ("succeeded", f"evil-{world.email}") == (attempt["state"], await account(world))
    assert 1 == len(await world.sandbox.api_key_names(f"evil-{world.email}"))
    await until_revoked(world)


@pytest.mark.parametrize("way", ["no", "app", "disconnect", "api_key", "force"])
async def test_t59_tokens_are_revoked_and_nothing_is_stored(world: World, way: str) -> None:
    """However the question ends without a yes: no key is created, and the tokens do not live on."""
    app, started, _ = await attack(world, PAGE)
    await asked(world, started["attempt_id"])
    path = f"/v1/connection/attempts/{started['attempt_id']}"
    match way:
        case "no":
            await world.call("DELETE", path)
        case "app":
            await world.as_app(app, "DELETE", path)
        case "disconnect":
            await world.call("DELETE", "/v1/connection")
        case "api_key":
            await use_api_key(world, f"third-{world.email}")
        case _:
            await world.start(force=True)
    attempt = await attempt_of(world, started)
    late = await world.call("POST", f"{path}/confirm")

    assert ("failed", "replacement_declined" if way == "no" else "cancelled") == (
        attempt["state"],
        attempt["reason"],
    )
    assert (409, "nothing_to_confirm") == (late.status, late.code)
    expected = {"disconnect": "", "api_key": f"third-{world.email}"}.get(way, world.email)
    assert expected == await account(world)
    assert [] == await world.sandbox.api_key_names(f"evil-{world.email}")
    await until_revoked(world)


async def test_t59_question_ends_after_five_minutes(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """No answer means no. The tokens are revoked without anyone asking."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        _, started, _ = await attack(world, PAGE)
        await asked(world, started["attempt_id"])
        clock.advance(299)
        before = await attempt_of(world, started)
        clock.advance(1)
        await until_revoked(world)
        after = await attempt_of(world, started)
        late = await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/confirm")

        assert "confirmation_required" == before["state"]
        assert ("failed", "confirmation_timeout") == (after["state"], after["reason"])
        assert "it was kept" in after["detail"]
        assert (409, world.email) == (late.status, await account(world))
        assert [] == await sandbox.api_key_names(f"evil-{world.email}")


async def test_t59_user_who_said_no_is_not_asked_again(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """An app that gets the chance to start sign-ins cannot wear the user down. After ten minutes it may ask again."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        app, started, _ = await attack(world, PAGE)
        await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
        ends = []
        for seconds in (0, 599, 1):
            clock.advance(seconds)
            await world.call("DELETE", "/v1/connection")
            world.email = f"x{world.email}"
            again = await start_as(world, app)
            await use_api_key(world, world.email)
            await world.land(await own_account(world, again))
            async with asyncio.timeout(20):
                while (attempt := await attempt_of(world, again))["state"] == "exchanging":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            ends.append((attempt["state"], attempt.get("reason")))

        assert [*[("failed", "replacement_declined")] * 2, ("confirmation_required", None)] == ends
        assert 2 == sum("Replace" in title for title, _ in world.desktop.shown)


async def test_t59_stopping_daemon_revokes_the_tokens(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """They are in memory only, and do not outlive the daemon at Upstash either."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        _, started, _ = await attack(world, PAGE)
        await asked(world, started["attempt_id"])

    assert await revoked(world)
    assert [] == await sandbox.api_key_names(f"evil-{world.email}")


class SlowStore(MemoryStore):
    """A keyring that takes its time to store a credential."""

    def __init__(self) -> None:
        super().__init__()
        self.saving, self.released = asyncio.Event(), asyncio.Event()

    async def save(self, credential: Credential) -> None:
        """Store ``credential`` once the test lets it."""
        self.saving.set()
        await self.released.wait()
        await super().save(credential)


async def test_t59_account_that_was_connected_during_the_exchange_counts(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Nothing is connected when the code arrives, but an account is when the tokens do."""
    store = SlowStore()
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        app = await world.pair(*SCOPES, origin=PAGE)
        started = await start_as(world, app)
        address = await own_account(world, started)

        connecting = asyncio.create_task(use_api_key(world, world.email))
        await store.saving.wait()
        await world.land(address)
        during = await attempt_of(world, started)
        store.released.set()
        await connecting
        attempt = await asked(world, started["attempt_id"])

        assert "exchanging" == during["state"]
        assert world.email == attempt["replacement"]["replaces"]
        assert world.email == await account(world)


async def test_t59_same_account_needs_no_question(world: World) -> None:
    """An app may renew the key of the account that is connected anyway: Upstash confirms that it is the same one."""
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    await use_api_key(world, world.email)
    url = started["authorization_url"]

    await world.land(await world.sandbox.authorize(url, world.email, PASSWORD, sign_up=False))
    attempt = await world.settled(started["attempt_id"])
    connection = (await world.get("/v1/connection")).json

    assert ("succeeded", "oauth", world.email) == (
        attempt["state"],
        connection["method"],
        connection["account"]["email"],
    )
    assert 200 == (await world.get("/v1/databases?refresh=true")).status


async def test_t59_team_of_the_same_account_is_another_one(open_world: World) -> None:
    """At the open sign-in, the user chooses. The owner is asked, with the team's name, and a no changes nothing."""
    world = open_world
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    await use_api_key(world, world.email)
    team_id = await world.sandbox.team(world.email, "crew")

    await world.land(await world.sign_in(started, sign_up=False, team_id=team_id))
    attempt = await asked(world, started["attempt_id"])
    granted = await world.sandbox.grants(world.email)
    await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
    await world.daemon.background.drain(10)

    connection = (await world.get("/v1/connection")).json
    assert f"{world.email} (team {team_id})" == attempt["replacement"]["email"]
    assert world.email == attempt["replacement"]["replaces"]
    assert 1 == len(granted)
    assert ("api_key", None) == (connection["method"], connection["account"]["team_id"])
    assert [] == await world.sandbox.grants(world.email)


async def test_t59_grant_for_the_same_account_needs_no_question(open_world: World) -> None:
    """The Developer API itself says whose it is."""
    world = open_world
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    await use_api_key(world, world.email)

    await world.land(await world.sign_in(started, sign_up=False))
    attempt = await world.settled(started["attempt_id"])
    connection = (await world.get("/v1/connection")).json

    assert ("succeeded", "grant") == (attempt["state"], connection["method"])
    assert 200 == (await world.get("/v1/databases?refresh=true")).status


async def test_t59_account_that_upstash_does_not_confirm_is_kept_out(world: World) -> None:
    """Tokens that name the connected account are not enough: the new key must belong to it."""
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    await use_api_key(world, world.email)
    address = await world.sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False)
    await world.sandbox.fault(method="GET", path="/v2/redis/databases", status=401, body="{}")

    await world.land(address)
    attempt = await world.settled(started["attempt_id"])
    connection = (await world.get("/v1/connection")).json

    assert ("failed", "account_not_confirmed") == (attempt["state"], attempt["reason"])
    assert "UPSTASH_HELPER_API_KEY_" in attempt["detail"]
    assert "api_key" == connection["method"]


async def test_t59_unknown_accounts_are_asked_about(world: World) -> None:
    """Where the tokens name no account, the owner decides."""
    await world.sandbox.settings(id_token_email=False, access_token_email=False, userinfo=False)
    _, started, _ = await attack(world, PAGE)
    attempt = await asked(world, started["attempt_id"])

    assert attempt["replacement"]["email"] is None
    assert f"Replace {world.email} with an account with an unknown email address?" == attempt["replacement"]["title"]


async def test_t59_owner_is_not_asked_about_the_own_sign_in(world: World) -> None:
    """The user who signs in to another account in their own tools has decided already."""
    await use_api_key(world, world.email)
    started = await world.start(force=True)

    await world.land(await own_account(world, started))

    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
    assert f"evil-{world.email}" == await account(world)


async def test_t59_revoked_app_cannot_finish_its_sign_in(world: World) -> None:
    """The address that it knows is worthless as soon as its access ends."""
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    address = await own_account(world, started)
    await world.sandbox.forget_requests()
    await world.call("DELETE", f"/v1/apps/{app.id}")

    await world.land(address)
    attempt = await attempt_of(world, started)

    assert ("failed", "cancelled", "") == (attempt["state"], attempt["reason"], await account(world))
    assert "no longer has access" in attempt["detail"]
    assert [] == [seen for seen in await world.sandbox.requests() if seen["path"] == "/oauth/token"]


async def test_t59_question_of_a_revoked_app_ends(world: World) -> None:
    """There is nothing left to decide, and its tokens are revoked."""
    app, started, _ = await attack(world, PAGE)
    await world.call("DELETE", f"/v1/apps/{app.id}")

    late = await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/confirm")

    assert (409, "nothing_to_confirm") == (late.status, late.code)
    assert world.email == await account(world)
    await until_revoked(world)


async def test_t59_only_the_owner_answers(world: World) -> None:
    """Not even the app that asks."""
    app, started, _ = await attack(world, PAGE)
    await asked(world, started["attempt_id"])
    path = f"/v1/connection/attempts/{started['attempt_id']}/confirm"

    by_app = await world.as_app(app, "POST", path)
    by_no_one = await world.call("POST", path, token=None)

    assert (403, "owner_only", 401) == (by_app.status, by_app.code, by_no_one.status)
    assert "confirmation_required" == (await attempt_of(world, started))["state"]
    assert world.email == await account(world)


# --- attempts of others -----------------------------------------------------------------------------------------------


def secrets_of(started: dict[str, Any]) -> tuple[str, str]:
    url = URL(started["authorization_url"])
    return url.query["state"], url.query["code_challenge"]


@KINDS
@pytest.mark.parametrize("starter", ["owner", "app"])
async def test_t59_address_of_another_sign_in_is_nowhere(world: World, origin: str | None, starter: str) -> None:
    """An app that joins gets the ID. No route and no event has the address or the state."""
    attacker = await world.pair(*SCOPES, origin=origin, name="Attacker")
    async with world.session.get("/v1/events", headers=attacker.headers) as stream, asyncio.timeout(20):
        await stream.content.readline()
        starter_app = None if starter == "owner" else await world.pair(*SCOPES, origin=OTHER)
        started = await world.start() if starter_app is None else await start_as(world, starter_app)
        attempt_at = f"/v1/connection/attempts/{started['attempt_id']}"

        joined = await world.as_app(attacker, "POST", "/v1/connection", {"open_browser": True})
        read = [
            await world.as_app(attacker, "GET", path)
            for path in ("/v1/connection", attempt_at, f"/?attempt={started['attempt_id']}", "/v1/token")
        ]
        await world.land(await world.sandbox.cancel(started["authorization_url"]))
        events = ""
        while '"state":"failed"' not in events:
            events += (await stream.content.readline()).decode()

    assert (202, True, started["attempt_id"]) == (joined.status, joined.json["joined"], joined.json["attempt_id"])
    assert "authorization_url" not in joined.json
    everything = joined.text + "".join(reply.text for reply in read) + events
    assert [] == [secret for secret in secrets_of(started) if secret in everything]
    assert [] == world.browser.opened


async def test_t59_starter_gets_its_address_again(world: World) -> None:
    """
    A page that is reloaded during its sign-in can show it again, even if it had to request access again; and so can the
    owner's tools. A program is not identified well enough for that.
    """
    app = await world.pair(*SCOPES, origin=PAGE)
    first = await start_as(world, app)
    again = await start_as(world, await world.pair(*SCOPES, origin=PAGE))
    program = await start_as(world, await world.pair(*SCOPES))
    await world.as_app(app, "DELETE", f"/v1/connection/attempts/{first['attempt_id']}")
    own, joined = await world.start(), await world.start()

    assert (first["authorization_url"], True) == (again["authorization_url"], again["joined"])
    assert (own["authorization_url"], True) == (joined["authorization_url"], joined["joined"])
    assert "authorization_url" not in program


async def test_t59_owner_never_signs_in_at_an_address_that_an_app_knows(world: World) -> None:
    """The owner's sign-in has an address of its own. The app follows it under the ID that it has, to its end."""
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    address = await own_account(world, started)

    own = await world.start(open_browser=True)
    landed = await world.land(address)
    refused = await world.as_app(app, "DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
    await world.land(await world.sign_in(own))
    followed = await world.settled(started["attempt_id"])

    assert started["attempt_id"] == own["attempt_id"]
    assert not set(secrets_of(started)) & set(secrets_of(own))
    assert "joined" not in own
    assert [own["authorization_url"]] == world.browser.opened
    assert 400 == landed.status
    assert (403, "not_the_starter") == (refused.status, refused.code)
    assert ("succeeded", world.email) == (followed["state"], await account(world))


@KINDS
@pytest.mark.parametrize("starter", ["owner", "app"])
async def test_t59_app_cannot_end_another_sign_in(world: World, origin: str | None, starter: str) -> None:
    """403 where the app could know the sign-in, 404 where it could not. The sign-in goes on."""
    blind = await world.pair("connection:write", origin=origin, name="Blind")
    seeing = await world.pair(*SCOPES, origin=OTHER if origin else PAGE, name="Seeing")
    started = (
        await world.start()
        if starter == "owner"
        else await start_as(world, await world.pair(*SCOPES, origin="https://third.example"))
    )
    path = f"/v1/connection/attempts/{started['attempt_id']}"

    unknown = await world.as_app(blind, "DELETE", path)
    known = await world.as_app(seeing, "DELETE", path)
    await world.as_app(blind, "POST", "/v1/connection", {})
    joined = await world.as_app(blind, "DELETE", path)
    pasted = [await world.as_app(app, "POST", f"{path}/redirect", {"address": "?a=b"}) for app in (blind, seeing)]
    guessed = await world.land("http://localhost/?error=access_denied&state=" + started["attempt_id"])

    assert (404, "attempt_not_found") == (unknown.status, unknown.code)
    assert {(403, "not_the_starter")} == {(reply.status, reply.code) for reply in (known, joined)}
    assert {(403, "owner_only")} == {(reply.status, reply.code) for reply in pasted}
    assert (400, "pending") == (guessed.status, (await attempt_of(world, started))["state"])
    await world.land(await world.sign_in(started))
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_t59_starter_and_owner_can_cancel(world: World) -> None:
    """The app that started a sign-in can end it, and the owner can end every one."""
    app = await world.pair(*SCOPES, origin=PAGE)
    first = await start_as(world, app)
    by_app = await world.as_app(app, "DELETE", f"/v1/connection/attempts/{first['attempt_id']}")
    second = await start_as(world, app)
    by_owner = await world.call("DELETE", f"/v1/connection/attempts/{second['attempt_id']}")

    assert ("cancelled", "cancelled") == (by_app.json["reason"], by_owner.json["reason"])


# --- the result page --------------------------------------------------------------------------------------------------


async def result_page(world: World, landed: Reply) -> str:
    return (await world.page(continued(landed))).text


async def test_t59_attempt_id_opens_no_page(world: World) -> None:
    """Every app with `connection:read` knows the ID. Only the browser that came back gets the page's address."""
    started = await world.start()
    landed = await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])

    by_id = await world.page(f"/?attempt={started['attempt_id']}")
    state = await world.page(f"/attempts/{started['attempt_id']}/state")
    page = await result_page(world, landed)

    assert (404, 404) == (by_id.status, state.status)
    assert world.email not in by_id.text
    assert world.email in page
    assert started["attempt_id"] not in continued(landed)


async def test_t59_page_of_a_question_names_no_account(world: World) -> None:
    """The app that started the sign-in can bring its own state and read the page."""
    app = await world.pair("connection:write", origin=PAGE)
    started = await start_as(world, app)
    await use_api_key(world, world.email)
    landed = await world.land(await own_account(world, started))
    await asked(world, started["attempt_id"])
    waiting = await result_page(world, landed)
    await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
    declined = await result_page(world, landed)

    assert "Waiting for your decision" in waiting
    assert "You kept the connected account" in declined
    assert world.email not in waiting + declined


async def test_t59_page_shows_no_account_to_an_app_that_may_not_see_it(world: World) -> None:
    """An app with connection:write only could bring the browser's state and read the page."""
    app = await world.pair("connection:write")
    started = await start_as(world, app)
    landed = await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])

    page = await result_page(world, landed)

    assert "Your account has been connected" in page
    assert world.email not in page


# --- the scope --------------------------------------------------------------------------------------------------------


async def test_t59_scope_is_requested_only_if_no_account_is_connected(world: World) -> None:
    """The user is asked about it only then, and the page cannot tell from the answer."""
    body = {"name": "Orders", "scopes": ["connection:read"], "connect_if_needed": True}

    async def requested(origin: str) -> tuple[set[str], list[str]]:
        reply = await world.call("POST", "/v1/pairings", body, headers=as_page(origin), token=None)
        [pairing] = (await world.get("/v1/pairings")).json["pairings"]
        await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
        return set(reply.json), [scope["scope"] for scope in pairing["scopes"]]

    without = await requested(PAGE)
    await use_api_key(world, world.email)
    connected = await requested(OTHER)

    assert without[0] == connected[0]
    assert (list(SCOPES), ["connection:read"]) == (without[1], connected[1])


async def test_t59_prompt_states_what_the_scope_allows(world: World) -> None:
    """It can connect an account of its own, and cannot replace one without the user."""
    await world.ask("connection:write", origin=PAGE)
    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    [meaning] = [scope["meaning"] for scope in pairing["scopes"]]

    assert "only you can complete" not in meaning
    assert "even one of its own" in meaning
    assert "you are asked before" in meaning
