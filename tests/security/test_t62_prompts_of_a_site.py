"""T62: however many names, ports, and copies a site or a program has, it causes few prompts."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.mounts import skip_unless_mounting_is_unprivileged
from tests.support.peers import UnknownPeers
from tests.support.world import Reply, World
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.system.peers import SystemPeers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.system.peers import Program
    from upstash_helper.system.socket_owners import Address

HOUR = 3600.0
TOO_MANY = 50
"""An attack that gets so many prompts has succeeded, and ends."""

SITES: dict[str, Callable[[int], str]] = {
    "subdomains": lambda number: f"https://a{number}.example.co.uk",
    "ports": lambda number: f"https://example.com:{8000 + number}",
    "hosted": lambda number: f"https://www{number}.attacker.github.io",
    "loopback names": lambda number: f"http://a{number}.localhost:8000",
    "loopback ports": lambda number: f"http://localhost:{5000 + number}",
    "loopback addresses": lambda number: f"http://{('localhost', '127.0.0.1', '[::1]')[number % 3]}:{6000 + number}",
    "loopback over https": lambda number: f"https://127.0.0.1:{7000 + number}",
    "addresses": lambda number: f"https://[2001:db8::{number + 1:x}]",
}
"""The origins of one site."""


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    """A daemon on a fake clock, for pages: it looks up no programs."""
    ledger, peers = SqliteLedger(None), UnknownPeers()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger, peers=peers) as world:
        yield world


async def decide(world: World, pairing: dict[str, Any], verb: str, body: Any = None) -> Reply:
    reply = await world.call("POST", f"/v1/pairings/{pairing['id']}/{verb}", body)
    assert 200 == reply.status, reply.text
    return reply


async def prompts_of_attack(
    world: World, clock: FakeClock, origins: Iterator[str], answer: Callable[[dict[str, Any]], Any], *, seconds: float
) -> list[float]:
    """
    Request access as a site that wants to be seen as often as possible: at every moment at which it may be allowed, and
    each time from another origin. Return the times of the prompts.
    """
    began = clock.monotonic()
    prompts: list[float] = []
    while clock.monotonic() - began < seconds and len(prompts) < TOO_MANY:
        reply = await world.ask(origin=next(origins))
        if reply.status == 202:
            prompts.append(clock.monotonic() - began)
            await answer(reply.json)
        else:
            clock.advance(max(0.01, float(reply.json["retry_after"])))
    return prompts


def origins_of(site: Callable[[int], str]) -> Iterator[str]:
    return (site(number % 2000) for number in itertools.count())


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("verb", ["deny", "block"])
async def test_t62_site_causes_at_most_five_prompts_in_an_hour_after_a_denial(
    world: World, clock: FakeClock, site: str, verb: str
) -> None:
    """Blocking one origin after the other has the same effect as denying: at most one a minute, and five an hour."""

    async def answer(pairing: dict[str, Any]) -> None:
        await decide(world, pairing, verb)

    prompts = await prompts_of_attack(world, clock, origins_of(SITES[site]), answer, seconds=2 * HOUR)
    await world.daemon.background.drain(5)

    assert len(world.desktop.shown) == len(prompts) < TOO_MANY
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(prompts))
    for denied in prompts:
        assert sum(denied < prompt <= denied + HOUR for prompt in prompts) <= 5


async def test_t62_site_that_nobody_answers_causes_at_most_ten_prompts_in_an_hour(
    world: World, clock: FakeClock
) -> None:
    """Neither by withdrawing its requests nor by letting them expire."""

    async def withdraw(pairing: dict[str, Any]) -> None:
        if len(prompted) % 2:
            await world.call("DELETE", f"/v1/pairings/{pairing['id']}", token=pairing["poll_secret"], headers=PAGE)
        prompted.append(pairing["id"])

    prompted: list[str] = []
    origins = iter(lambda: PAGE["Origin"], None)
    prompts = await prompts_of_attack(world, clock, origins, withdraw, seconds=2 * HOUR)

    assert all(sum(start <= prompt < start + HOUR for prompt in prompts) <= 10 for start in prompts)
    assert sum(prompt < 60 for prompt in prompts) <= 3


PAGE = {
    "Origin": "http://localhost:5173",
    "Sec-Fetch-Site": "same-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}


@pytest.mark.parametrize("site", SITES)
async def test_t62_blocked_site_causes_no_prompt(world: World, clock: FakeClock, site: str) -> None:
    """No origin of it can request access until the block is removed. Other sites can."""
    asked = (await world.ask(origin=SITES[site](0))).json
    [shown] = (await world.get("/v1/pairings")).json["pairings"]

    block = (await decide(world, asked, "block", {"scope": "site"})).json
    refused = []
    for number in range(20):
        clock.advance(120)
        refused.append((await world.ask(origin=SITES[site](number))).code)
    other = await world.ask(origin="https://other.example")
    [listed] = (await world.get("/v1/blocks")).json["blocks"]
    await world.call("DELETE", f"/v1/blocks/{block['id']}")
    clock.advance(HOUR)
    allowed = await world.ask(origin=SITES[site](1))

    assert {"app_blocked"} == set(refused)
    assert [202, 202] == [other.status, allowed.status]
    assert shown["site"] == block["site"] == listed["site"]
    assert block["site"]["kind"] == ("loopback" if "loopback" in site else "domain")


async def test_t62_block_of_a_site_denies_its_pending_request(world: World) -> None:
    """Also if it comes from another origin than the blocked one, which can only be an app that has access."""
    await world.pair(origin="http://localhost:5173")
    pending = [(await world.ask(origin=f"http://localhost:{port}")).json for port in (5173, 4000)]

    await decide(world, pending[1], "block", {"scope": "site"})

    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_t62_block_of_an_origin_leaves_its_neighbors_alone(world: World, clock: FakeClock) -> None:
    """Accounts at a host such as github.io are different sites, and a block does not cover more than was chosen."""
    asked = (await world.ask(origin="https://one.github.io")).json

    await decide(world, asked, "block", {"scope": "site"})
    neighbor = await world.ask(origin="https://two.github.io")

    assert 202 == neighbor.status


async def test_t62_blocks_and_denials_survive_a_restart(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A site gets no new allowance because the daemon stopped while it was idle."""
    clock = FakeClock()

    def daemon() -> AbstractAsyncContextManager[World]:
        ledger = SqliteLedger(tmp_path / "ledger.db")
        return World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger, peers=UnknownPeers())

    prompts = 0
    for _ in range(12):
        clock.advance(290)
        async with daemon() as world:
            reply = await world.ask(origin=f"http://localhost:{5000 + prompts}")
            if reply.status == 202:
                prompts += 1
                await decide(world, reply.json, "deny")
    async with daemon() as world:
        asked = (await world.ask(origin="https://a.example.com")).json
        await decide(world, asked, "block", {"scope": "site"})
    async with daemon() as world:
        blocked = await world.ask(origin="https://b.example.com:8443")

    assert 2 <= prompts <= 6  # the first one, which was denied, and five more
    assert "app_blocked" == blocked.code


