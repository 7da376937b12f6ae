"""T85 to T90: hostile requests to ``/mcp``: with other tokens, from pages, with forged headers, with large bodies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest

from tests.mcp.messages import ACCEPT, HANDSHAKE, agent, answered, headers_for, request, send
from tests.security.test_cors import cors_of, preflight
from tests.support.effects import no_effect
from tests.support.rawhttp import exchange
from tests.support.world import as_page
from upstash_helper.broker.identity import SCOPES

if TYPE_CHECKING:
    from tests.support.world import App, Reply, World

PAGE = "https://app.example.com"
DELETES = ("databases:read", "databases:write", "databases:delete")
TEN_MEGABYTES = 10 * 1024 * 1024
SECONDS = 60
"""For responses that end, as those that are expected do."""


async def connected_agent(world: World, *scopes: str, **granted: Any) -> App:
    """Return an agent of a daemon that is connected to an account."""
    await world.connect()
    return await agent(world, *(scopes or DELETES), **granted)


async def databases_of(world: World) -> list[str]:
    """Return the names of the account's databases."""
    return [it["name"] for it in (await world.get("/v1/databases")).json["databases"]]


def create(name: str) -> dict[str, Any]:
    """Return the parameters of a call with an effect."""
    return {"name": "redis_create_database", "arguments": {"name": name, "primary_region": "us-east-1"}}


# --- T85: whose token it is -------------------------------------------------------------------------------------------


async def test_t85_an_agents_token_is_refused_at_every_other_route(world: World) -> None:
    """It is refused as a token, with all scopes too, so that it is worth nothing outside of ``/mcp``."""
    app = await connected_agent(world, *SCOPES)
    allowed: list[tuple[str, str, int]] = []
    tried = 0

    async with no_effect(world), asyncio.timeout(SECONDS):
        for route in world.daemon.routes:
            if route.policy.access not in ("token", "owner") or route.policy.audience == "mcp":
                continue
            path = route.path.replace("{path:.+}", "v2/redis/databases").replace("{", "").replace("}", "")
            body: dict[str, Any] | None = {} if route.policy.body == "json" else None
            reply = await world.call(route.method, path, body, token=app.token)
            tried += 1
            if 401 != reply.status or 'error="invalid_token"' not in reply.headers["WWW-Authenticate"]:
                allowed.append((route.method, route.path, reply.status))

    assert [] == allowed
    assert tried > 30


async def test_t85_an_agents_token_reads_no_events(world: World) -> None:
    """The stream of events is a route like the others, although it is not JSON."""
    app = await connected_agent(world, *SCOPES)

    async with asyncio.timeout(SECONDS):
        reply = await world.get("/v1/events", token=app.token)

    assert (401, "invalid_token") == (reply.status, reply.code)


async def test_t85_only_an_agents_token_is_accepted_at_mcp(world: World) -> None:
    """The owner's token, an app's, an invented one, and none are refused, and the refusal names the metadata."""
    await world.connect()
    native = await world.pair(*SCOPES)
    tokens = {"owner": world.owner, "native": native.token, "invented": "uhm_" + "x" * 43, "other": "uha_" + "x" * 43}

    async with no_effect(world):
        replies = {name: await send(world, token, "tools/call", create("no")) for name, token in tokens.items()}
        replies["none"] = await send(world, None, "tools/call", create("no"))
        replies["in the path"] = await world.call("POST", f"/mcp?access_token={native.token}", {}, token=None)

    assert dict.fromkeys(replies, 401) == {name: reply.status for name, reply in replies.items()}
    for reply in replies.values():
        assert "/.well-known/oauth-protected-resource" in reply.headers["WWW-Authenticate"]
    own = await send(world, (await agent(world)).token, "server/discover")
    assert 200 == own.status, own.text


async def test_t85_a_revoked_agent_is_refused_at_once(world: World) -> None:
    """Its next request is refused."""
    app = await connected_agent(world)
    before = await send(world, app.token, "tools/list")

    assert 204 == (await world.call("DELETE", f"/v1/apps/{app.id}")).status
    after = await send(world, app.token, "tools/list")

    assert (200, 401) == (before.status, after.status)


# --- T86: pages -------------------------------------------------------------------------------------------------------

