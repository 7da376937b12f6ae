"""T54: every route with every method, token, origin, and kind of fetch."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
import pytest

from tests.support.clock import FakeClock
from tests.support.world import World
from upstash_helper.api.server.openapi import statuses
from upstash_helper.broker.apps.registry import token_digest
from upstash_helper.broker.identity import SCOPES, Identity
from upstash_helper.broker.ledger import App
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.api.server.routes import Policy, Route

PAGE, EXTENSION = "https://app.example.com", "chrome-extension://" + "a" * 32
OTHER, UNAPPROVED = "https://other.example.com", "https://unapproved.example"

Token = Literal["none", "bad", "owner", "native", "web", "extension", "agent"]
Origin = Literal["none", "own", "approved", "unapproved", "null", "own_page", "shared"]
Fetch = Literal["absent", "none", "same-origin", "same-site cors", "cross-site cors", "cross-site no-cors"]

IDENTITIES: Final[dict[str, Identity]] = {
    "native": Identity(kind="native", name="/usr/bin/app"),
    "web": Identity(kind="web", name=PAGE),
    "extension": Identity(kind="extension", name=EXTENSION),
    "other": Identity(kind="web", name=OTHER),
}
TOKENS: Final[tuple[Token, ...]] = ("none", "bad", "owner", "native", "web", "extension", "agent")
ORIGINS: Final[tuple[Origin, ...]] = ("none", "own", "approved", "unapproved", "null", "own_page", "shared")
FETCHES: Final[tuple[Fetch, ...]] = (
    "absent", "none", "same-origin", "same-site cors", "cross-site cors", "cross-site no-cors",
)  # fmt: skip
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
# Revokes the calling app's token. It gets a separate app, so that the others remain.
ENDING: Final = {("DELETE", "/v1/token"), ("POST", "/v1/token/rotate")}


class Cell(NamedTuple):
    """A sender: its token, its origin, and its Fetch Metadata."""

    token: Token
    scoped: bool
    """Whether it has every scope; otherwise it has all but the one that the route requires."""
    origin: Origin
    fetch: Fetch


def cells() -> Iterator[Cell]:
    """All possible cells: only pages and extensions have an origin, and only apps have scopes."""
    for token, scoped, origin, fetch in product(TOKENS, (True, False), ORIGINS, FETCHES):
        if origin == "own" and token not in ("web", "extension"):
            continue
        if not scoped and token not in IDENTITIES:
            continue
        yield Cell(token, scoped, origin, fetch)


# --- the oracle -------------------------------------------------------------------------------------------------------

ALLOWED: Final = (0, "allowed")
DENIED_ORIGIN: Final = (403, "origin_not_allowed")
CROSS_SITE: Final = (403, "cross_site_request")
GUARD_CODES: Final = {
    "cross_site_request", "origin_not_allowed", "origin_mismatch", "token_required", "invalid_token", "owner_only",
    "insufficient_scope", "wrong_user", "forbidden", "host_not_allowed",
}  # fmt: skip


def expected(route: Route, cell: Cell) -> tuple[int, str]:  # noqa: C901, PLR0911 - a table, in words
    """Return the status that the access table requires, computed from the route's declared policy only."""
    if cell.origin == "null":
        return DENIED_ORIGIN
    if is_cross_site(route, cell):
        return CROSS_SITE
    if route.policy.audience == "mcp" and cell.origin != "none":
        return DENIED_ORIGIN
    match route.policy.access:
        case "open":
            return ALLOWED
        case "page" if cell.origin == "shared":
            return (404, "not_found")
        case "own_page":
            return ALLOWED if cell.origin == "own_page" else DENIED_ORIGIN
        case "page" | "landing":
            return ALLOWED if cell.origin in ("none", "own_page") else DENIED_ORIGIN
        case "form":
            is_here = cell.origin in ("shared", "own_page") and cell.fetch in ("absent", "same-origin")
            return ALLOWED if is_here else DENIED_ORIGIN
        case "pairing" | "program" if cell.origin == "none":
            allowed = cell.fetch == "absent" or (route.method == "GET" and cell.fetch == "none")
            return ALLOWED if allowed else CROSS_SITE
        case "pairing" | "program" as access:
            return DENIED_ORIGIN if access == "program" or cell.origin in ("own_page", "shared") else ALLOWED
        case _:
            return with_token(route, cell)


