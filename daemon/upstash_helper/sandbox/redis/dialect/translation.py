"""The result of translating a command, and what a translation needs to know about the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from upstash_helper.sandbox.redis.records import MAX_RECORD_BYTES, MAX_REQUEST_BYTES
from upstash_helper.sandbox.redis.resp import Connection, Reply

MAX_SCRIPTS = 10_000
"""How many scripts are remembered for each database. Clients load older ones again after NOSCRIPT."""


class Translation(msgspec.Struct, frozen=True):
    """What is sent to the server in place of a client's command."""

    command: tuple[bytes, ...]
    convert: Callable[[Reply], Reply] | None = None
    """Returns what the client gets in place of the server's reply, which may be an error."""


class Refused(Exception):
    """The command is not sent to the server."""

    def __init__(self, text: bytes) -> None:
        """
        Args:
            text: The error that the client gets, such as ``ERR syntax error``.
        """
        super().__init__(text)
        self.text = text


class Dialect:
    """What is known about one database, for the translation of its clients' commands."""

    def __init__(
        self,
        *,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_record_bytes: int = MAX_RECORD_BYTES,
        functions: bool = True,
    ) -> None:
        self.max_request_bytes = max_request_bytes
        self.max_record_bytes = max_record_bytes
        self.functions = functions
        """Whether the sandbox's functions are loaded into the server (``dialect/functions.py``)."""
        self.restricted: frozenset[bytes] = frozenset()
        """The commands in the server's categories @admin and @dangerous, subcommands as ``config|get``."""
        self.scripts: OrderedDict[bytes, bytes] = OrderedDict()
        """The SHA-1 of each known script: as its client computes it, and as the server does."""
        self.addresses: dict[int, tuple[bytes, bytes]] = {}
        """The two ends of each TCP connection, by the server's client ID. The server sees only a Unix socket."""

        self.after_start: list[Callable[[Connection], Awaitable[None]]] = []
        """Called like ``AFTER_START`` of ``commands``, and after those, for this database only."""
        self.database_id = ""
        """Part of the tokens of database users."""
        self.rest_token_of: Callable[[bytes], bytes | None] = lambda _: None
        """Returns the REST token of a built-in user."""
        self.users_changed: Callable[[], None] = lambda: None
        """Keeps the database users for the next start of the server."""
        self.keep_notifications: Callable[[bytes], None] = lambda _: None
        """Keeps the value of ``notify-keyspace-events`` for the next start of the server."""

    def forget_scripts(self) -> None:
        """Forget all scripts, as a server does when it starts."""
        self.scripts.clear()
