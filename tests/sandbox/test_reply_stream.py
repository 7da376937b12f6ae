"""How the gateway finds single replies in a server's stream, and how it splits a client's stream into commands."""

from __future__ import annotations

import random
import re
import time

import pytest

from tests.sandbox.gateway_clients import encode
from upstash_helper.sandbox.redis.gateway.expectations import Marker, NextReply, Replies
from upstash_helper.sandbox.redis.gateway.replies import encode as encode_reply
from upstash_helper.sandbox.redis.gateway.replies import parse_reply
from upstash_helper.sandbox.redis.gateway.requests import Command, Malformed, Oversized, RequestReader
from upstash_helper.sandbox.redis.inline import UnbalancedQuotes, split_inline

NESTED = b"*3\r\n:1\r\n*2\r\n$3\r\na\r\n\r\n$-1\r\n%1\r\n+k\r\n=5\r\ntxt:v\r\n"
PUSH = b">2\r\n+message\r\n$2\r\nhi\r\n"


def reply_to(replies: Replies, marker: Marker, *, fails_transaction: bool) -> bytes:
    """Return the server's reply to a marker."""
    command = replies.encode_marker(marker, fails_transaction=fails_transaction)
    (name,) = re.findall(rb"[0-9a-f]{32}\.\d+", command)
    if fails_transaction:
        return b"-ERR unknown command '%b', with args beginning with: \r\n" % name
    return b"-ERR Syntax error in HELLO option '%b'\r\n" % name


@pytest.mark.parametrize("fails_transaction", [False, True])
def test_reply_is_found_however_the_stream_is_cut(fails_transaction: bool) -> None:  # noqa: FBT001
    """
    A marker is removed, and the reply after it is replaced, whatever comes before, and wherever the pieces end.
    """
    size = 0
    while True:
        size += 1
        replies = Replies()
        first, second = replies.new_marker(), replies.new_marker(b"-ERR refused\r\n")
        replies.expect(first, NextReply(lambda raw: b"<%b>" % raw), second)
        stream = b"".join(
            (
                b"$9\r\n-ERR Synt\r\n-ERR unknown command 'x', with args beginning with: \r\n",
                reply_to(replies, first, fails_transaction=fails_transaction),
                PUSH + NESTED + b"+OK\r\n" + NESTED,
                reply_to(replies, second, fails_transaction=not fails_transaction),
                b"-ERR Syntax error in HELLO option 'y'\r\n-",
            )
        )

        output = b"".join(replies.edit(stream[start : start + size]) for start in range(0, len(stream), size))

        assert output == (
            b"$9\r\n-ERR Synt\r\n-ERR unknown command 'x', with args beginning with: \r\n"
            + PUSH
            + b"<%b>" % NESTED
            + b"+OK\r\n"
            + NESTED
            + b"-ERR refused\r\n-ERR Syntax error in HELLO option 'y'\r\n-"
        )
        assert replies.idle
        if size > len(stream):
            break


