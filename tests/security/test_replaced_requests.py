"""An app that asks again replaces its own request, and nobody else's (T26, T28, T61, and T62)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.another_process import another_process
from tests.support.clock import FakeClock
from tests.support.effects import no_effect
from tests.support.peers import UnknownPeers
from tests.support.world import Reply, World, as_page
from upstash_helper.broker.apps.pairing_limits import LIFETIME, MAX_REPLACED
from upstash_helper.broker.ledger import Waiting
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.system.peers import Program

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
SHARED = Program(
    pid=100, executable="/usr/bin/python3", warnings=("shared",), others=(Program(pid=7, executable="/usr/bin/other"),)
)


class Browsers(UnknownPeers):
    """Every request comes from the program that a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Program(pid=100, executable="/usr/bin/firefox")
        self.running: set[int] = {100}

    def is_running(self, pid: int) -> bool:
        """Return whether a test said so."""
        return pid in self.running

    async def program(self, local: tuple[str, int], remote: tuple[str, int]) -> Program:
        """Return the program."""
        self.lookups += 1
        return self.found


def daemon(
    tmp_path: Path, sandbox: Sandbox, port: int, peers: Browsers, **more: Any
) -> AbstractAsyncContextManager[World]:
    return World.running(tmp_path, sandbox, port, peers=peers, **{"ledger": SqliteLedger(None), **more})


async def poll(world: World, asked: Reply, origin: str | None = None) -> dict[str, Any]:
    """Poll as the app."""
    headers = {} if origin is None else as_page(origin)
    at = f"/v1/pairings/{asked.json['id']}"
    return dict((await world.get(at, token=asked.json["poll_secret"], headers=headers)).json)


async def ending(world: World, asked: Reply, origin: str | None = None) -> tuple[str, bool]:
    """Return the state that the app sees, and whether its request was replaced."""
    status = await poll(world, asked, origin)
    return status["state"], status.get("replaced", False)


async def waiting(world: World) -> list[dict[str, Any]]:
    """Return the requests that the user is shown."""
    return list((await world.get("/v1/pairings")).json["pairings"])


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "chrome-extension://" + "a" * 32, None])
async def test_request_of_the_same_app_replaces_the_pending_one(world: World, origin: str | None) -> None:
    """Immediately, and the user sees one request: the new one. The earlier one learns what has become of it."""
    first = await world.ask("databases:read", origin=origin)
    second = await world.ask("databases:read", origin=origin)

    [shown] = await waiting(world)
    headers = {} if origin is None else as_page(origin)
    token = await world.call(
        "POST", f"/v1/pairings/{first.json['id']}/token", token=first.json["poll_secret"], headers=headers
    )

    assert [202, 202] == [first.status, second.status]
    assert (second.json["id"], first.json["id"], True) == (shown["id"], shown["replaces"], shown["repeated"])
    assert first.json["user_code"] != shown["user_code"] == second.json["user_code"]
    assert ("expired", True) == await ending(world, first, origin)
    assert ("pending", False) == await ending(world, second, origin)
    assert (410, "pairing_replaced") == (token.status, token.code)


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_t61_decision_about_a_replaced_request_decides_nothing(world: World, verb: str) -> None:
    """
    The user clicked on what was shown then: other scopes, another name, another code. The new request is still pending.
    """
    first = await world.ask("databases:read", origin=PAGE, name="Harmless")
    second = await world.ask("upstash:write", origin=PAGE, name="Something else")

    async with no_effect(world, audited=True):
        decided = await world.call("POST", f"/v1/pairings/{first.json['id']}/{verb}", {} if verb == "approve" else None)

    assert (410, "pairing_replaced") == (decided.status, decided.code)
    assert "upstash-helper approvals list" in decided.json["detail"]
    assert {"pairings": "/v1/pairings"} == decided.json["links"]
    assert "pending" == (await poll(world, second, PAGE))["state"]
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_t61_approvals_and_replacements_at_once_grant_only_what_was_approved(world: World) -> None:
    """Whichever comes first: either the request was approved as it was shown, or nothing was."""
    first = await world.ask("databases:read", origin=PAGE)

    approved, second = await asyncio.gather(
        world.call("POST", f"/v1/pairings/{first.json['id']}/approve", {}),
        world.ask("upstash:write", origin=PAGE),
    )

    assert approved.status in (200, 410)
    expected = ("approved", False) if approved.status == 200 else ("expired", True)
    assert expected == await ending(world, first, PAGE)
    assert "pending" == (await poll(world, second, PAGE))["state"]


async def test_blocking_a_replaced_request_ends_the_new_one(world: World) -> None:
    """The block is about the app."""
    first = await world.ask("databases:read", origin=PAGE)
    second = await world.ask("databases:read", origin=PAGE)

    blocked = await world.call("POST", f"/v1/pairings/{first.json['id']}/block", {})

    assert 200 == blocked.status
    assert "denied" == (await poll(world, second, PAGE))["state"]