ORIGINS = [PAGE, "http://localhost:5173", "chrome-extension://" + "a" * 32, "null", "https://unapproved.example"]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("token", ["agent", "page"])
async def test_t86_a_page_gets_nothing(world: World, origin: str, token: str) -> None:
    """Neither a result nor a readable refusal, with its own token or a stolen one, although the page has access."""
    app = await connected_agent(world)
    page = await world.pair(*DELETES, origin=PAGE)
    given = app.token if token == "agent" else page.token

    async with no_effect(world):
        reply = await send(world, given, "tools/call", create("no"), **underscored(as_page(origin)))
        asked = await preflight(world, origin, "/mcp", headers="authorization,content-type,mcp-method")
        stream = await world.get("/mcp", headers={**as_page(origin), "Accept": "text/event-stream"}, token=given)

    assert (403, 403) == (reply.status, asked.status)
    assert stream.status in (403, 405)
    assert ({}, {}, {}) == (cors_of(reply), cors_of(asked), cors_of(stream))


async def test_t86_pages_of_the_daemons_own_addresses_get_nothing(world: World) -> None:
    """Nor do the owner's pages, and what other programs have left at the daemon's port."""
    app = await connected_agent(world)
    shared = {"Origin": f"http://localhost:{world.port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}

    async with no_effect(world):
        left = await send(world, app.token, "tools/call", create("no"), **underscored(shared))
        owners = await send(world, app.token, "tools/call", create("no"), **underscored(world.as_own_page()))

    assert [] == [reply.text for reply in (left, owners) if 200 <= reply.status < 300]
    assert ({}, {}) == (cors_of(left), cors_of(owners))


async def test_t86_a_page_without_an_origin_gets_nothing(world: World) -> None:
    """A form or an image of another site sends no ``Origin`` that names it, but the browser marks the request."""
    app = await connected_agent(world)
    marked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}

    async with no_effect(world):
        reply = await send(world, app.token, "tools/call", create("no"), **underscored(marked))
        form = await world.call(
            "POST",
            "/mcp",
            b'{"jsonrpc":"2.0"}',
            headers={"Content-Type": "text/plain", "Accept": ACCEPT},
            token=app.token,
        )

    assert 403 == reply.status
    assert 400 <= form.status < 500


def underscored(headers: dict[str, str]) -> dict[str, str]:
    """Return headers as ``send`` takes them."""
    return {name.replace("-", "_"): value for name, value in headers.items()}


# --- T87: DNS rebinding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:{port}", "localhost.evil.example:{port}", ""])
async def test_t87_a_rebound_name_gets_nothing(world: World, host: str) -> None:
    """``Host`` has the page's own name. Neither a token nor a missing ``Origin`` helps."""
    app = await connected_agent(world)
    name = host.format(port=world.port)

    async with no_effect(world):
        reply = await send(world, app.token, "tools/call", create("no"), Host=name)
        with_origin = await send(world, app.token, "tools/call", create("no"), Host=name, Origin=f"http://{name}")
        metadata = await world.get("/.well-known/oauth-protected-resource/mcp", headers={"Host": name}, token=None)

    assert [] == [it.status for it in (reply, with_origin, metadata) if not 400 <= it.status < 500]


# --- T88: forged headers ----------------------------------------------------------------------------------------------

