"""
The daemon in the test's own process, on real sockets, with the sandbox as Upstash.

Only what belongs to the machine is replaced: the clock if time must pass, the browser, the notifications, the
credential store, and the state of the loopback addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec
from yarl import URL

from tests.support import open_sign_in
from upstash_helper.protocol import wire
from upstash_helper.runtime.callback_port import CallbackPort, all_listeners
from upstash_helper.runtime.compose import Daemon, Machine, compose
from upstash_helper.runtime.listeners import open_first_free
from upstash_helper.runtime.numeric_address import NumericAddress
from upstash_helper.runtime.serve import serve
from upstash_helper.settings.config import Profile, Settings
from upstash_helper.settings.profiles import Folders
from upstash_helper.storage.credentials.file_store import MemoryStore
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.storage.registrations import RegistrationFile
from upstash_helper.storage.tombstones import TombstoneFile
from upstash_helper.system.clock import SystemClock
from upstash_helper.system.peers import SystemPeers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.ports import Clock, CredentialStore, Peers

PASSWORD = "correct horse battery staple"


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Browser:
    """The ``Browser`` port, which records the URLs."""

    def __init__(self) -> None:
        self.opened: list[str] = []

        self.links: list[str | None] = []

    async def open(self, url: str, *, link: str | None = None) -> bool:
        """Record ``url``."""
        self.opened.append(url)
        self.links.append(link)
        return True


class Desktop:
    """The ``Notifier`` port, which records the notifications."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    async def show(self, *, title: str, body: str) -> bool:
        """Record the notification."""
        self.shown.append((title, body))
        return True


class Loopback:
    """The ``CallbackAddress`` port. A test decides whether another program has the port."""

    def __init__(self) -> None:
        self.taken: str | None = None
        self.held = False
        """Whether the address is taken for a sign-in."""

    async def conflict(self) -> str | None:
        """Return what the test has set."""
        return self.taken

    async def take(self) -> str | None:
        """Return what the test has set."""
        self.held = self.taken is None
        return self.taken

    async def release(self) -> None:
        """Record that the address was released."""
        self.held = False

    def listeners(self) -> tuple[wire.Listener, ...]:
        """Return the listeners of a daemon without a conflict."""
        return (wire.Listener(address="127.0.0.1", state="listening", holder=None),)


@dataclass(frozen=True)
class Reply:
    """A response that was read completely."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.headers
        return str(self.json["code"])


@dataclass(frozen=True)
class App:
    """An app with access."""

    id: str
    token: str
    origin: str | None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the app's requests: its token, and for a page what a browser adds."""
        sent = {"Authorization": f"Bearer {self.token}"}
        return sent if self.origin is None else {**sent, **as_page(self.origin)}


def continued(reply: Reply) -> str:
    """Return the address to which a browser continues after the OAuth redirect."""
    found = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)">', reply.text)
    assert found, reply.text
    return found[1]


