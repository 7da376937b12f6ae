"""An API key and an email address as people paste them: the API cleans them, for all of its clients."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import TYPE_CHECKING

import pytest

from tests.support.world import PASSWORD
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from tests.support.world import World

KEY = "/v1/connection/api-key"


@pytest.mark.parametrize("form", ["\ufeff{}\r\n", "\x1b[200~{}\x1b[201~", "UPSTASH_API_KEY='{}'", "Bearer \u200b{} "])
async def test_key_is_stored_without_what_came_along(world: World, form: str) -> None:
    """What is stored, and sent to Upstash, is the key itself."""
    await world.sandbox.account(world.email, PASSWORD)
    key = await world.sandbox.api_key(world.email, "by-hand")

    reply = await world.call("PUT", KEY, {"email": f" <{world.email}>\u200b\n", "api_key": form.format(key)})

    assert ("connected", world.email) == (reply.json["state"], reply.json["account"]["email"])
    stored = await world.store.load()
    assert stored is not None
    assert (Secret(key), world.email) == (stored.api_key, stored.email)


async def test_each_wrong_value_is_explained(world: World) -> None:
    """Both are named at once, in words, and Upstash is not asked."""
    await world.sandbox.forget_requests()

    reply = await world.call("PUT", KEY, {"email": "ann", "api_key": "https://console.upstash.com/account/api"})

    assert (422, "invalid_request") == (reply.status, reply.code)
    assert [("/email", True), ("/api_key", True)] == [
        (error["pointer"], "no @" in error["detail"] or "URL" in error["detail"]) for error in reply.json["errors"]
    ]
    assert [] == await world.sandbox.requests()


async def test_rest_token_that_upstash_rejects_is_named(world: World) -> None:
    """It is the most similar secret in the console, and has the form of an API key."""
    reply = await world.call("PUT", KEY, {"email": world.email, "api_key": token_urlsafe(40)})

    assert (422, "credential_refused") == (reply.status, reply.code)
    assert "REST token" in reply.json["detail"]
