"""One call of the daemon: what is sent, and how its answer is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from upstash_helper.client.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from upstash_helper.client.transport import Transport
    from upstash_helper.protocol.wire import Wanted

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Calls:
    """What the methods of a client are made of. It keeps nothing between two calls."""

    def __init__(self, transport: Transport, *, timeout: float, daemon_version: str) -> None:
        """
        Args:
            transport: Sends the requests.
            timeout: Seconds to wait for an answer.
            daemon_version: The version the daemon announced, to explain an answer that cannot be read.
        """
        self._transport = transport
        self._timeout = timeout
        self._daemon_version = daemon_version

    @property
    def base_url(self) -> str:
        """Where the daemon is."""
        return self._transport.base_url

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[_Answer],
        *,
        body: Wanted | None = None,
        headers: dict[str, str] | None = None,
    ) -> _Answer:
        return self._decode(self._send(method, path, body=body, headers=headers), kind)

    def _send(
        self, method: str, path: str, *, body: Wanted | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        with self._transport.open(method, path, body=content, headers=headers, timeout=self._timeout) as response:
            return self._transport.read(response)

    def _decode(self, content: bytes, kind: type[_Answer]) -> _Answer:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            why = f"it has version {self._daemon_version}" if self._daemon_version else "it may be another program"
            message = f"The answer of {self.base_url} cannot be read ({why}). Try: upstash-helper restart"
            raise UnexpectedAnswer(message) from error