# --- programs ---------------------------------------------------------------------------------------------------------


async def ask_with(program: Path, world: World) -> tuple[int, str]:
    """Request access with a copy of curl. Return the response's status and body."""
    body = '{"name":"Copy","scopes":["connection:read"]}'
    address = f"http://127.0.0.1:{world.port}/v1/pairings"
    arguments = ["-s", "-o", "-", "-w", "\n%{http_code}", "-H", "Content-Type: application/json", "-d", body, address]
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=asyncio.subprocess.PIPE)
    output = (await process.communicate())[0].decode()
    text, _, status = output.rpartition("\n")
    return int(status), text


@pytest.fixture(name="with_programs")
async def _with_programs(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    """A daemon on a fake clock that looks up programs."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=SqliteLedger(None)) as world:
        yield world


@pytest.fixture(name="copies")
def _copies(tmp_path: Path) -> list[Path]:
    """Copies of one program."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is missing")
    paths = [tmp_path / f"copy-{number}" for number in range(8)]
    for path in paths:
        shutil.copy(curl, path)
    return paths


async def test_t62_copies_of_a_program_share_the_prompts_after_a_denial(
    with_programs: World, clock: FakeClock, copies: list[Path]
) -> None:
    """A program that copies itself after each denial gets five more prompts within an hour."""
    world, statuses = with_programs, []
    for copy in copies:
        status, _ = await ask_with(copy, world)
        statuses.append(status)
        if status == 202:
            [pairing] = (await world.get("/v1/pairings")).json["pairings"]
            await decide(world, pairing, "block")
        clock.advance(120)

    assert [202] * 6 + [429] * 2 == statuses


