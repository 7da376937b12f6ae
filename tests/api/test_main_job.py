"""The main use case against the sandbox: connect, create, list, use, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import continued

if TYPE_CHECKING:
    from tests.support.world import World


async def test_sign_in_connects_an_account(world: World) -> None:
    """The API key has the documented name."""
    started = await world.start()
    landed = await world.land(await world.sign_in(started))
    attempt = await world.settled(started["attempt_id"])
    connection = (await world.get("/v1/connection")).json

    assert 200 == landed.status
    assert continued(landed).startswith(f"{world.pages}/?attempt=")
    assert "succeeded" == attempt["state"]
    assert ("connected", "oauth") == (connection["state"], connection["method"])
    assert world.email == connection["account"]["email"]
    assert [connection["api_key_name"]] == await world.sandbox.api_key_names(world.email)
    assert connection["api_key_name"].startswith("UPSTASH_HELPER_API_KEY_")


async def test_result_page_has_no_code_in_its_address(world: World) -> None:
    """It says what Upstash's guideline requires."""
    started = await world.start()
    landed = await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])
    page = await world.page(continued(landed))

    assert 200 == page.status
    assert "Your account has been connected" in page.text
    assert world.email in page.text


async def test_databases_are_created_listed_read_changed_and_deleted(world: World) -> None:
    """Everything that a GUI needs, in sequence."""
    await world.connect()
    made = await world.create("orders", read_regions=["eu-west-1"], eviction=True)
    at = f"/v1/databases/{made['id']}"

    listed = (await world.get("/v1/databases")).json["databases"]
    read = (await world.get(at)).json
    assert [made["id"]] == [database["id"] for database in listed]
    assert ("orders", "us-east-1", ["eu-west-1"], True) == (
        read["name"], read["primary_region"], read["read_regions"], read["eviction"],
    )  # fmt: skip

    renamed = await world.call("PATCH", at, {"name": "orders-2", "eviction": False, "budget": 20})
    assert 200 == renamed.status, renamed.text
    assert ("orders-2", False, 20) == (renamed.json["name"], renamed.json["eviction"], renamed.json["budget"])

    deleted = await world.call("DELETE", at)
    assert (204, b"") == (deleted.status, deleted.body)
    assert [] == (await world.get("/v1/databases")).json["databases"]
    assert (404, "database_not_found") == ((gone := await world.get(at)).status, gone.code)