def at_pages(route: Route | None, cell: Cell) -> bool:
    """Return whether the request is sent to the origin of the owner's pages: by one of them, or for one."""
    for_page = route is not None and route.policy.access in ("page", "own_page")
    return cell.origin == "own_page" or (for_page and cell.origin != "shared")


def is_cross_site(route: Route | None, cell: Cell) -> bool:
    """Return whether a browser sent it for another page that it does not name."""
    if route is not None and route.policy.embeddable and route.method == "GET":
        return False
    if cell.fetch == "same-origin" and not at_pages(route, cell):
        return cell.origin == "none"  # a page that another program left open at the shared address
    return cell.fetch == "cross-site no-cors" or (cell.fetch.endswith(" cors") and cell.origin == "none")


def with_token(route: Route, cell: Cell) -> tuple[int, str]:  # noqa: PLR0911 - like ``expected``
    """Return the same for a route that requires a token."""
    policy = route.policy
    if cell.token in ("none", "bad"):
        if cell.origin == "unapproved" and not policy.readable:
            return DENIED_ORIGIN
        return (401, "token_required" if cell.token == "none" else "invalid_token")
    no_page = cell.origin == "none" and cell.fetch in ("absent", "none")
    from_bound_sender = {
        "owner": no_page,
        "native": no_page,
        "web": cell.origin == "own",
        "extension": cell.origin == "own" or (no_page and route.method in ("GET", "HEAD")),
        "agent": no_page,
    }[cell.token]
    if not from_bound_sender:
        return (403, "origin_mismatch")
    if (cell.token == "agent") != (policy.audience == "mcp"):
        return (401, "invalid_token")
    if policy.access == "owner":
        return ALLOWED if cell.token == "owner" else (403, "owner_only")
    if policy.scope is not None and not cell.scoped:
        return (403, "insufficient_scope")
    return ALLOWED


def may_read(policy: Policy | None, cell: Cell) -> bool:
    """Return whether the sender's page may read the response."""
    if policy is not None and (policy.audience == "mcp" or policy.access in ("program", "form")):
        return False
    if cell.origin == "unapproved":
        return policy is not None and (policy.access == "pairing" or policy.readable)
    return cell.origin in ("own", "approved")


# --- the daemon -------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """A response."""

    status: int
    code: str
    readable: str | None
    """The origin that may read it."""