def as_page(origin: str) -> dict[str, str]:
    """Return the headers that a browser adds to a page's fetch."""
    site = "same-site" if "localhost" in origin else "cross-site"
    return {"Origin": origin, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@dataclass
class World:
    """A running daemon, and what a test needs to talk to it."""

    daemon: Daemon
    settings: Settings
    browser: Browser
    loopback: Loopback
    desktop: Desktop
    store: CredentialStore
    ledger: Ledger
    sandbox: Sandbox
    session: aiohttp.ClientSession
    stop: asyncio.Event
    email: str
    port: int
    """Port of the API. It differs from ``settings.port`` with ``port_policy="on-demand"``."""
    serving: asyncio.Task[None]
    traffic: list[bytes] = field(default_factory=list)
    """Every response of the daemon, as it went over the wire without framing."""

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        tmp_path: Path,
        sandbox: Sandbox,
        port: int,
        *,
        store: CredentialStore | None = None,
        ledger: Ledger | None = None,
        clock: Clock | None = None,
        peers: Peers | None = None,
        in_wsl: bool = False,
        **settings: Any,
    ) -> AsyncIterator[Self]:
        """
        Start a daemon on ``port``, and stop it on leaving. With ``port_policy="on-demand"``, ``port`` is the callback
        port on real sockets, and the API is on ``api_port``.
        """
        values = {
            "port": port,
            "client_id": sandbox.client_id,
            "auth_url": sandbox.auth_url,
            "api_url": sandbox.api_url,
            "rest_url": sandbox.rest_url,
            "open_browser": False,
            "issuer_url": sandbox.issuer_url,
            **settings,
        }
        chosen = Settings(**values)
        folders = Folders(
            config=tmp_path / "config", state=tmp_path / "state", runtime=tmp_path / "run", logs=tmp_path / "log"
        )
        browser, loopback, store, stop = Browser(), Loopback(), store or MemoryStore(), asyncio.Event()
        desktop, clock = Desktop(), clock or SystemClock()
        ledger = ledger or SqliteLedger(folders.ledger_file, monotonic=clock.monotonic, wall=clock.time)
        listeners = open_first_free(chosen.api_ports)
        callback_port = CallbackPort(port) if chosen.port_policy == "on-demand" else None
        machine = Machine(
            clock=clock,
            browser=browser,
            store=store,
            ledger=ledger,
            peers=peers or SystemPeers(),
            notifier=desktop,
            port=listeners.port,
            callback=callback_port or loopback,
            numeric=NumericAddress(listeners, clock),
            listeners=functools.partial(all_listeners, listeners, callback_port)
            if callback_port
            else loopback.listeners,
            registrations=RegistrationFile(folders.registration_file),
            client_name="upstash-helper (test)",
            tombstones=TombstoneFile(*folders.tombstone_files),
            in_wsl=in_wsl,
        )
        profile = Profile(name="test", folders=folders, settings=chosen, sources={})
        daemon = compose(machine, profile, stop=stop)
        listeners.on_recovered = daemon.rename_pages
        ready = asyncio.Event()

        @contextlib.contextmanager
        def announced() -> Iterator[None]:
            ready.set()
            yield

        async def served() -> None:
            async with contextlib.AsyncExitStack() as stack:
                if callback_port and daemon.callback_app:
                    await stack.enter_async_context(callback_port.served_by(daemon.callback_app, counts=daemon.counts))
                await serve(daemon.app, listeners, stop=stop, counts=daemon.counts, announced=announced)

        serving = asyncio.create_task(served())
        await ready.wait()
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{listeners.port}", auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            email = f"user-{secrets.token_hex(6)}@example.com"
            try:
                yield cls(
                    daemon=daemon,
                    settings=chosen,
                    browser=browser,
                    loopback=loopback,
                    desktop=desktop,
                    store=store,
                    ledger=ledger,
                    sandbox=sandbox,
                    session=session,
                    stop=stop,
                    email=email,
                    port=listeners.port,
                    serving=serving,
                )
            finally:
                stop.set()
                await serving

    @property
    def pages(self) -> str:
        """The origin of the owner's pages."""
        return self.daemon.pages_origin()

    def at_pages(self, **headers: str) -> dict[str, str]:
        """Return the headers of a request to the origin of the owner's pages."""
        return {"Host": self.pages.removeprefix("http://"), **headers}

    def as_own_page(self, *, get: bool = False) -> dict[str, str]:
        """Return the headers that a browser adds to a fetch of one of the owner's pages."""
        sent = self.at_pages(**{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})
        return sent if get else {**sent, "Origin": self.pages}

    @property
    def owner(self) -> str:
        """The owner's token."""
        return self.daemon.tokens.owner_token.reveal()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = "",
    ) -> Reply:
        """
        Send one request.

        Args:
            method: The method.
            path: The path and query.
            body: Sent as JSON. Bytes are sent unchanged, with the JSON content type.
            headers: Headers besides the token and the content type.
            token: The token. Default: the owner's. None sends no token.
        """
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.owner}")
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, path, data=data, headers=sent, allow_redirects=False, skip_auto_headers=("Content-Type",)
        ) as response:
            reply = Reply(response.status, response.headers, await response.read())
        self.traffic.append(repr(sorted(reply.headers.items())).encode() + reply.body)
        return reply

    async def get(self, path: str, **options: Any) -> Reply:
        """Send a GET."""
        return await self.call("GET", path, **options)

    async def page(self, address: str, **headers: str) -> Reply:
        """Get one of the owner's pages, as a browser does that resolves its name."""
        path = address.removeprefix(self.pages) or "/"
        return await self.get(path, headers=self.at_pages(**headers), token=None)

    # --- the user -----------------------------------------------------------------------------------------------------

    async def start(self, **wanted: Any) -> dict[str, Any]:
        """Start an attempt."""
        reply = await self.call("POST", "/v1/connection", wanted)
        assert reply.status == 202, reply.text
        started: dict[str, Any] = reply.json
        return started

    async def land(self, address: str, **headers: str) -> Reply:
        """Follow the authorization server's redirect as a browser does."""
        target = URL(address, encoded=True)
        port = self.port if target.path == "/callback" else self.settings.port  # or the callback port
        fetch = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        url = f"http://127.0.0.1:{port}{target.raw_path_qs}"
        return await self.get(url, headers={**fetch, **headers}, token=None)

    async def sign_in(self, started: dict[str, Any], **choice: Any) -> str:
        """
        Sign up at the sandbox, and return the redirect's URL.

        Args:
            started: The attempt.
            choice: For the open sign-in, the arguments of ``open_sign_in.allow``. Default: full access.
        """
        if self.settings.flow == "open":
            choice = {"full_access": True, **choice}
            return await open_sign_in.allow(started["authorization_url"], self.email, PASSWORD, **choice)
        return await self.sandbox.authorize(started["authorization_url"], self.email, PASSWORD)

    async def settled(self, attempt_id: str) -> dict[str, Any]:
        """Wait until an attempt has ended, and return it."""
        async with asyncio.timeout(40):
            while True:
                attempt: dict[str, Any] = (await self.get(f"/v1/connection/attempts/{attempt_id}")).json
                if attempt["state"] not in ("pending", "exchanging"):
                    return attempt
                await asyncio.sleep(0.01)

    async def connect(self, *, force: bool = False, **choice: Any) -> dict[str, Any]:
        """Connect an account, from the start of the attempt to the stored credential; ``choice`` as for ``sign_in``."""
        started = await self.start(force=force)
        await self.land(await self.sign_in(started, **choice))
        attempt = await self.settled(started["attempt_id"])
        assert attempt["state"] == "succeeded", attempt
        connection: dict[str, Any] = (await self.get("/v1/connection")).json
        return connection

    async def ask(
        self, *scopes: str, origin: str | None = None, name: str = "Test app", reason: str = "", audience: str = "api"
    ) -> Reply:
        """Request access, as the page of ``origin`` or as a native program (the test itself)."""
        headers = {} if origin is None else as_page(origin)
        body = {"name": name, "scopes": scopes or ("connection:read",), "reason": reason, "audience": audience}
        return await self.call("POST", "/v1/pairings", body, headers=headers, token=None)

    async def pair(
        self, *scopes: str, origin: str | None = None, name: str = "Test app", audience: str = "api", **granted: Any
    ) -> App:
        """Give an app access, from its request to its token. ``granted`` is the body of the approval."""
        asked = await self.ask(*scopes, origin=origin, name=name, audience=audience)
        assert asked.status == 202, asked.text
        pairing = asked.json
        approved = await self.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
        assert approved.status == 200, approved.text
        headers = {} if origin is None else as_page(origin)
        fetched = await self.call(
            "POST", f"/v1/pairings/{pairing['id']}/token", headers=headers, token=pairing["poll_secret"]
        )
        assert fetched.status == 200, fetched.text
        return App(id=fetched.json["app_id"], token=fetched.json["token"], origin=origin)

    async def as_app(self, app: App, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send one request as ``app``."""
        return await self.call(method, path, body, headers={**app.headers, **headers}, token=None)

    async def create(self, name: str = "db", **wanted: Any) -> dict[str, Any]:
        """Create a database."""
        key = f"{name}-{id(wanted):x}-{len(self.traffic)}"
        body = {"name": name, "primary_region": "us-east-1", **wanted}
        reply = await self.call("POST", "/v1/databases", body, headers={"Idempotency-Key": key})
        assert reply.status == 201, reply.text
        database: dict[str, Any] = reply.json
        return database
