"""A program that imitates the helper on its port: T72. No client sends it a token."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.proofs import answer_to
from tests.support.python_app import User, pair, pair_at
from tests.support.rawhttp import get
from tests.support.world import World, as_page
from upstash_helper.client import ApiProblem, DaemonClient, MemoryTokens, UnexpectedAnswer
from upstash_helper.client.app_session import AppClient
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import InstanceLock
from upstash_helper.protocol.proof import digest_of, key_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NONCE = "0123456789abcdef" * 2


class Imitation:
    """Passes everything on to the real helper on another port, and so answers as the helper does."""

    def __init__(self, port: int) -> None:
        self.received = bytearray()
        self.url = ""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, port: int, *, twin: bool = False) -> AsyncIterator[Imitation]:
        """Run an imitation of the helper at ``port``; ``twin``: at the same port of the other loopback address."""
        imitation = cls(port)
        host, own_port = ("::1", port) if twin else ("127.0.0.1", 0)
        server = await asyncio.start_server(imitation.accept, host, own_port)
        shown = f"[{host}]" if twin else host
        imitation.url = f"http://{shown}:{server.sockets[0].getsockname()[1]}"
        try:
            yield imitation
        finally:
            server.close()
            await imitation.end()

    async def end(self) -> None:
        """Wait until all connections are closed."""
        await asyncio.gather(*self._tasks)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The helper does not accept the address of an imitation on another port, but that of a twin.
        ours = self.url.removeprefix("http://").encode()
        theirs = ours if ours.startswith(b"[") else b"127.0.0.1:%d" % self._port
        helper_reader, helper_writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            self.received += request
            helper_writer.write(request.replace(b"Host: " + ours, b"Host: " + theirs))
            while answer := await helper_reader.read(65536):
                writer.write(answer)
                if b"\r\n\r\n" in answer:
                    break
            self.received += await reader.read(65536)
        writer.close()
        helper_writer.close()


def challenge(token: str, nonce: str = NONCE) -> str:
    """Return the request for the proof that the helper knows ``token``."""
    return f"/v1/proof?key={key_id(digest_of(token))}&nonce={nonce}"


def expected(token: str, host: str, nonce: str = NONCE) -> Any:
    """Return what a server with ``token`` answers, by the test's own computation."""
    return answer_to(challenge(token, nonce), host, [token])


# --- the clients ------------------------------------------------------------------------------------------------------


async def test_t72_app_sends_no_token_to_a_relay_to_the_helper(world: World) -> None:
    """The proof covers the address, so the real helper's proof is of no use at another one."""
    store = MemoryTokens()
    await pair(world, User(world).approves(), store=store)
    token = store.load() or ""

    async with Imitation.of(world.settings.port) as imitation:
        with pytest.raises(UnexpectedAnswer, match="sent no token"):
            await asyncio.to_thread(pair_at, imitation.url, store=store)

    assert imitation.received.startswith(b"GET /v1/proof?")
    assert token.encode() not in imitation.received
    assert token == store.load()


async def test_t72_owner_token_is_not_sent_to_a_program_at_an_old_address(world: World, tmp_path: Path) -> None:
    """A starting daemon holds the lock while a killed one's discovery file is still there."""
    async with Imitation.of(world.settings.port) as imitation:
        port = int(imitation.url.rpartition(":")[2])
        left = discovery.Discovery(
            pid=1, port=port, base_url=imitation.url, owner_token=world.owner, version="0", api_version=1, proves=True
        )
        discovery.write(tmp_path / "run", left)
        with InstanceLock(tmp_path / "run"):
            client = DaemonClient.discover(tmp_path / "run")
            with pytest.raises(UnexpectedAnswer, match="sent no token"):
                await asyncio.to_thread(client.status)

    assert imitation.received.startswith(b"GET /v1/proof?")
    assert world.owner.encode() not in imitation.received


