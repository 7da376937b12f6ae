"""The sandbox's process: wires everything, says that it is ready, and ends it all cleanly."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from upstash_helper.sandbox.app import Admin, Applications, compose
from upstash_helper.sandbox.errors import CannotStart
from upstash_helper.sandbox.folder import Folder, default_root
from upstash_helper.sandbox.redis.backend import choose_backend
from upstash_helper.sandbox.redis.servers import free_ports
from upstash_helper.sandbox.redis.tls import Authority
from upstash_helper.sandbox.store import Facts, open_store

FIRST_PORT = 3100
FIRST_REDIRECT_URI = "http://localhost:3000"
FIRST_CLIENT_ID = "upstash-helper-sandbox"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; None and empty mean: as before."""

    data: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    redirect_uris: tuple[str, ...] = ()
    client_id: str | None = None


class Ready(msgspec.Struct, kw_only=True):
    """The line that is printed once everything serves."""

    auth_url: str
    api_url: str
    rest_url: str
    client_id: str
    redirect_uris: list[str]
    admin_url: str
    admin_token: str
    data: str
    backend: Literal["valkey", "fakeredis"]
    tls_ca: str
    pid: int


def run(options: Options) -> int:
    """Run until a signal comes. Return the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    os.umask(0o077)  # whatever is made in here, by Valkey too, is the user's alone
    try:
        asyncio.run(_serve(options))
    except CannotStart as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(options: Options) -> None:
    _require_loopback(options.host)
    stop = _stop_event()
    async with AsyncExitStack() as stack:
        folder = Folder((options.data.expanduser() if options.data else default_root()).absolute())
        connection = open_store(folder.store)
        stack.callback(folder.leave_shared_place)
        stack.callback(connection.close)
        facts = Facts(connection)

        api_socket = stack.enter_context(_listen_for_api(options, facts))
        rest_socket = stack.enter_context(_listen_as_before(options.host, facts, "rest_port"))
        client_id, redirect_uris = _client(options, facts)

        authority = Authority(folder, options.host)
        backend = choose_backend(folder, authority)
        if backend.note:
            _say(backend.note)
        admin = Admin(token=secrets.token_urlsafe(32))
        origin, rest_url = _url(api_socket), _url(rest_socket)
        apps = compose(
            connection=connection,
            folder=folder,
            origin=origin,
            host=options.host,
            backend=backend,
            admin=admin,
            say=_say,
        )
        apps.grants.register_client(client_id, redirect_uris)

        stack.push_async_callback(apps.databases.stop)
        certificate, _ = await asyncio.gather(asyncio.to_thread(authority.ensure), apps.databases.start())
        await _open(stack, apps, api_socket, rest_socket)

        ready = Ready(
            auth_url=origin,
            api_url=origin,
            rest_url=rest_url,
            client_id=client_id,
            redirect_uris=redirect_uris,
            admin_url=origin + admin.path,
            admin_token=admin.token,
            data=str(folder.root),
            backend=backend.kind,
            tls_ca=str(certificate),
            pid=os.getpid(),
        )
        _announce(ready)
        gc.freeze()
        await stop.wait()
        _say("Stopping.")


async def _open(
    stack: AsyncExitStack, apps: Applications, api_socket: socket.socket, rest_socket: socket.socket
) -> None:
    for app, listener in ((apps.api, api_socket), (apps.rest, rest_socket)):
        # Cancelled handlers would leave a database half made; the data plane's commands may block for ever.
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0.5,
            keepalive_timeout=15,
            handler_cancellation=app is apps.rest,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener).start()


def _announce(ready: Ready) -> None:
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    _say(f"The sandbox serves at {ready.auth_url}, its databases' REST API at {ready.rest_url}. Ctrl-C stops it.")


def _say(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _stop_event() -> asyncio.Event:
    """Return what is set when the process shall end."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, on_signal)
    return stop


# --- addresses --------------------------------------------------------------------------------------------------------


def _listen_for_api(options: Options, facts: Facts) -> socket.socket:
    """Listen where we are told to, and nowhere else; or where we were before."""
    if options.port is None:
        return _listen_as_before(options.host, facts, "port", FIRST_PORT)
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        message = (
            f"Port {options.port} of {options.host} cannot be used ({error.strerror}). Choose another one with --port."
        )
        raise CannotStart(message) from error
    facts.put("port", str(listener.getsockname()[1]))
    return listener


def _listen_as_before(host: str, facts: Facts, name: str, first: int | None = None) -> socket.socket:
    """Listen on the port of the last time, and on another one if that is taken now."""
    remembered = facts.get(name)
    before = int(remembered) if remembered else first
    for port in [*([before] if before else []), *free_ports(host)]:
        try:
            listener = _listen(host, port)
        except OSError:
            continue
        if before not in {None, port}:
            _say(f"Port {before} is taken: taking port {port} instead, from now on.")
        facts.put(name, str(port))
        return listener
    raise CannotStart("No port is free.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _require_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise CannotStart(
            f"--host must be a loopback address, such as 127.0.0.1 or ::1, not {host}: this is a sandbox."
        )


# --- the client -------------------------------------------------------------------------------------------------------


def _client(options: Options, facts: Facts) -> tuple[str, list[str]]:
    """Return the OAuth client to register: what the command line says, else what it was before."""
    client_id = options.client_id or facts.get("client_id") or FIRST_CLIENT_ID
    before = facts.get("redirect_uris")
    remembered = msgspec.json.decode(before, type=list[str]) if before else [FIRST_REDIRECT_URI]
    redirect_uris = list(options.redirect_uris) or remembered
    for uri in redirect_uris:
        _require_redirect_uri(uri)
    facts.put("client_id", client_id)
    facts.put("redirect_uris", msgspec.json.encode(redirect_uris).decode())
    return client_id, redirect_uris


def _require_redirect_uri(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        raise CannotStart(f"--redirect-uri must be an absolute http address without a fragment, not {uri}.")
