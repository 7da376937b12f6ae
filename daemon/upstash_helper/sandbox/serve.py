"""The sandbox's process: opens the store and the ports, starts the servers, and shuts them down cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import os
import secrets
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from upstash_helper.sandbox import connections, open_files_limit
from upstash_helper.sandbox.app import AdminAccess, Origins, compose
from upstash_helper.sandbox.errors import StartupError
from upstash_helper.sandbox.folder import Folder, default_root
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.store import RegisteredClient
from upstash_helper.sandbox.redis.backend import choose_backend
from upstash_helper.sandbox.redis.servers import ports_to_try
from upstash_helper.sandbox.redis.tls import CertificateAuthority
from upstash_helper.sandbox.store import KeyValues, open_store
from upstash_helper.system import console, open_files, private_files
from upstash_helper.system.ports import holder
from upstash_helper.system.signals import set_on_signal

DEFAULT_PORT = 3100
DEFAULT_REDIRECT_URI = "http://localhost:3000"
DEFAULT_CLIENT_ID = "upstash-helper-sandbox"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line's options. None and an empty tuple mean: the value of the last start."""

    data: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    redirect_uris: tuple[str, ...] = ()
    client_id: str | None = None
    require_pkce: bool = True
    first_ports: tuple[int, int, int] | None = None
    """The ports of the API, the issuer, and the REST API to prefer at the first start."""
    announce: bool = True
    """Whether to print the JSON. It is always written to the data folder."""
    rest_tls_port: int | None = None
    """The port of the REST API over TLS: 0 for the last one or a free one, None for no TLS."""


class Ready(msgspec.Struct, kw_only=True):
    """The line of JSON printed on standard output, and kept in the data folder, while the sandbox is ready."""

    auth_url: str
    api_url: str
    rest_url: str
    rest_tls_url: str | None
    """The REST API over TLS, if ``--rest-tls-port`` is used."""
    issuer_url: str
    client_id: str
    redirect_uris: list[str]
    admin_url: str
    admin_token: str
    console_url: str
    data: str
    backend: Literal["valkey", "fakeredis"]
    tls_ca: str
    pid: int