async def test_t72_no_token_is_sent_to_a_relay_on_the_same_port(tmp_path: Path, daemon_port: int) -> None:
    """The other loopback address has the same port, so the host in the proof could be the same."""
    async with Imitation.of(daemon_port, twin=True) as imitation:
        with DaemonProcess.running(tmp_path, port=daemon_port) as daemon:
            found = discovery.read(daemon.folders.runtime)
            assert found is not None
            with pytest.raises(ApiProblem, match="has arrived at another address") as refused:
                await asyncio.to_thread(AppClient(imitation.url, found.owner_token).connection)
            by_name = await get(daemon_port, challenge(found.owner_token))
            works = await asyncio.to_thread(AppClient(found.base_url, found.owner_token).connection)

    assert "port_conflict" == refused.value.code
    assert imitation.received.startswith(b"GET /v1/proof?")
    assert found.owner_token.encode() not in imitation.received
    assert (503, "port_conflict") == (by_name.status, by_name.json["code"])
    assert "where requests to localhost:" in by_name.json["detail"]
    assert "disconnected" == works.state  # the open sign-in returns to 127.0.0.1, so there is no conflict


# --- the helper's proof -----------------------------------------------------------------------------------------------


async def test_proof_covers_token_address_and_nonce(world: World) -> None:
    """It is an HMAC with the token's SHA-256, which a server without the token cannot compute."""
    app = await world.pair("databases:read")
    host = f"127.0.0.1:{world.settings.port}"
    other_nonce = "f" * 32

    first = await world.get(challenge(app.token), token=None)
    again = await world.get(challenge(app.token, other_nonce), token=None)
    owner = await world.get(challenge(world.owner), token=None)
    localhost = await world.get(challenge(app.token), token=None, headers={"Host": f"localhost:{world.settings.port}"})

    assert (first.status, first.body) == expected_compact(app.token, host)
    assert (again.status, again.body) == expected_compact(app.token, host, other_nonce)
    assert (owner.status, owner.body) == expected_compact(world.owner, host)
    assert (localhost.status, localhost.body) == expected_compact(app.token, f"localhost:{world.settings.port}")
    assert len({first.body, again.body, owner.body, localhost.body}) == 4


def expected_compact(token: str, host: str, nonce: str = NONCE) -> tuple[int, bytes]:
    """Return ``expected`` without spaces."""
    status, body = expected(token, host, nonce)
    return status, body.replace(b" ", b"")


async def test_poll_secret_can_be_proved(world: World) -> None:
    """An app sends it before it has a token."""
    started = (await world.ask("databases:read")).json

    reply = await world.get(challenge(started["poll_secret"]), token=None)

    assert (200, {"proof"}) == (reply.status, reply.json.keys())


async def test_unknown_and_revoked_tokens_have_no_proof(world: World) -> None:
    """The client then knows that it needs a new token, and sends none."""
    app = await world.pair("databases:read")
    await world.call("DELETE", f"/v1/apps/{app.id}")

    replies = [await world.get(challenge(token), token=None) for token in ("uha_unknown", app.token)]

    assert [(200, {"proof": None})] * 2 == [(it.status, it.json) for it in replies]


@pytest.mark.parametrize("query", ["", "?key=1&nonce=2", f"?key={NONCE}", f"?nonce={NONCE}", f"?key={NONCE}&nonce=A"])
async def test_invalid_challenge_is_explained(world: World, query: str) -> None:
    """Both parameters have 32 hexadecimal digits."""
    reply = await world.get(f"/v1/proof{query}", token=None)

    assert (422, "invalid_request") == (reply.status, reply.code)
    assert "must be 32 hexadecimal digits" in reply.json["detail"]


async def test_page_can_read_the_proof_without_access(world: World) -> None:
    """A page whose access was revoked learns that. A page that does not know a token cannot name it."""
    reply = await world.get(challenge("uha_unknown"), token=None, headers=as_page("https://app.example.com"))

    assert (200, {"proof": None}) == (reply.status, reply.json)
    assert "https://app.example.com" == reply.headers["Access-Control-Allow-Origin"]


async def test_apps_are_known_after_a_restart(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The first request may be a challenge, before the ledger has been read."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        app = await world.pair("databases:read")
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        reply = await world.get(challenge(app.token), token=None)

    assert (200, 64) == (reply.status, len(reply.json["proof"]))