@dataclass
class ReopeningConnection:
    """A connection that is reopened whenever it was closed."""

    port: int
    reader: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)
    writer: asyncio.StreamWriter | None = None
    sent: int = 0

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        """Send a request and return its response."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        sent = {"Host": f"localhost:{self.port}", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        self.sent += 1
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        text = b""
        if "content-length" in fields and method != "HEAD":
            text = await self.reader.readexactly(int(fields["content-length"]))
        if "transfer-encoding" in fields or fields.get("connection") == "close":
            self.close()
        problem = fields.get("content-type", "").startswith("application/problem+json") and text
        code = msgspec.json.decode(text)["code"] if problem else ""
        return Answer(int(head[0].split(" ")[1]), code, fields.get("access-control-allow-origin"))

    def close(self) -> None:
        """Close it. The next request opens a new one."""
        if self.writer is not None:
            self.writer.close()
        self.writer = None


@dataclass
class MatrixDaemon:
    """A daemon with an app of each kind, each with all scopes and with all but one."""

    world: World
    clock: FakeClock
    connection: ReopeningConnection

    async def send(self, method: str, path: str, route: Route | None, cell: Cell, token: str | None = None) -> Answer:
        """Send the request of a cell."""
        self.clock.advance(0.25)  # no caller reaches its rate limit
        scope = None if route is None else route.policy.scope
        sent = headers_of(cell)
        given = token or token_of(self.world, cell, missing=scope)
        if given is not None:
            sent["Authorization"] = f"Bearer {given}"
        has_body = route is not None and route.policy.body == "json"
        if at_pages(route, cell):
            sent |= self.world.at_pages()
        return await self.connection.send(method, path, self.replaced(sent), b"{}" if has_body else None)

    def replaced(self, headers: dict[str, str]) -> dict[str, str]:
        """Insert our own origins."""
        shared = f"http://localhost:{self.world.settings.port}"
        own = {"{shared}": shared, "{pages}": self.world.pages}
        return {name: own.get(value, value) for name, value in headers.items()}


def origin_of(cell: Cell) -> str | None:
    """Return the value of ``Origin``."""
    own = IDENTITIES[cell.token].origin if cell.token in IDENTITIES else None
    return {
        "none": None, "own": own, "approved": OTHER, "unapproved": UNAPPROVED, "null": "null",
        "own_page": "{pages}", "shared": "{shared}",
    }[cell.origin]  # fmt: skip


def headers_of(cell: Cell) -> dict[str, str]:
    """Return the headers that a browser adds."""
    origin = origin_of(cell)
    headers = {} if origin is None else {"Origin": origin}
    if cell.fetch == "absent":
        return headers
    site, _, mode = cell.fetch.partition(" ")
    return {**headers, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode or "cors", "Sec-Fetch-Dest": "empty"}


def token_of(world: World, cell: Cell, *, missing: str | None) -> str | None:
    """Return the token; ``missing``: the scope that it lacks, if the cell requires that."""
    match cell.token:
        case "none":
            return None
        case "bad":
            return "uha_" + "x" * 43
        case "owner":
            return world.owner
        case _:
            return name_of(cell.token, None if cell.scoped else missing)


def name_of(kind: str, missing: str | None) -> str:
    """Return an app's token: a name, so that the test knows it before the daemon runs."""
    return f"uha_{kind}_without_{missing}"


async def approve_all_apps(ledger: SqliteLedger, now: float) -> None:
    """Write the apps to the ledger, like an earlier run of the daemon. None is revoked for misuse."""
    for kind, missing in (*product(IDENTITIES, (None, *SCOPES)), ("agent", None)):
        token = name_of(kind, missing)
        identity = IDENTITIES["native" if kind == "agent" else kind]
        await ledger.apps.save(
            App(
                id=token, name=kind, identity=identity, scopes=tuple(it for it in SCOPES if it != missing),
                digest=token_digest(token.encode()), created_at=now, last_used_at=now, mismatches=-1_000_000,
                audience="mcp" if kind == "agent" else "api",
            )
        )  # fmt: skip


@pytest.fixture
async def daemon(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[MatrixDaemon]:
    """A daemon whose clock advances with each request, so that only the request decides."""
    clock, ledger = FakeClock(), SqliteLedger(None)
    await approve_all_apps(ledger, clock.time())
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger) as world:
        connection = ReopeningConnection(daemon_port)
        with contextlib.closing(connection):
            yield MatrixDaemon(world, clock, connection)


def path_of(route: Route) -> str:
    return route.path.replace("{path:.+}", "v2/redis/databases").replace("{", "").replace("}", "")


def mismatch(route: Route, cell: Cell, answer: Answer, origin: str | None) -> str | None:
    """Return how a response differs from the expectation, or None."""
    status, code = expected(route, cell)
    if answer.status >= 500:
        return "an internal error"
    if answer.status not in statuses(route):
        return "not documented"
    if status == 0 and answer.code in GUARD_CODES:
        return f"expected to be allowed, got {answer.code}"
    if status != 0 and (status, code) != (answer.status, answer.code or code):
        return f"expected {status} {code}"
    if answer.readable != (origin if may_read(route.policy, cell) else None):
        return f"readable by {answer.readable}"
    return None