async def test_t62_no_program_causes_a_prompt_after_all_were_blocked(
    with_programs: World, clock: FakeClock, copies: list[Path]
) -> None:
    """The prompt offers to block every program. Pages are not affected."""
    world = with_programs
    await ask_with(copies[0], world)
    [pairing] = (await world.get("/v1/pairings")).json["pairings"]

    block = (await decide(world, pairing, "block", {"scope": "site"})).json
    clock.advance(HOUR)
    statuses = [(await ask_with(copy, world))[0] for copy in copies[:3]]
    page = await world.ask(origin="https://app.example.com")

    assert "programs" == pairing["site"]["kind"] == block["site"]["kind"]
    assert [403] * 3 == statuses
    assert 202 == page.status


# --- blocks of a program ----------------------------------------------------------------------------------------------

# Bash connects and sends without starting another program, which would inherit the connection.
CONNECT = "exec 3<>/dev/tcp/127.0.0.1/$1"
SEND = (
    'body=\'{"name":"App","scopes":["connection:read"]}\'; printf "POST /v1/pairings HTTP/1.1\\r\\nHost: localhost:$1'
    '\\r\\n${2}Content-Type: application/json\\r\\nContent-Length: ${#body}\\r\\n\\r\\n$body" >&3; '
    'read -r -u 3; echo "$REPLY"'
)
PLAIN = f"{CONNECT}; {SEND}"
SHARED = f"{CONNECT}; sleep 60 & {SEND}; kill $!"
DELETED = f'rm "$BASH"; {PLAIN}'
REPLACED = f'cp /bin/true "$BASH.new"; mv "$BASH.new" "$BASH"; {PLAIN}'
APART = ("unshare", "--user", "--map-root-user", "--mount")


