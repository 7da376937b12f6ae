"""Pairing: an app requests access, the user decides, the app fetches its token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.world import as_page

if TYPE_CHECKING:
    from tests.support.world import World

PAGE = "https://app.example.com"


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "chrome-extension://" + "a" * 32, None])
async def test_app_gets_a_token_after_approval(world: World, origin: str | None) -> None:
    """Web pages, loopback pages, extensions, and native programs all use the same flow and get the requested scopes."""
    headers = {} if origin is None else as_page(origin)
    asked = (await world.ask("connection:read", "databases:read", origin=origin)).json
    at, secret = f"/v1/pairings/{asked['id']}", asked["poll_secret"]

    before = await world.get(at, token=secret, headers=headers)
    early = await world.call("POST", f"{at}/token", token=secret, headers=headers)
    approved = await world.call("POST", f"{at}/approve", {})
    after = await world.get(at, token=secret, headers=headers)
    fetched = await world.call("POST", f"{at}/token", token=secret, headers=headers)
    used = await world.get("/v1/connection", token=fetched.json["token"], headers=headers)

    assert ("pending", "approved", "approved") == (before.json["state"], approved.json["state"], after.json["state"])
    assert (409, "pairing_not_decided") == (early.status, early.code)
    assert ["connection:read", "databases:read"] == fetched.json["scopes"]
    assert (200, "disconnected") == (used.status, used.json["state"])


async def test_verified_identity_is_shown_before_the_claimed_name(world: World) -> None:
    """The requested scopes are described in plain language."""
    await world.ask("databases:credentials", origin=PAGE, name="Upstash", reason="To show you your keys")

    [shown] = (await world.get("/v1/pairings")).json["pairings"]

    assert ["id", "identity", "claimed_name", "user_code", "scopes"] == list(shown)[:5]
    assert ("web", PAGE, PAGE) == tuple(shown["identity"][name] for name in ("kind", "name", "shown"))
    assert ("Upstash", "To show you your keys") == (shown["claimed_name"], shown["reason"])
    assert "passwords" in shown["scopes"][0]["meaning"]
    assert "all your databases" in shown["all_databases_meaning"]


async def test_program_that_sends_an_origin_is_shown(world: World) -> None:
    """Any program can send an Origin header; the user sees that it is not a browser."""
    await world.ask("connection:read", origin=PAGE)

    [shown] = (await world.get("/v1/pairings")).json["pairings"]

    assert os.getpid() == shown["identity"]["pid"]
    assert "python" in Path(shown["identity"]["program"]).name


async def test_native_program_is_identified_by_the_system(world: World) -> None:
    """The prompt shows the executable and process ID of the connection's other end."""
    await world.ask("connection:read")

    [shown] = (await world.get("/v1/pairings")).json["pairings"]

    assert ("native", os.getpid()) == (shown["identity"]["kind"], shown["identity"]["pid"])
    assert "python" in Path(shown["identity"]["name"]).name


async def test_user_is_notified_of_a_request(world: World) -> None:
    """The notification shows the identity first, and the code that the app shows, too."""
    asked = (await world.ask("connection:read", origin=PAGE, name="Orders")).json

    await world.daemon.background.drain(5)

    [(title, body)] = world.desktop.shown
    assert title.startswith(PAGE)
    assert "Orders" in body
    assert asked["user_code"] in body


async def test_withdrawn_request_disappears(world: World) -> None:
    """A late approval has no effect, and the app may request access again at once."""
    asked = (await world.ask("connection:read", origin=PAGE)).json
    at, secret = f"/v1/pairings/{asked['id']}", asked["poll_secret"]

    foreign = await world.call("DELETE", at, token="uhp_another", headers=as_page(PAGE))
    gone = await world.call("DELETE", at, token=secret, headers=as_page(PAGE))
    again = await world.call("DELETE", at, token=secret, headers=as_page(PAGE))
    late = await world.call("POST", f"{at}/approve", {})
    fetched = await world.call("POST", f"{at}/token", token=secret, headers=as_page(PAGE))
    asked_again = await world.ask("connection:read", origin=PAGE)

    assert (404, 204, 204) == (foreign.status, gone.status, again.status)
    assert [(410, "pairing_expired")] * 2 == [(late.status, late.code), (fetched.status, fetched.code)]
    assert 202 == asked_again.status
    assert 1 == len((await world.get("/v1/pairings")).json["pairings"])


async def test_page_has_no_starter(world: World) -> None:
    """Only a program can request access for the program that started it."""
    wanted = {"name": "a page", "scopes": ["connection:read"], "for_starter": True}

    refused = await world.call("POST", "/v1/pairings", wanted, token=None, headers=as_page(PAGE))

    assert (422, "/for_starter") == (refused.status, refused.json["errors"][0]["pointer"])


async def test_program_that_is_no_launcher_is_not_taken_for_its_starter(world: World) -> None:
    """A program that requests access for its starter, and is not a bridge, is shown as itself."""
    wanted = {"name": "a program", "scopes": ["connection:read"], "for_starter": True}

    await world.call("POST", "/v1/pairings", wanted, token=None)

    [shown] = (await world.get("/v1/pairings")).json["pairings"]
    assert os.getpid() == shown["identity"]["pid"]
    assert "sent_by" not in shown["identity"] or not shown["identity"]["sent_by"]