# --- T54 --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_t54_every_route_enforces_its_policy_for_every_sender(daemon: MatrixDaemon) -> None:
    """
    The status follows from the declared policy, it is documented and never an internal error, and the page may read
    the response exactly if it should.
    """
    all_cells = list(cells())
    found: list[tuple[str, str, Cell, Answer, str]] = []
    for number, route in enumerate(daemon.world.daemon.routes):
        if route.path == "/v1/daemon/stop":
            continue
        # The six methods of the pass-through differ only in scope, so four are tested with every seventh cell.
        sampled = "{path" in route.path and route.method not in ("GET", "POST")
        for cell in all_cells[number % 7 :: 7] if sampled else all_cells:
            token = None
            if (route.method, route.path) in ENDING and cell.token in IDENTITIES and expected(route, cell) == ALLOWED:
                daemon.clock.advance(60)  # nor the limit of access requests
                identity = IDENTITIES[cell.token]
                token = (await daemon.world.pair("connection:read", origin=identity.origin)).token
            answer = await daemon.send(route.method, path_of(route), route, cell, token)
            origin = daemon.replaced(headers_of(cell)).get("Origin")
            what = mismatch(route, cell, answer, origin)
            if what is not None:
                found.append((route.method, route.path, cell, answer, what))

    assert [] == found[:20]
    assert daemon.connection.sent > 8_000


async def test_t54_other_methods_are_denied_for_every_sender(daemon: MatrixDaemon) -> None:
    """A method that a path does not have is a 405 for every acceptable sender, with or without a token."""
    paths: dict[str, set[str]] = {}
    for route in daemon.world.daemon.routes:
        paths.setdefault(path_of(route), set()).add(route.method)
    some = list(cells())[::11]
    found: list[object] = []
    for path, method in product(paths, METHODS):
        if method in paths[path] or path == "/v1/daemon/stop":
            continue
        for cell in some:
            answer = await daemon.send(method, path, None, cell)
            denied = cell.origin == "null" or is_cross_site(None, cell)
            if answer.status != (403 if denied else 405):
                found.append((method, path, cell, answer))

    assert [] == found[:20]


async def test_t54_preflights_follow_the_policy(daemon: MatrixDaemon) -> None:
    """A preflight is allowed exactly for requests that the page may send. Its token does not matter."""
    found: list[object] = []
    for route, cell in product(daemon.world.daemon.routes, list(cells())[::5]):
        if cell.origin == "none":
            continue
        sent = {**daemon.replaced(headers_of(cell)), "Access-Control-Request-Method": route.method}
        if at_pages(route, cell):
            sent |= daemon.world.at_pages()
        token = token_of(daemon.world, cell, missing=None)
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        answer = await daemon.connection.send("OPTIONS", path_of(route), sent, None)
        refused = is_cross_site(None, cell) or not may_read(route.policy, cell)
        readable = sent["Origin"] if may_read(route.policy, cell) else None
        is_not_here = route.policy.access == "page" and cell.origin == "shared" and not is_cross_site(None, cell)
        denied = 404 if is_not_here else 403
        if (answer.status, answer.readable) != (denied if refused else 204, readable):
            found.append((route.method, route.path, cell, answer))

    assert [] == found[:20]


async def test_t54_oracle_allows_and_denies_every_kind_of_caller(daemon: MatrixDaemon) -> None:
    """The oracle is not trivial: it allows each kind of caller somewhere, and denies it somewhere."""
    routes = [route for route in daemon.world.daemon.routes if route.policy.access == "token"]

    for token in ("owner", "native", "web", "extension", "agent"):
        results = {expected(route, cell) for route in routes for cell in cells() if cell.token == token}
        assert {ALLOWED, CROSS_SITE, DENIED_ORIGIN, (403, "origin_mismatch")} <= results