async def test_t61_denial_counts_for_a_request_that_is_being_written(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Whichever comes first: if the denial succeeds, the new request does not appear in its place a moment later."""
    clock, outcomes = FakeClock(), set()
    async with daemon(tmp_path, sandbox, daemon_port, Browsers(), clock=clock) as world:
        for number in range(24):
            page = f"https://app{number}.example{number}.com"
            first = await world.ask("databases:read", origin=page)
            asking = asyncio.create_task(world.ask("upstash:write", origin=page))
            await asyncio.sleep(number / 4000)  # so that it comes at every stage of the request
            denied = await world.call("POST", f"/v1/pairings/{first.json['id']}/deny")
            second = await asking
            pending = [it["id"] for it in await waiting(world)]
            outcomes.add((denied.status, second.status, len(pending)))
            clock.advance(LIFETIME + 1)

    assert outcomes <= {(200, 429, 0), (410, 202, 1)}


async def test_t28_withdrawing_a_replaced_request_does_not_end_the_new_one(world: World) -> None:
    """A page that is reloaded may withdraw its request only after it has sent the next one."""
    first = await world.ask("databases:read", origin=PAGE)
    second = await world.ask("databases:read", origin=PAGE)

    late = await world.call(
        "DELETE", f"/v1/pairings/{first.json['id']}", token=first.json["poll_secret"], headers=as_page(PAGE)
    )

    assert 204 == late.status
    assert "pending" == (await poll(world, second, PAGE))["state"]


async def test_t62_replacing_causes_a_notification_only_if_something_else_is_requested(world: World) -> None:
    """Neither the code nor the reason is something else."""
    for reason in ("", "one", "two"):
        await world.ask("databases:read", origin=PAGE, reason=reason)
    await world.daemon.background.drain(5)
    same = len(world.desktop.shown)
    await world.ask("databases:write", origin=PAGE)
    await world.daemon.background.drain(5)

    assert (1, 2) == (same, len(world.desktop.shown))


async def test_t62_requests_cannot_be_replaced_without_end(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The prompt stays as it is after some changes, and the app is told when the request expires."""
    clock, peers = FakeClock(), Browsers()
    async with daemon(tmp_path, sandbox, daemon_port, peers, clock=clock) as world:
        replies = []
        for number in range(MAX_REPLACED + 3):
            replies.append(await world.ask("databases:read", origin=PAGE, name=f"Name {number}"))
            clock.advance(13)
        [shown] = await waiting(world)
        await world.daemon.background.drain(5)

        assert [202] * (MAX_REPLACED + 1) + [409] * 2 == [reply.status for reply in replies]
        assert ("pairing_pending", "107") == (replies[-2].code, replies[-2].headers["Retry-After"])
        assert f"Name {MAX_REPLACED}" == shown["claimed_name"]
        assert MAX_REPLACED + 1 == len(world.desktop.shown)


async def test_t26_another_script_cannot_replace_the_request_of_a_running_one(world: World) -> None:
    """Both are the same interpreter. Neither with its name, nor with another one: that is a request of its own."""
    port = world.settings.port
    victim = await world.ask("databases:read", name="Orders")

    async with (
        another_process(port, name="Orders", scopes=("upstash:write",)) as same,
        another_process(port, name="Orders 2", scopes=("upstash:write",)) as other,
    ):
        shown = {it["id"]: it["claimed_name"] for it in await waiting(world)}

    assert (409, "pairing_pending", {"pairing": f"/v1/pairings/{victim.json['id']}"}) == (
        same["status"], same["code"], same["links"]
    )  # fmt: skip
    assert {victim.json["id"]: "Orders", other["id"]: "Orders 2"} == shown
    assert "pending" == (await poll(world, victim))["state"]


async def test_script_that_is_started_again_replaces_the_request_of_its_last_run(world: World) -> None:
    """The process that sent it was killed, so it could not withdraw it."""
    async with another_process(world.settings.port, name="Orders") as first:
        pass

    second = await world.ask("databases:read", name="Orders")

    [shown] = await waiting(world)
    assert 202 == second.status
    assert (second.json["id"], first["id"]) == (shown["id"], shown["replaces"])


async def test_t62_denial_of_a_script_does_not_delay_other_scripts(world: World) -> None:
    """All of them are the same interpreter. The script that was denied has to wait, whatever process it is."""
    denied = await world.ask("databases:read", name="Denied")
    await world.call("POST", f"/v1/pairings/{denied.json['id']}/deny")

    again = await world.ask("databases:read", name="Denied")
    async with another_process(world.settings.port, name="Denied") as elsewhere:
        other = await world.ask("databases:read", name="Other")

    assert [(429, "too_many_pairings"), (429, "too_many_pairings")] == [
        (again.status, again.code), (elsewhere["status"], elsewhere["code"])
    ]  # fmt: skip
    assert 202 == other.status


@pytest.mark.parametrize(
    "sender",
    [
        Program(pid=100, executable="/opt/hostile"),
        Program(pid=100, executable=""),
        Program(pid=100, executable="/usr/bin/firefox", warnings=("sandboxed",)),
    ],
)
async def test_t26_program_cannot_replace_the_request_of_a_page(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, sender: Program
) -> None:
    """Any program can send any origin. Only the browser that sent the request vouches for the page."""
    peers = Browsers()
    async with daemon(tmp_path, sandbox, daemon_port, peers) as world:
        first = await world.ask("databases:read", origin=PAGE)
        peers.found = sender
        refused = await world.ask("upstash:write", origin=PAGE)
        peers.found = Program(pid=101, executable="/usr/bin/firefox")
        second = await world.ask("databases:read", origin=PAGE)

        assert (409, "pairing_pending") == (refused.status, refused.code)
        assert ("expired", True) == await ending(world, first, PAGE)
        assert [second.json["id"]] == [it["id"] for it in await waiting(world)]


@pytest.mark.parametrize(
    ("sender", "status"),
    [
        (Program(pid=100, executable="/usr/bin/python3"), 202),
        (Program(pid=101, executable="/usr/bin/python3"), 409),
        (SHARED, 409),
        (Program(pid=100, executable=""), 202),
    ],
)  # fmt: skip
async def test_t26_running_program_replaces_only_its_own_request(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, sender: Program, status: int
) -> None:
    """Not if it is not certain which process has sent it. A program that is not identified is another one."""
    peers = Browsers()
    peers.found = Program(pid=100, executable="/usr/bin/python3")
    async with daemon(tmp_path, sandbox, daemon_port, peers) as world:
        first = await world.ask("databases:read")
        peers.found = sender
        second = await world.ask("databases:read")
        both = len(await waiting(world))

        assert status == second.status
        is_replaced = status == 202 and sender.executable
        assert ("expired" if is_replaced else "pending") == (await poll(world, first))["state"]
        assert (2 if not sender.executable else 1) == both


def bridge(pid: int | None, agent: int = 100) -> Program:
    """Return an agent for which a process requests access."""
    return Program(pid=agent, executable="/opt/agent", sender="/usr/bin/python3", sender_pid=pid)


@pytest.mark.parametrize(
    "case",
    [
        (bridge(200), bridge(200), {100, 200}, 202),
        (bridge(200), bridge(201), {100, 200, 201}, 409),
        (bridge(200), bridge(201), {100, 201}, 202),
        (bridge(200), bridge(201, agent=101), {101, 200, 201}, 409),
        (bridge(None), bridge(201), {201}, 409),
        (bridge(200), bridge(None), {100, 200}, 409),
    ],
)
async def test_t26_process_of_an_agent_does_not_replace_the_request_of_its_bridge(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, case: tuple[Program, Program, set[int], int]
) -> None:
    """A script that the agent has started is not its bridge, until that one has ended. An unknown one is nobody."""
    peers = Browsers()
    peers.found, now, peers.running, status = case
    wanted = {"name": "an agent", "scopes": ["databases:read"], "audience": "mcp", "for_starter": True}
    async with daemon(tmp_path, sandbox, daemon_port, peers) as world:
        first = await world.call("POST", "/v1/pairings", wanted, token=None)
        peers.found = now
        second = await world.call("POST", "/v1/pairings", wanted, token=None)

        assert (202, status) == (first.status, second.status)
        assert ("expired" if status == 202 else "pending") == (await poll(world, first))["state"]


async def test_unidentified_program_replaces_nothing(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """It could be any program."""
    peers = Browsers()
    peers.found = Program(pid=100, executable="")
    async with daemon(tmp_path, sandbox, daemon_port, peers) as world:
        first, second = await world.ask("databases:read"), await world.ask("databases:read")

        assert [202, 409] == [first.status, second.status]


async def test_replacement_is_kept_across_a_crash(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The record of the new request names the one that it replaces, so that one write is enough."""
    peers, path = Browsers(), tmp_path / "ledger.db"
    async with daemon(tmp_path, sandbox, daemon_port, peers, ledger=SqliteLedger(path)) as world:
        first = await world.ask("databases:read", origin=PAGE)
        before = next(it for it in (await world.ledger.pairings.load())[0] if it.id == first.json["id"])
        second = await world.ask("databases:read", origin=PAGE)
        await world.daemon.background.drain(5)
        await world.ledger.pairings.save(before)  # as it is if the daemon crashes before the end of it is written
    async with daemon(tmp_path, sandbox, daemon_port, peers, ledger=SqliteLedger(path)) as world:
        shown = await waiting(world)
        ended = await ending(world, first, PAGE)

    assert isinstance(before.decision, Waiting)
    assert [second.json["id"]] == [it["id"] for it in shown]
    assert ("expired", True) == ended