def test_large_reply_takes_time_in_proportion_to_its_size() -> None:
    """
    A reply in many pieces is put together without a copy of all that has come so far for each of them.
    """
    replies = Replies()
    replies.expect(NextReply(lambda raw: raw))
    size = 32 * 1024 * 1024
    pieces = [b"$%d\r\n" % size, *[b"x" * 4096] * (size // 4096), b"\r\n"]

    began = time.monotonic()
    output = b"".join(map(replies.edit, pieces))

    assert len(output) == size + len(pieces[0]) + 2
    assert time.monotonic() - began < 30  # it took minutes


def test_marker_that_the_server_did_not_run_is_dropped() -> None:
    """
    If a marker has no reply of its own, the next one takes its place, and nothing is held back.
    """
    replies = Replies()
    lost, found = replies.new_marker(b"-lost\r\n"), replies.new_marker(b"-found\r\n")
    replies.expect(lost, NextReply(lambda raw: raw), found)

    output = replies.edit(b"-NOAUTH\r\n+a\r\n" + reply_to(replies, found, fails_transaction=False) + b"+b\r\n")

    assert (b"-NOAUTH\r\n+a\r\n-found\r\n+b\r\n", True) == (output, replies.idle)


@pytest.mark.parametrize("subscribed", [False, True])
def test_message_to_a_subscriber_is_no_reply(subscribed: bool) -> None:  # noqa: FBT001
    """
    While subscribed in RESP2, a message before a reply is passed on, and is not taken for the reply.
    """
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    replies = Replies()
    replies.subscribed = subscribed
    marker = replies.new_marker()
    replies.expect(marker, NextReply(lambda raw: b"<%b>" % raw))

    output = replies.edit(reply_to(replies, marker, fails_transaction=True) + message + b"+OK\r\n")

    assert output == (message + b"<+OK\r\n>" if subscribed else b"<" + message + b">+OK\r\n")


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_encoded_as_they_were(protocol: int) -> None:
    """
    A reply that is parsed and encoded again is unchanged, in both versions of the protocol.
    """
    null = b"_\r\n" if protocol == 3 else b"$-1\r\n"
    only_3 = b"#t\r\n,1.5\r\n(123\r\n%1\r\n+k\r\n:1\r\n~1\r\n$1\r\na\r\n" if protocol == 3 else b":1\r\n" * 5
    raw = b"*10\r\n$0\r\n\r\n:-5\r\n+OK\r\n-ERR x\r\n" + null + only_3

    assert raw == encode_reply(parse_reply(raw), protocol)


def commands_in(reader: RequestReader, data: bytes, size: int) -> list[object]:
    """Return what a reader makes of a stream in pieces of this size, with adjacent raw parts joined."""
    items: list[object] = []
    for start in range(0, len(data), size):
        for item in reader.feed(data[start : start + size]):
            if isinstance(item, bytes) and items and isinstance(items[-1], bytes):
                items[-1] += item
            else:
                items.append(item)
    return items


@pytest.mark.parametrize("seed", range(20))
def test_commands_are_found_however_the_stream_is_cut(seed: int) -> None:
    """
    Whole commands, those that are looked at, and those that are too large are the same, wherever the pieces end.
    """
    chance = random.Random(seed)
    expected: list[object] = []
    data = b""
    for _ in range(30):
        words = [
            bytes(chance.choices(b"\r\n$*:-x0", k=chance.choice((0, 1, 5, 60)))) for _ in range(chance.randrange(4))
        ]
        kind = chance.choice(("plain", "plain", "special", "oversized", "nothing"))
        if kind == "nothing":
            data += chance.choice((b"*0\r\n", b"*-1\r\n", b"\r\n"))
            continue
        command = [{"plain": b"Get", "special": b"Eval", "oversized": b"set"}[kind], *words]
        command += [b"y" * 1000] if kind == "oversized" else []
        raw = encode(*command)
        data += raw
        if kind == "special":
            expected.append(Command(command, raw))
        elif kind == "oversized":
            expected.append(Oversized(len(raw)))
        elif expected and isinstance(expected[-1], bytes):
            expected[-1] += raw
        else:
            expected.append(raw)

    for size in (1, 2, 3, 7, 50, 1000, len(data)):
        reader = RequestReader(special=frozenset({b"eval"}), limit=1000)
        reader.authenticated = True
        assert expected == commands_in(reader, data, size)


@pytest.mark.parametrize("seed", range(50))
def test_any_bytes_end_in_commands_or_an_error(seed: int) -> None:
    """
    Arbitrary bytes never raise, and what is forwarded is made of whole commands.
    """
    chance = random.Random(seed)
    parts = [b"*", b"$", b"\r\n", b"1", b"3", b"-", b"x", b"*1\r\n$4\r\nPING\r\n", b'"', b"\0", b" ", b"\xff"]
    data = b"".join(chance.choices(parts, k=200))
    reader = RequestReader(special=frozenset(), limit=1000)

    for item in commands_in(reader, data, chance.randrange(1, 20)):
        assert isinstance(item, bytes | Command | Oversized | Malformed)
        if isinstance(item, bytes):
            again = RequestReader(special=frozenset(), limit=1000)
            again.every_command = True
            assert item == b"".join(it.raw for it in again.feed(item) if isinstance(it, Command))
        elif isinstance(item, Malformed):
            assert b"\r" not in item.text
            assert b"\n" not in item.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", []),
        (b" \t", []),
        (b"set a b", [b"set", b"a", b"b"]),
        (b"\"a b\" 'c d'", [b"a b", b"c d"]),
        (rb'"\x00\xfF\n\r\t\a\b\"\\\q"', [b'\x00\xff\n\r\t\x07\x08"\\q']),
        (rb"'it\'s \n'", [b"it's \\n"]),
        (b'""', [b""]),
        (b'a"b c"', [b"ab c"]),
        (rb'"\xzz"', [b"xzz"]),
    ],
)
def test_inline_arguments(line: bytes, expected: list[bytes]) -> None:
    """
    Inline commands have the quotes and escapes of `redis-cli`.
    """
    assert expected == split_inline(line)


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b', b"'a'b", b'"a\\"', b'a "'])
def test_unbalanced_quotes(line: bytes) -> None:
    """
    A quote that is not closed, or is followed by text, is an error.
    """
    with pytest.raises(UnbalancedQuotes):
        split_inline(line)