async def status_of(world: World, program: Path, script: str = PLAIN, *before: str, fields: str = "") -> str:
    """Request access as a copy of bash, which is at ``program`` when it starts. Return the response's status."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is missing")
    await asyncio.to_thread(shutil.copy, bash, program)
    command = (*before, str(program), "-c", script, "app", str(world.port), fields)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output = (await process.communicate())[0].decode()
    return output.split()[1]


async def block_only_request(world: World, scope: str = "identity") -> dict[str, Any]:
    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    block: dict[str, Any] = (await decide(world, pairing, "block", {"scope": scope})).json
    return block


@pytest.mark.parametrize("script", [SHARED, DELETED, REPLACED], ids=["shared", "deleted", "replaced"])
async def test_t62_blocked_program_cannot_escape_by_a_warning(
    with_programs: World, clock: FakeClock, tmp_path: Path, script: str
) -> None:
    """
    The block of a program applies to its file, also if the connection is now held by a child process, too, or if the
    file was deleted or replaced. That of a program with such a warning applies to the program without it.
    """
    world, (one, other) = with_programs, (tmp_path / "one", tmp_path / "other")

    plain = await status_of(world, one)
    await block_only_request(world)
    clock.advance(HOUR)
    changed = await status_of(world, one, script)
    doubtful = await status_of(world, other, script)
    block = await block_only_request(world)
    clock.advance(HOUR)
    plain_again = await status_of(world, other)
    neighbor = await status_of(world, tmp_path / "neighbor")

    assert ("202", "403") == (plain, changed)
    assert ("202", "403") == (doubtful, plain_again)
    assert "202" == neighbor
    assert str(other) == block["identity"]["shown_without_process"]


async def test_t62_blocked_program_cannot_escape_into_a_sandbox(
    with_programs: World, clock: FakeClock, tmp_path: Path
) -> None:
    """But a program that only appears at this path, in a sandbox, cannot have the real one blocked."""
    skip_unless_mounting_is_unprivileged()
    world, (one, other) = with_programs, (tmp_path / "one", tmp_path / "other")

    await status_of(world, one)
    await block_only_request(world)
    clock.advance(HOUR)
    escaped = await status_of(world, one, PLAIN, *APART)
    imitation = await status_of(world, other, SHARED, *APART)
    await block_only_request(world)
    clock.advance(HOUR)
    imitation_again = await status_of(world, other, PLAIN, *APART)
    real = await status_of(world, other)

    assert "403" == escaped
    assert ("202", "403") == (imitation, imitation_again)
    assert "202" == real


@pytest.mark.parametrize("scope", ["identity", "site"])
async def test_t62_blocked_program_cannot_escape_as_a_page(
    with_programs: World, clock: FakeClock, tmp_path: Path, scope: str
) -> None:
    """A program can name any page as the origin of its request. Other programs can still send those of that page."""
    world = with_programs
    fields = "Origin: https://app.example.com\\r\\n"

    await status_of(world, tmp_path / "app")
    await block_only_request(world, scope)
    clock.advance(HOUR)
    as_page = await status_of(world, tmp_path / "app", fields=fields)
    as_extension = await status_of(world, tmp_path / "app", fields=f"Origin: chrome-extension://{'a' * 32}\\r\\n")
    browser = await status_of(world, tmp_path / "browser", fields=fields)

    assert ("403", "403", "202") == (as_page, as_extension, browser)


async def test_t62_block_of_an_unidentified_program_leaves_others_alone(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock
) -> None:
    """
    The block of a program that the system cannot identify applies to all of those, but neither to a program that the
    system identifies nor to pages whose browser it cannot identify.
    """

    class Forgetful(SystemPeers):
        """As if the first program had closed its end of the connection."""

        asked = 0

        async def program(self, local: Address, remote: Address) -> Program | None:
            self.asked += 1
            return None if self.asked != 3 else await super().program(local, remote)

    peers, ledger = Forgetful(), SqliteLedger(None)
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger, peers=peers) as world:
        first = await status_of(world, tmp_path / "app")
        await block_only_request(world)
        clock.advance(HOUR)
        unidentified = await status_of(world, tmp_path / "app")
        identified = await status_of(world, tmp_path / "app")
        page = await world.ask(origin="https://app.example.com")

    assert ("202", "403", "202", 202) == (first, unidentified, identified, page.status)


async def test_t62_denied_program_waits_whatever_its_warnings(
    with_programs: World, clock: FakeClock, tmp_path: Path
) -> None:
    """The wait after a denial belongs to the program's file, and not to how it holds its connection."""
    world, statuses = with_programs, []
    for script in (PLAIN, SHARED):
        statuses.append(await status_of(world, tmp_path / "app", script))
        for pairing in (await world.get("/v1/pairings")).json["pairings"]:
            await decide(world, pairing, "deny")
    clock.advance(61)
    statuses.append(await status_of(world, tmp_path / "app", SHARED))

    assert ["202", "429", "202"] == statuses