FORGED = {
    "another method": {"Mcp_Method": "tools/list"},
    "a method in other letters": {"Mcp_Method": "TOOLS/CALL"},
    "another tool": {"Mcp_Name": "redis_list_databases"},
    "a tool in other letters": {"Mcp_Name": "REDIS_CREATE_DATABASE"},
    "another version": {"MCP_Protocol_Version": HANDSHAKE[0]},
    "an invented version": {"MCP_Protocol_Version": "v999.0.0"},
    "two methods": {"Mcp_Method": "tools/call, tools/list"},
    "an empty name": {"Mcp_Name": ""},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
async def test_t88_headers_that_differ_from_the_body_have_no_effect(world: World, headers: dict[str, str]) -> None:
    """A proxy that decides by the headers and the daemon cannot see different requests."""
    app = await connected_agent(world)

    reply = await send(world, app.token, "tools/call", create("no"), **headers)

    assert (400, -32020) == (reply.status, answered(reply)["error"]["code"])
    assert [] == await databases_of(world)


@pytest.mark.parametrize("missing", ["Mcp-Method", "Mcp-Name", "MCP-Protocol-Version"])
async def test_t88_missing_headers_have_no_effect(world: World, missing: str) -> None:
    """Nor can it be decided by a header that is not there."""
    app = await connected_agent(world)
    message = request("tools/call", create("no"))
    headers = {name: value for name, value in headers_for(message).items() if name != missing}

    reply = await world.call("POST", "/mcp", message, headers=headers, token=app.token)

    assert (400, -32020) == (reply.status, answered(reply)["error"]["code"])
    assert [] == await databases_of(world)


async def test_t88_a_repeated_header_has_no_effect(world: World) -> None:
    """Two values of which the first is right: another reader may take the last."""
    app = await connected_agent(world)
    message = request("tools/call", create("no"))

    [answer, *_] = await exchange(
        world.port, raw_request(world, app, message, extra=(("Mcp-Name", "redis_list_databases"),))
    )

    assert 400 == answer.status
    assert [] == await databases_of(world)


def raw_request(
    world: World, app: App, message: dict[str, Any], *, extra: tuple[tuple[str, str], ...] = (), size: int | None = None
) -> bytes:
    """Return a request as bytes, with repeated headers, or a wrong length."""
    body = msgspec.json.encode(message)
    headers = [
        ("Host", f"localhost:{world.port}"), ("Authorization", f"Bearer {app.token}"), ("Connection", "close"),
        ("Content-Type", "application/json"), ("Content-Length", str(len(body) if size is None else size)),
        *headers_for(message).items(), *extra,
    ]  # fmt: skip
    lines = [b"POST /mcp HTTP/1.1", *(f"{name}: {value}".encode() for name, value in headers), b"", b""]
    return b"\r\n".join(lines) + body


# --- T89: large bodies ------------------------------------------------------------------------------------------------


async def test_t89_ten_megabytes_are_refused(world: World) -> None:
    """By the declared length, before anything is read."""
    app = await connected_agent(world)

    [answer] = await exchange(world.port, raw_request(world, app, request("tools/call", create("x" * TEN_MEGABYTES))))

    assert 413 == answer.status
    assert [] == await databases_of(world)


@pytest.mark.slow
async def test_t89_ten_megabytes_in_chunks_are_refused_and_not_kept(world: World) -> None:
    """Without a declared length, reading ends at the limit: several such bodies do not make the daemon larger."""
    app = await connected_agent(world)
    message = request("tools/call", create("no"))
    head = raw_request(world, app, message).split(b"\r\n\r\n")[0]
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    body = msgspec.json.encode(request("tools/call", create("x" * TEN_MEGABYTES)))
    chunks = b"".join(b"10000\r\n%b\r\n" % body[at : at + 65536] for at in range(0, len(body) - 65536, 65536))
    wire = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    await exchange(world.port, wire)
    before = psutil.Process().memory_info().rss

    answers = [await exchange(world.port, wire) for _ in range(5)]

    assert [] == [it[0].status for it in answers if it and it[0].status not in (400, 413)]
    assert psutil.Process().memory_info().rss - before < 2 * TEN_MEGABYTES
    assert 200 == (await send(world, app.token, "server/discover")).status


@pytest.mark.parametrize("depth", [1_000, 100_000])
async def test_t89_deep_bodies_are_refused(world: World, depth: int) -> None:
    """Nesting is an error of the body, not of the daemon."""
    app = await connected_agent(world)
    headers = headers_for(request("tools/list"))
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":' + b"[" * depth + b"]" * depth + b"}"

    reply = await world.call("POST", "/mcp", body, headers=headers, token=app.token)

    assert reply.status in (400, 413)
    assert 200 == (await send(world, app.token, "server/discover")).status


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff\xfe", b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}', b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}', b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"method":7}', b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}',
        b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}{"jsonrpc":"2.0","id":2,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}', b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
    ],
)  # fmt: skip
async def test_t89_malformed_messages_are_client_errors(world: World, body: bytes) -> None:
    """None is an internal error, and each is answered."""
    app = await connected_agent(world)
    headers = headers_for(request("tools/list"))

    replies = [
        await world.call("POST", "/mcp", body, headers=headers, token=app.token),
        await world.call("POST", "/mcp", body, headers={"Accept": ACCEPT}, token=app.token),
        await world.call(
            "POST", "/mcp", body, headers={"Accept": ACCEPT, "Mcp-Session-Id": "invented"}, token=app.token
        ),
    ]

    assert [] == [reply.text for reply in replies if not 400 <= reply.status < 500 and reply.status != 202]


