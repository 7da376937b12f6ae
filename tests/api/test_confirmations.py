"""Questions of apps over HTTP: who sees them, who decides, and what the audit log has of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.questions import DELETE, asking
from tests.support.stream import follow
from upstash_helper.broker.errors import AccessEnded

if TYPE_CHECKING:
    from tests.support.world import App, World

AT = "/v1/confirmations"


async def agent(world: World) -> App:
    """Give an agent access."""
    return await world.pair("databases:delete", audience="mcp", name="Agent")


async def test_question_starts_with_the_verified_identity(world: World) -> None:
    """The name that the app gave itself is apart from it, and what will be destroyed is named."""
    app = await agent(world)
    async with asking(world, app.id):
        [shown] = (await world.get(AT)).json["confirmations"]

    assert ["id", "app_id", "identity", "claimed_name", "action", "title", "detail", "target", "state"] == [
        it for it in shown if it not in ("recorded", "notice")
    ][:9]
    assert (app.id, "native", "Agent") == (shown["app_id"], shown["identity"]["kind"], shown["claimed_name"])
    assert "python" in shown["identity"]["name"]
    assert (DELETE.title, DELETE.detail, DELETE.target, "pending") == (
        shown["title"], shown["detail"], shown["target"], shown["state"]
    )  # fmt: skip


@pytest.mark.parametrize(("decision", "answer"), [("allow", "allowed"), ("deny", "denied")])
async def test_user_decides_once(world: World, decision: str, answer: str) -> None:
    """The first answer counts. Repeating it is harmless, and the other one is a conflict."""
    app = await agent(world)
    other = {"allow": "deny", "deny": "allow"}[decision]
    async with asking(world, app.id) as task:
        [shown] = (await world.get(AT)).json["confirmations"]
        replies = [await world.call("POST", f"{AT}/{shown['id']}/{it}") for it in (decision, decision, other)]
        answered = await task
        left = (await world.get(AT)).json["confirmations"]

    assert answer == answered
    assert [200, 200, 409] == [it.status for it in replies]
    assert (answer, "confirmation_already_decided") == (replies[0].json["state"], replies[2].code)
    assert [] == left


async def test_decision_is_in_the_audit_log(world: World) -> None:
    """With what was decided, and for which program."""
    app = await agent(world)
    for decision in ("allow", "deny"):
        async with asking(world, app.id) as task:
            [shown] = (await world.get(AT)).json["confirmations"]
            await world.call("POST", f"{AT}/{shown['id']}/{decision}")
            await task

    entries = (await world.get("/v1/audit?app=owner")).json["entries"]

    found = {it["action"]: it for it in entries if it["action"].startswith("confirmation.")}
    assert {"confirmation.allow", "confirmation.deny"} == set(found)
    for entry in found.values():
        assert "ok" == entry["result"]
        assert entry["target"].startswith("database.delete db-1 for ")
        assert "python" in entry["target"]


async def test_denial_is_also_among_the_entries_of_the_app(world: World) -> None:
    """Under its name: what it wanted to do, which no other of its entries shows. Once, however often it is sent."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        [shown] = (await world.get(AT)).json["confirmations"]
        for _ in range(2):
            await world.call("POST", f"{AT}/{shown['id']}/deny")
        await task

    entries = (await world.get("/v1/audit?app=Agent")).json["entries"]

    [entry] = [it for it in entries if it["action"].startswith("confirmation.")]
    assert ("confirmation.denied", app.id, 1, "ok") == (
        entry["action"], entry["app_id"], entry["count"], entry["result"]
    )  # fmt: skip
    assert f"database.delete db-1 {DELETE.title}" == entry["target"]


async def test_only_the_owner_sees_and_decides(world: World) -> None:
    """The agent itself could otherwise answer its own question."""
    mcp, app = await agent(world), await world.pair("databases:delete", "upstash:write", name="App")
    async with asking(world, mcp.id) as task:
        [shown] = (await world.get(AT)).json["confirmations"]
        statuses = {
            (it.id, method, path): (await world.as_app(it, method, path)).status
            for it in (mcp, app)
            for method, path in (
                ("GET", AT),
                ("POST", f"{AT}/{shown['id']}/allow"),
                ("POST", f"{AT}/{shown['id']}/deny"),
            )
        }
        nobody = await world.call("POST", f"{AT}/{shown['id']}/allow", token=None)

        assert not task.done()
    assert {401, 403} == set(statuses.values())
    assert 401 == nobody.status


async def test_owner_follows_questions_and_apps_do_not(world: World) -> None:
    """From the question to the answer, also if the app gives up."""
    app, reader = await agent(world), await world.pair("connection:read", name="Reader")
    async with follow(world) as owner, follow(world, Authorization=f"Bearer {reader.token}") as stream:
        async with asking(world, app.id):
            asked = (await owner.until("confirmation"))["data"]
        ended = (await owner.until("confirmation"))["data"]
        await world.start()
        seen = (await stream.next())["event"]

    assert ("pending", "expired") == (asked["state"], ended["state"])
    assert asked["id"] == ended["id"]
    assert "attempt" == seen


async def test_question_ends_when_the_user_revokes_the_app(world: World) -> None:
    """The request that asks ends as well, and a click on its prompt comes too late."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        [shown] = (await world.get(AT)).json["confirmations"]
        await world.call("DELETE", f"/v1/apps/{app.id}")
        await asyncio.wait((task,))
        late = await world.call("POST", f"{AT}/{shown['id']}/allow")

        with pytest.raises(AccessEnded):
            await task
    assert (410, "confirmation_expired") == (late.status, late.code)
    assert [] == (await world.get(AT)).json["confirmations"]


@pytest.mark.parametrize("number", ["0123456789abcdef", "..", "%00", "a" * 500])
async def test_unknown_question_is_not_found(world: World, number: str) -> None:
    """What was made up does not get into the audit log."""
    for decision in ("allow", "deny"):
        reply = await world.call("POST", f"{AT}/{number}/{decision}")

        assert reply.status in (400, 404)
    entries = (await world.get("/v1/audit")).json["entries"]
    assert not any(number in it["target"] for it in entries)