def run(options: Options) -> int:
    """Run until SIGINT or SIGTERM. Return the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    open_files_limit.raise_limit()
    os.umask(0o077)  # all files, also those that Valkey creates, are accessible only to the user
    try:
        asyncio.run(_serve(options))
    except StartupError as error:
        _report(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(options: Options) -> None:
    _require_loopback(options.host)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(set_on_signal(stop))
        try:
            root = (options.data.expanduser() if options.data else default_root()).absolute()
        except RuntimeError:  # from both, for a user without a home folder
            raise StartupError("Your home folder is unknown. Choose a folder with --data, or set HOME.") from None
        folder = Folder(root)
        connection = open_store(folder.store)
        stack.callback(folder.remove_socket_folder)
        stack.callback(connection.close)
        values = KeyValues(connection)

        api_port, issuer_port, rest_port = options.first_ports or (DEFAULT_PORT, None, None)
        api_socket = stack.enter_context(_listen_for_api(options, values, api_port))
        rest_socket = stack.enter_context(_listen_on_last_port(options.host, values, "rest_port", rest_port))
        rest_tls_socket = _listen_for_rest_tls(stack, options, values)
        issuer_socket = stack.enter_context(_listen_on_last_port(options.host, values, "issuer_port", issuer_port))
        client_id, redirect_uris = _oauth_client(options, values)

        authority = CertificateAuthority(folder, options.host)
        backend = choose_backend(folder, authority)
        if backend.note:
            _report(backend.note)
        admin = AdminAccess(token=secrets.token_urlsafe(32))
        origin, rest_url, issuer_url = _url(api_socket), _url(rest_socket), _url(issuer_socket)
        rest_tls_url = _url(rest_tls_socket, "https") if rest_tls_socket else None
        apps = compose(
            connection=connection,
            folder=folder,
            origins=Origins(api=origin, issuer=issuer_url, rest=rest_url, rest_tls=rest_tls_url),
            host=options.host,
            backend=backend,
            admin=admin,
            settings=OAuthSettings(require_pkce=options.require_pkce),
            report=_report,
            stop=stop.set,
        )
        apps.partner_clients.register_client(
            RegisteredClient(id=client_id, redirect_uris=redirect_uris, name=client_id)
        )

        stack.push_async_callback(apps.databases.stop)
        certificate, _ = await asyncio.gather(asyncio.to_thread(authority.ensure), apps.databases.start())
        # Cancelling an API handler could leave a database half created. A REST command (BLPOP) can block forever.
        await connections.serve(stack, apps.api, api_socket, cancels=False)
        await connections.serve(
            stack,
            apps.rest,
            rest_socket,
            cancels=True,
            tls_listener=rest_tls_socket,
            tls=await asyncio.to_thread(authority.context) if rest_tls_socket else None,
        )
        await connections.serve(stack, apps.issuer, issuer_socket, cancels=False)

        ready = Ready(
            auth_url=origin,
            api_url=origin,
            rest_url=rest_url,
            rest_tls_url=rest_tls_url,
            issuer_url=issuer_url,
            client_id=client_id,
            redirect_uris=redirect_uris,
            admin_url=origin + admin.path,
            admin_token=admin.token,
            console_url=f"{origin}{admin.path}/console",
            data=str(folder.root),
            backend=backend.kind,
            tls_ca=str(certificate),
            pid=os.getpid(),
        )
        content = msgspec.json.encode(ready) + b"\n"
        stack.callback(_remove, folder.running)
        try:
            private_files.write(folder.running, content)
        except OSError as error:
            raise StartupError(f"Cannot write {folder.running}: {error.strerror}. Check the disk.") from error
        if options.announce:
            console.write_utf8(content)
        how_to_stop = " Press Ctrl-C to stop." if options.announce else ""
        _report(f"Sandbox ready at {ready.auth_url}, with the databases' REST API at {ready.rest_url}.{how_to_stop}")
        if options.announce:
            _report(f"Console (the link works once): {apps.new_console_link()}")
        gc.freeze()
        await stop.wait()
        _report("Stopping.")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        open_files.remove(path)


def _report(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


# --- addresses --------------------------------------------------------------------------------------------------------


def _listen_for_api(options: Options, values: KeyValues, default: int) -> socket.socket:
    """
    Listen on the port that the command line names, or else on the last one used, or else on ``default``.

    Raises:
        StartupError: If the named port cannot be used.
    """
    if options.port is None:
        return _listen_on_last_port(options.host, values, "port", default)
    listener = _listen_on(options.host, options.port, "--port")
    values.put("port", str(listener.getsockname()[1]))
    return listener


def _listen_for_rest_tls(stack: AsyncExitStack, options: Options, values: KeyValues) -> socket.socket | None:
    """
    Listen for the REST API over TLS if the options ask for it. ``stack`` closes the socket.

    Raises:
        StartupError: If the named port cannot be used.
    """
    if options.rest_tls_port is None:
        return None
    if options.rest_tls_port == 0:
        return stack.enter_context(_listen_on_last_port(options.host, values, "rest_tls_port"))
    return stack.enter_context(_listen_on(options.host, options.rest_tls_port, "--rest-tls-port"))


def _listen_on(host: str, port: int, option: str) -> socket.socket:
    try:
        return _listen(host, port)
    except OSError as error:
        message = (
            f"Cannot listen on port {port} of {host}: {_reason(error, host, port)}. Choose another one with {option}."
        )
        raise StartupError(message) from error


def _listen_on_last_port(host: str, values: KeyValues, name: str, default: int | None = None) -> socket.socket:
    """Listen on the port of the last start, or on another one if it is in use."""
    stored = values.get(name)
    preferred = int(stored) if stored else default
    for port in ports_to_try(host, preferred):
        try:
            listener = _listen(host, port)
        except OSError:
            continue
        if preferred not in {None, port}:
            _report(f"Port {preferred} is in use by {holder(host, preferred)}. Using port {port} from now on.")
        values.put(name, str(port))
        return listener
    raise StartupError("No port is free.")


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"it is in use by {holder(host, port)}"
    return error.strerror or type(error).__name__


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


def _url(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()[:2]
    authority = f"[{host}]" if ":" in host else host
    return f"{scheme}://{authority}" if (scheme, port) == ("https", 443) else f"{scheme}://{authority}:{port}"


def _require_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(
            f"--host must be a loopback address, such as 127.0.0.1 or ::1, not {host}: the sandbox is for this machine "
            "only."
        )


# --- the OAuth client -------------------------------------------------------------------------------------------------


def _oauth_client(options: Options, values: KeyValues) -> tuple[str, list[str]]:
    """Return the ID and redirect URIs of the client to register: from the command line, else from the last start."""
    client_id = options.client_id or values.get("client_id") or DEFAULT_CLIENT_ID
    stored = values.get("redirect_uris")
    last_used = msgspec.json.decode(stored, type=list[str]) if stored else [DEFAULT_REDIRECT_URI]
    redirect_uris = list(options.redirect_uris) or last_used
    for uri in redirect_uris:
        _require_redirect_uri(uri)
    values.put("client_id", client_id)
    values.put("redirect_uris", msgspec.json.encode(redirect_uris).decode())
    return client_id, redirect_uris


def _require_redirect_uri(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        raise StartupError(f"--redirect-uri must be an absolute http(s) URL without a fragment, not {uri}.")