# --- T90: what an agent was not granted -------------------------------------------------------------------------------


async def listed(world: World, app: App) -> list[dict[str, Any]]:
    """Return the tools that an agent sees."""
    tools: list[dict[str, Any]] = answered(await send(world, app.token, "tools/list"))["result"]["tools"]
    return tools


def is_refused(reply: Reply) -> bool:
    """Return whether a call had no success."""
    answer = answered(reply)
    return "error" in answer or answer["result"].get("isError") is True


async def test_t90_an_agent_with_read_access_sees_no_tool_that_writes(world: World) -> None:
    """Every tool that it sees says that it only reads."""
    app = await connected_agent(world, "databases:read", "connection:read")

    tools = await listed(world, app)

    assert tools
    assert [] == [tool["name"] for tool in tools if not tool["annotations"]["readOnlyHint"]]


async def test_t90_a_tool_that_is_not_seen_cannot_be_called(world: World) -> None:
    """Every tool that an agent with all scopes sees is refused to one with read access, and nothing is changed."""
    reader = await connected_agent(world, "databases:read")
    everything = {tool["name"] for tool in await listed(world, await agent(world, *SCOPES))}
    hidden = sorted(everything - {tool["name"] for tool in await listed(world, reader)})
    database = await world.create("kept")

    replies = {
        name: await send(
            world, reader.token, "tools/call", {"name": name, "arguments": {"database_id": database["id"]}}
        )
        for name in hidden
    }

    assert len(hidden) > 5
    assert [] == [name for name, reply in replies.items() if not is_refused(reply)]
    assert ["kept"] == await databases_of(world)


@pytest.mark.parametrize("scope", ["databases:commands", "databases:credentials"])
async def test_t90_other_agents_databases_are_refused(world: World, scope: str) -> None:
    """With the strong scopes too: an agent reads only what is in databases that it has created itself."""
    app = await connected_agent(world, "databases:read", scope)
    database = await world.create("users")
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "databases:commands": ("redis_run_command", {"command": ["GET", "x"]}),
        "databases:credentials": ("redis_get_database", {"include_credentials": True}),
    }
    name, arguments = calls[scope]

    reply = await send(
        world, app.token, "tools/call", {"name": name, "arguments": {"database_id": database["id"], **arguments}}
    )

    assert is_refused(reply), reply.text
    assert ["users"] == await databases_of(world)


async def test_t90_versions_have_the_same_tools(world: World) -> None:
    """What an agent may do does not depend on how it begins."""
    app = await connected_agent(world, "databases:read")
    expected = [tool["name"] for tool in await listed(world, app)]

    for version in HANDSHAKE:
        headers = {"Accept": ACCEPT}
        start = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        begun = await world.call(
            "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start},
            headers=headers, token=app.token,
        )  # fmt: skip
        assert version == answered(begun)["result"]["protocolVersion"]
        headers |= {"MCP-Protocol-Version": version}
        if "Mcp-Session-Id" in begun.headers:
            headers |= {"Mcp-Session-Id": begun.headers["Mcp-Session-Id"]}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert 202 == (await world.call("POST", "/mcp", ready, headers=headers, token=app.token)).status
        tools = await world.call(
            "POST", "/mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
            headers=headers, token=app.token,
        )  # fmt: skip
        assert expected == [tool["name"] for tool in answered(tools)["result"]["tools"]]


async def test_t90_no_version_gives_what_another_refuses(world: World) -> None:
    """A session is bound to the agent that began it: another one's token is refused with it."""
    app, other = await connected_agent(world), await agent(world)
    start = {"protocolVersion": HANDSHAKE[0], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun = await world.call(
        "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start},
        headers={"Accept": ACCEPT}, token=app.token,
    )  # fmt: skip
    session = begun.headers.get("Mcp-Session-Id")
    if session is None:
        return  # without sessions there is nothing to steal

    headers = {"Accept": ACCEPT, "MCP-Protocol-Version": HANDSHAKE[0], "Mcp-Session-Id": session}
    stolen = await world.call(
        "POST", "/mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
        headers=headers, token=other.token,
    )  # fmt: skip

    assert 404 == stolen.status
