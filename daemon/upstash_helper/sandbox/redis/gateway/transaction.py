"""A client's transaction. If a reply in it must be converted, the gateway has to find all of its replies."""

from __future__ import annotations

from collections.abc import Callable

from upstash_helper.sandbox.redis.gateway.expectations import Expectation, Marker, NextReply
from upstash_helper.sandbox.redis.gateway.replies import Unparsed, array_items, encode, parse_reply
from upstash_helper.sandbox.redis.resp import Reply

Convert = Callable[[Reply], Reply]


class Transaction:
    """The commands between MULTI and EXEC."""

    def __init__(self, position: int, *, silent: bool, not_begun: Callable[[], None]) -> None:
        """
        Args:
            position: Where MULTI is among the parts that are about to be sent. A marker can be inserted there.
            silent: Whether the server does not reply to MULTI, so that no reply can be found.
            not_begun: Called if MULTI fails.
        """
        self.position = position
        self.silent = silent
        self.tracked = False
        """Whether every reply since MULTI is expected."""
        self.converts = False
        """Whether a reply has to be converted."""
        self.expected: list[Expectation] = [NextReply(self._begun)]
        """The expectations since MULTI, until the transaction is tracked."""
        self._not_begun = not_begun
        self._failed = False
        self._converters: list[Convert | None] = []

    def add(self, convert: Convert | None) -> NextReply:
        """Return the expectation about the reply to a command in the transaction."""
        if convert:
            self.converts = True

        def queued(raw: bytes) -> bytes:
            if raw == b"+QUEUED\r\n":
                self._converters.append(convert)
            elif self._failed and convert:
                return converted(raw, convert, 2)
            return raw

        return NextReply(queued)

    def markers(self) -> list[Expectation]:
        """Return only the markers: the other replies can be passed on."""
        return [expected for expected in self.expected if isinstance(expected, Marker)]

    def executed(self, protocol: Callable[[], int]) -> NextReply:
        """Return the expectation about the reply to EXEC."""

        def handle(raw: bytes) -> bytes:
            replies = array_items(raw)
            if replies is None or len(replies) != len(self._converters):
                return raw  # the transaction has failed
            changed = [
                converted(reply, convert, protocol()) if convert else reply
                for reply, convert in zip(replies, self._converters, strict=True)
            ]
            return b"*%d\r\n" % len(changed) + b"".join(changed)

        return NextReply(handle)

    def _begun(self, raw: bytes) -> bytes:
        if not raw.startswith(b"+"):
            self._failed = True
            self._not_begun()
        return raw


def converted(raw: bytes, convert: Convert, protocol: int) -> bytes:
    """Return a converted reply. One of a type that only RESP3 has is passed on."""
    reply = parse_reply(raw)
    if isinstance(reply, Unparsed):
        return raw
    changed = convert(reply)
    return raw if changed is reply else encode(changed, protocol)
