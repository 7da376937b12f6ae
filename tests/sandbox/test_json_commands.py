"""`JSON.*` on a real server: what the commands do and reply, as at Upstash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.json_commands import Error, JsonClient, server_config
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.backend import choose_backend, find_valkey
from upstash_helper.sandbox.redis.resp import ErrorReply, SimpleString
from upstash_helper.sandbox.redis.tls import CertificateAuthority, TlsProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from upstash_helper.sandbox.redis.servers import DatabaseServer

NO_KEY = Error("ERR could not perform this operation on a key that doesn't exist")
WRONG_TYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
NEW_AT_ROOT = Error("ERR new objects must be created at the root")

SHOP = (
    '{"name":"shop","open":true,"stock":{"pens":12,"ink":null},'
    '"books":[{"title":"A","price":8.5,"tags":["x"]},{"title":"B","price":12,"tags":[]},{"title":"C"}],'
    '"more":{"books":[1,2,3,4,5],"price":1}}'
)


def lost(path: str) -> Error:
    """The error for a legacy path without a match."""
    return Error(f"ERR Path '{path}' does not exist")


def arity(name: str) -> Error:
    """The error for a wrong number of arguments."""
    return Error(f"ERR wrong number of arguments for '{name}' command")


@pytest.fixture
async def json(json_server: DatabaseServer) -> AsyncIterator[JsonClient]:
    """A client of an empty database."""
    async with await JsonClient.connect(json_server) as client:
        await client.run("FLUSHALL")
        yield client


# One row is a document, a command, its reply, and the document afterwards (None: as before).
CHANGES: list[tuple[str, tuple[Any, ...], Any, str | None]] = [
    # SET
    ('{"a":1}', ("SET", "d", "$", "[]"), "OK", "[]"),
    ('{"a":1}', ("SET", "d", ".", '"x"'), "OK", '"x"'),
    ('{"a":1}', ("SET", "d", "$.a", '{"b": [ 1 , 2 ]}'), "OK", '{"a":{"b":[1,2]}}'),
    ('{"a":1}', ("SET", "d", "$.b", "null"), "OK", '{"a":1,"b":null}'),
    ("{}", ("SET", "d", "$.b", "8"), "OK", '{"b":8}'),
    ('{"a":[1]}', ("SET", "d", "$.a[0]", "2"), "OK", '{"a":[2]}'),
    ('{"a":[1]}', ("SET", "d", "$.a[1]", "2"), "OK", '{"a":[1,2]}'),
    ('{"a":[]}', ("SET", "d", "$.a[0]", "2"), "OK", '{"a":[2]}'),
    ('{"a":[1]}', ("SET", "d", "$.a[2]", "2"), Error("ERR array index out of range"), None),
    ('{"a":[1]}', ("SET", "d", "$.a[-2]", "2"), Error("ERR array index out of range"), None),
    ('{"a":1}', ("SET", "d", "$.b.c", "1"), lost("$.b.c"), None),
    ('{"a":1}', ("SET", "d", "$.a.c", "1"), lost("$.a.c"), None),
    ('{"a":1}', ("SET", "d", "$..b", "1"), Error("ERR wrong static path"), None),
    ('{"a":1,"o":{"a":2}}', ("SET", "d", "$..a", "3"), "OK", '{"a":3,"o":{"a":3}}'),
    ('{"a":{"a":1}}', ("SET", "d", "$..a", "3"), "OK", '{"a":3}'),
    ("[1,2,3]", ("SET", "d", "$[*]", '"x"'), "OK", '["x","x","x"]'),
    ('{"a":1}', ("SET", "d", "$.a", "2", "NX"), None, None),
    ('{"a":1}', ("SET", "d", "$.a", "2", "xx"), "OK", '{"a":2}'),
    ('{"a":1}', ("SET", "d", "$.b", "2", "XX"), None, None),
    ('{"a":1}', ("SET", "d", "$.b", "2", "nx"), "OK", '{"a":1,"b":2}'),
    ('{"a":1}', ("SET", "d", "$", "2", "NX"), None, None),
    ('{"a":1}', ("SET", "d", "$", "2", "XX"), "OK", "2"),
    ('{"a":1}', ("SET", "d", "$", "2", "YY"), Error("ERR syntax error"), None),
    ('{"a":1}', ("SET", "d", "$", "2", ""), Error("ERR syntax error"), None),
    (
        '{"a":1}',
        ("SET", "d", "$", "{"),
        Error("ERR expecting property name enclosed in double quotes at line 1 column 2"),
        None,
    ),
    ('{"a":1}', ("SET", "d", "$['b\"c']", "2"), "OK", '{"a":1,"b\\"c":2}'),
    ('{"a":1}', ("SET", "missing", "$.a", "2"), NEW_AT_ROOT, None),
    ('{"a":1}', ("SET", "missing", "$", "2", "XX"), None, None),
    # MERGE
    ('{"a":1,"b":2}', ("MERGE", "d", "$", '{"a":null,"c":3}'), "OK", '{"b":2,"c":3}'),
    ('{"a":{"b":1}}', ("MERGE", "d", "$", '{"a":{"b":null,"c":{"d":null}}}'), "OK", '{"a":{"c":{}}}'),
    ('{"a":[1,2]}', ("MERGE", "d", "$.a", "[3]"), "OK", '{"a":[3]}'),
    ('{"a":2}', ("MERGE", "d", "$.b", '{"c":1,"d":null}'), "OK", '{"a":2,"b":{"c":1}}'),
    ('{"a":2}', ("MERGE", "d", "$", "[1]"), "OK", "[1]"),
    ('{"a":2}', ("MERGE", "d", "$.b.c", "1"), lost("$.b.c"), None),
    ('{"x":{"a":[1]},"a":[1]}', ("MERGE", "d", "$..a", "[2]"), "OK", '{"x":{"a":[2]},"a":[2]}'),
    ('{"a":2}', ("MERGE", "missing", "$.a", "1"), NEW_AT_ROOT, None),
    # DEL, FORGET
    ('{"a":1,"o":{"a":2,"b":3}}', ("DEL", "d", "$..a"), 2, '{"o":{"b":3}}'),
    ('{"a":{"a":2},"b":1}', ("DEL", "d", "$..a"), 1, '{"b":1}'),
    ("[1,2,3]", ("DEL", "d", "$[*]"), 3, "[]"),
    ("[1,2,3]", ("DEL", "d", "$[2,0]"), 2, "[2]"),
    ("[1,2,3]", ("DEL", "d", "$[1,2]"), 2, "[1]"),
    ("[1,2,3]", ("DEL", "d", "$[0,0]"), 1, "[2,3]"),
    ("[[1],[1,2,3]]", ("DEL", "d", "$..[0]"), 2, "[[2,3]]"),
    ("[true,null]", ("FORGET", "d", "[-1]"), 1, "[true]"),
    ('{"a":1}', ("FORGET", "d", "$.b"), 0, None),
    ('{"a":1}', ("DEL", "missing", "$.b"), 0, None),
    # CLEAR
    (
        '{"a":[1],"b":{"c":1},"n":5,"f":1.5,"s":"x","t":true,"z":0}',
        ("CLEAR", "d", "$.*"),
        4,
        '{"a":[],"b":{},"n":0,"f":0,"s":"x","t":true,"z":0}',
    ),
    ('{"a":[[1]]}', ("CLEAR", "d"), 1, "{}"),
    ('{"a":1}', ("CLEAR", "d", "$.b"), 0, None),
    ('{"a":1}', ("CLEAR", "d", ".b"), 0, None),
    ('{"a":1}', ("CLEAR", "missing", "$"), NO_KEY, None),
    # numbers
    (
        '{"a":1,"o":{"a":2.5},"s":{"a":"x"}}',
        ("NUMINCRBY", "d", "$..a", "2"),
        "[4.5,null,3]",
        '{"a":3,"o":{"a":4.5},"s":{"a":"x"}}',
    ),
    ('{"a":1}', ("NUMINCRBY", "d", "$.b", "2"), "[]", None),
    ('{"a":1}', ("NUMINCRBY", "d", ".a", "-2"), "-1", '{"a":-1}'),
    ('{"a":11.5}', ("NUMINCRBY", "d", "$.a", "3.5"), "[15.0]", '{"a":15.0}'),
    (
        '{"a":1}',
        ("NUMINCRBY", "d", ".b", "2"),
        Error("ERR Path '.b' does not exist or does not contains a number"),
        None,
    ),
    ('{"a":9007199254740993}', ("NUMINCRBY", "d", "$.a", "1"), "[9007199254740994]", '{"a":9007199254740994}'),
    ("99999999999999999999", ("NUMINCRBY", "d", "$", "1"), "[100000000000000000000]", "100000000000000000000"),
    ("100000000000000000000", ("NUMINCRBY", "d", "$", "-1"), "[99999999999999999999]", "99999999999999999999"),
    ("1.7e308", ("NUMMULTBY", "d", "$", "10"), Error("ERR result is not a number"), None),
    ('{"a":1}', ("NUMINCRBY", "d", "$.a", "x"), Error("ERR value is not a number"), None),
    ('{"a":3}', ("NUMMULTBY", "d", "$.a", "-4"), "[-12]", '{"a":-12}'),
    ("123456789012345678901", ("NUMMULTBY", "d", "$", "10"), "[1234567890123456789010]", "1234567890123456789010"),
    ('{"a":2}', ("NUMMULTBY", "d", "$.a", "2.5"), "[5.0]", '{"a":5.0}'),
    ('{"a":2}', ("NUMINCRBY", "missing", "$.a", "2"), NO_KEY, None),
    # TOGGLE
    ('{"a":true,"o":{"a":false},"x":1}', ("TOGGLE", "d", "$..a"), [1, 0], '{"a":false,"o":{"a":true},"x":1}'),
    ('{"a":1}', ("TOGGLE", "d", "$.a"), [None], None),
    ('{"a":true}', ("TOGGLE", "d", ".a"), "false", '{"a":false}'),
    ('{"a":1}', ("TOGGLE", "d", ".a"), Error("ERR Path '.a' does not exist or not a bool"), None),
    # strings
    ('{"a":"x","o":{"a":"yz"}}', ("STRAPPEND", "d", "$..a", '"é\\n"'), [5, 4], '{"a":"xé\\n","o":{"a":"yzé\\n"}}'),
    ('"a"', ("STRAPPEND", "d", '"{\\"}"'), 4, '"a{\\"}"'),
    ('{"a":1}', ("STRAPPEND", "d", "$.a", '"x"'), [None], None),
    ('{"a":1}', ("STRAPPEND", "d", ".a", '"x"'), Error("ERR Path '.a' does not exist or not a string"), None),
    ('{"a":"x"}', ("STRAPPEND", "d", "$.a", "1"), Error("ERR the value is not a JSON string"), None),
    # arrays
    ('{"a":[],"o":{"a":[1]}}', ("ARRAPPEND", "d", "$..a", "2", "[]"), [3, 2], '{"a":[2,[]],"o":{"a":[1,2,[]]}}'),
    ('{"a":1}', ("ARRAPPEND", "d", "$.a", "2"), [None], None),
    ('{"a":[1]}', ("ARRAPPEND", "d", ".a", "2"), 2, '{"a":[1,2]}'),
    ('{"a":1}', ("ARRAPPEND", "d", ".a", "2"), Error("ERR Path '.a' does not exist or not an array"), None),
    ("[[1]]", ("ARRAPPEND", "d", "$..*", "2"), [None, 2], "[[1,2]]"),
    ("[1,2,3]", ("ARRINSERT", "d", "$", "1", '"a"', '"b"'), [5], '[1,"a","b",2,3]'),
    ("[1,2,3]", ("ARRINSERT", "d", "$", "-1", "0"), [4], "[1,2,0,3]"),
    ("[1,2,3]", ("ARRINSERT", "d", "$", "3", "0"), [4], "[1,2,3,0]"),
    ("[]", ("ARRINSERT", "d", ".", "0", "0"), 1, "[0]"),
    ("[1,2,3]", ("ARRINSERT", "d", "$", "4", "0"), Error("ERR index out of bounds"), None),
    ("[1,2,3]", ("ARRINSERT", "d", "$", "-4", "0"), Error("ERR index out of bounds"), None),
    ("[1]", ("ARRINSERT", "d", "$", "x", "0"), Error("ERR value is not an integer or out of range"), None),
    ("[1,2,3]", ("ARRPOP", "d"), "3", "[1,2]"),
    ("[1,2,3]", ("ARRPOP", "d", "$", "0"), ["1"], "[2,3]"),
    ("[1,2,3]", ("ARRPOP", "d", "$", "-2"), ["2"], "[1,3]"),
    ("[1,2,3]", ("ARRPOP", "d", "$", "9"), ["3"], "[1,2]"),
    ("[1,2,3]", ("ARRPOP", "d", "$", "-9"), ["1"], "[2,3]"),
    ('[{"a":"{"}]', ("ARRPOP", "d", "."), '{"a":"{"}', "[]"),
    ("[]", ("ARRPOP", "d", "$"), [None], None),
    ("[]", ("ARRPOP", "d", "."), None, None),
    (
        '{"a":[5,6,7],"o":{"a":[1,2]},"x":{"a":1}}',
        ("ARRPOP", "d", "$..a", "1"),
        ["2", None, "6"],
        '{"a":[5,7],"o":{"a":[1]},"x":{"a":1}}',
    ),
    ("1", ("ARRPOP", "d"), Error("ERR Path '.' does not exist or not an array"), None),
    ("[0,1,2,3,4]", ("ARRTRIM", "d", "$", "1", "-2"), [3], "[1,2,3]"),
    ("[0,1,2,3,4]", ("ARRTRIM", "d", "$", "0", "99"), [5], "[0,1,2,3,4]"),
    ("[0,1,2,3,4]", ("ARRTRIM", "d", ".", "-2", "-1"), 2, "[3,4]"),
    ("[0,1,2,3,4]", ("ARRTRIM", "d", "$", "5", "9"), [0], "[]"),
    ("[0,1,2,3,4]", ("ARRTRIM", "d", "$", "3", "1"), [0], "[]"),
    ("[]", ("ARRTRIM", "d", "$", "0", "1"), [0], "[]"),
    ('{"a":1}', ("ARRTRIM", "d", "$.a", "0", "1"), [None], None),
    # MSET
    ('{"a":1}', ("MSET", "d", "$.a", "2", "d", "$.b", "[]"), "OK", '{"a":2,"b":[]}'),
    ('{"a":1}', ("MSET", "d", "$.a", "2", "missing", "$.b", "3"), NEW_AT_ROOT, None),
    ('{"a":1}', ("MSET", "d", "$.a", "2", "d", "$.b.c", "3"), lost("$.b.c"), None),
    ('{"a":1}', ("MSET", "d", "$.a", "2", "e", "$"), arity("json.mset"), None),
]


@pytest.mark.parametrize(("document", "command", "reply", "after"), CHANGES)
async def test_command_changes_the_document(
    json: JsonClient, document: str, command: tuple[str, ...], reply: Any, after: str | None
) -> None:
    """
    Each command replies as documented. If it fails, or does not apply, the document stays the same.
    """
    await json.run("JSON.SET", "d", "$", document)
    before = await json.run("JSON.GET", "d")

    got = await json.run(f"JSON.{command[0]}", *command[1:])

    assert (reply, before if after is None else after) == (got, await json.run("JSON.GET", "d"))


READS: list[tuple[tuple[Any, ...], Any]] = [
    # GET
    (("GET", "d"), SHOP),
    (("GET", "d", "."), SHOP),
    (("GET", "d", "$"), f"[{SHOP}]"),
    (("GET", "d", "$.stock.pens"), "[12]"),
    (("GET", "d", "stock.pens"), "12"),
    (("GET", "d", "$.nowhere"), "[]"),
    (("GET", "d", ".nowhere"), lost(".nowhere")),
    (("GET", "d", "$..price"), "[8.5,12,1]"),
    (("GET", "d", "$..books[0].title"), '["A"]'),
    (
        ("GET", "d", "$..books"),
        '[[1,2,3,4,5],[{"title":"A","price":8.5,"tags":["x"]},{"title":"B","price":12,"tags":[]},{"title":"C"}]]',
    ),
    (("GET", "d", "$.name", "$.open"), '{"$.name":["shop"],"$.open":[true]}'),
    (("GET", "d", "name", ".open"), '{"name":"shop",".open":true}'),
    (("GET", "d", "name", "$.open"), '{"name":["shop"],"$.open":[true]}'),
    (("GET", "d", "name", ".nowhere"), lost(".nowhere")),
    (("GET", "d", "$.name", "$.name"), '{"$.name":["shop"]}'),
    (("GET", "d", '$["name"]', "$.open"), '{"$[\\"name\\"]":["shop"],"$.open":[true]}'),
    (("GET", "d", "INDENT", "\t", "NEWLINE", "\n", "SPACE", " ", ".stock"), '{\n\t"pens": 12,\n\t"ink": null\n}'),
    (("GET", "d", "space", " ", "$.books[1]"), '[{"title": "B","price": 12,"tags": []}]'),
    (("GET", "d", "NOESCAPE", ".name"), '"shop"'),
    (("GET", "missing", "$"), None),
    (("GET", "missing"), None),
    (("GET", "d", "INDENT"), arity("json.get")),
    (("GET",), arity("json.get")),
    # paths
    (("GET", "d", "$.more.books[1:3]"), "[2,3]"),
    (("GET", "d", "$.more.books[:2]"), "[1,2]"),
    (("GET", "d", "$.more.books[-2:]"), "[4,5]"),
    (("GET", "d", "$.more.books[:-3]"), "[1,2]"),
    (("GET", "d", "$.more.books[::2]"), "[1,3,5]"),
    (("GET", "d", "$.more.books[4,0,-2]"), "[5,1,4]"),
    (("GET", "d", "$.more.books[9]"), "[]"),
    (("GET", "d", "$['name','open']"), '["shop",true]'),
    (("GET", "d", "$.stock.*"), "[12,null]"),
    (("GET", "d", "$.stock[*]"), "[12,null]"),
    (("GET", "d", "$..tags[*]"), '["x"]'),
    (("GET", "d", "$.books[?(@.price<10)].title"), '["A"]'),
    (("GET", "d", "$.books[?(@.price>=8.5 && @.title!='A')].title"), '["B"]'),
    (("GET", "d", "$.books[?(@.price==12||@.title=='C')].title"), '["B","C"]'),
    (("GET", "d", "$.books[?(@.price)].title"), '["A","B"]'),
    (("GET", "d", "$.books[?(!(@.price))].title"), '["C"]'),
    (("GET", "d", "$.books[?(@.price>$.stock.pens)]"), "[]"),
    (("GET", "d", "$.books[?(@.tags[0]=='x')].title"), '["A"]'),
    (("GET", "d", "$.more.books[?(@>3)]"), "[4,5]"),
    (("GET", "d", "$.more.books[?@>3]"), "[4,5]"),
    (("GET", "d", "$.books[?(@.title>='B')].title"), '["B","C"]'),
    (("GET", "d", "$.stock[?(@==null)]"), "[null]"),
    (("GET", "d", "$[?(@==true)]"), "[true]"),
    (("GET", "d", "$.name[0]"), "[]"),
    (("GET", "d", "$.["), Error("ERR invalid path: syntax error at position 4 of '$.['")),
    (("GET", "d", "$.a b"), Error("ERR invalid path: syntax error at position 4 of '$.a b'")),
    (("GET", "d", "$[::0]"), Error("ERR invalid path: syntax error at position 6 of '$[::0]'")),
    (("GET", "d", "$[?(@.a=~'x')]"), Error("ERR the sandbox does not have regular expressions (=~) in filters")),
    (("GET", "d", b"$.\xff"), Error("ERR a path is not valid UTF-8")),
    # the others
    (("MGET", "d", "missing", "text", "$.name"), ['["shop"]', None, None]),
    (("MGET", "d", ".nowhere"), [None]),
    (("MGET", "d", "$.nowhere"), ["[]"]),
    (("MGET", "d", ".name"), ['"shop"']),
    (("MGET", "d"), arity("json.mget")),
    (("TYPE", "d"), "object"),
    (("TYPE", "d", "$.*"), ["string", "boolean", "object", "array", "object"]),
    (("TYPE", "d", "$.books[*].price"), ["number", "integer"]),
    (("TYPE", "d", "$.stock.ink"), ["null"]),
    (("TYPE", "d", "$.nowhere"), []),
    (("TYPE", "d", ".nowhere"), None),
    (("TYPE", "missing"), None),
    (("ARRLEN", "d", "$..books"), [5, 3]),
    (("ARRLEN", "d", "$.name"), [None]),
    (("ARRLEN", "d", ".books"), 3),
    (("ARRLEN", "d", ".name"), Error("WRONGTYPE wrong type of path value - expected array but found string")),
    (("ARRLEN", "d", ".nowhere"), lost(".nowhere")),
    (("ARRLEN", "missing", "$"), NO_KEY),
    (("ARRLEN", "missing"), None),
    (("ARRINDEX", "d", "$..books", "3"), [2, -1]),
    (("ARRINDEX", "d", "$.more.books", "3", "3"), [-1]),
    (("ARRINDEX", "d", "$.more.books", "3", "1", "2"), [-1]),
    (("ARRINDEX", "d", "$.more.books", "3", "0", "-2"), [2]),
    (("ARRINDEX", "d", "$.more.books", "3", "-4", "0"), [2]),
    (("ARRINDEX", "d", ".more.books", "3.0"), -1),
    (("ARRINDEX", "d", ".books", '{"tags":[],"price":12,"title":"B"}'), 1),
    (("ARRINDEX", "d", "$.name", '"s"'), [None]),
    (("ARRINDEX", "missing", "$", "1"), NO_KEY),
    (("OBJKEYS", "d"), ["name", "open", "stock", "books", "more"]),
    (("OBJKEYS", "d", "$.stock"), [["pens", "ink"]]),
    (("OBJKEYS", "d", "$.name"), [None]),
    (("OBJKEYS", "d", "$.nowhere"), []),
    (("OBJKEYS", "d", ".nowhere"), None),
    (("OBJKEYS", "missing", "$"), None),
    (("OBJLEN", "d", "$"), [5]),
    (("OBJLEN", "d", "$.*"), [None, None, 2, None, 2]),
    (("OBJLEN", "d", ".name"), Error("WRONGTYPE wrong type of path value - expected object but found string")),
    (("OBJLEN", "missing"), None),
    (("STRLEN", "d", "$..title"), [1, 1, 1]),
    (("STRLEN", "d", "$.open"), [None]),
    (("STRLEN", "d", ".name"), 4),
    (("STRLEN", "d", ".open"), Error("WRONGTYPE wrong type of path value - expected string but found boolean")),
    (("RESP", "d", "$.books[0]"), [["{", "title", "A", "price", "8.5", "tags", ["[", "x"]]]),
    (("RESP", "d", ".stock"), ["{", "pens", 12, "ink", None]),
    (("RESP", "d", ".open"), "true"),
    (("RESP", "missing"), None),
    (("DEBUG", "MEMORY", "missing", "$"), []),
    (("DEBUG", "MEMORY", "missing"), 0),
    (("DEBUG", "MEMORY"), arity("json.debug")),
    (("DEBUG", "FIELDS", "d"), Error("ERR unknown subcommand - try `JSON.DEBUG HELP`")),
    (("STRLEN", "d", "$", "x"), arity("json.strlen")),
]


@pytest.mark.parametrize(("command", "reply"), READS)
async def test_command_reads_the_document(json: JsonClient, command: tuple[Any, ...], reply: Any) -> None:
    """
    Each command replies as documented, and changes nothing.
    """
    await json.run("JSON.SET", "d", "$", SHOP)
    await json.run("SET", "text", "{}")

    got = await json.run(f"JSON.{command[0]}", *command[1:])

    assert (reply, SHOP) == (got, await json.run("JSON.GET", "d"))


async def test_debug_reports_the_size_of_values(json: JsonClient) -> None:
    """
    JSON.DEBUG MEMORY reports more bytes for a larger value, and HELP lists the forms.
    """
    await json.run("JSON.SET", "d", "$", '{"a":1,"b":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}')

    small, large = await json.run("JSON.DEBUG", "MEMORY", "d", "$.*")
    whole = await json.run("JSON.DEBUG", "MEMORY", "d")

    assert 0 < small < large < whole
    assert "MEMORY <key> [path]" in (await json.run("JSON.DEBUG", "HELP"))[0]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (' { "b" : 1 , "a" : 2 } ', '{"b":1,"a":2}'),
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        ("[123456789012345678901234567890]", "[123456789012345678901234567890]"),
        ("[1.0,-0.5,1e-7]", "[1.0,-0.5,1e-07]"),
        (r'"\u00e9\ud83d\ude00\/"', '"é😀/"'),
        (r'"\"\\{}[]\n\u0001"', r'"\"\\{}[]\n\u0001"'),
        (r'{"\\u0022":"\\u007b"}', r'{"\\u0022":"\\u007b"}'),
        ('{"":{"":[]}}', '{"":{"":[]}}'),
    ],
)
async def test_values_keep_order_and_digits(json: JsonClient, text: str, stored: str) -> None:
    """
    Members keep their order, a repeated key has its last value, and integers and strings are not changed.
    """
    await json.run("JSON.SET", "d", "$", text)

    assert stored == await json.run("JSON.GET", "d")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expecting value at line 1 column 1"),
        ("[1,\n]", "expecting value at line 2 column 1"),
        ("nul", "expecting value at line 1 column 1"),
        ("NaN", "unexpected NaN at line 1 column 1"),
        ("[1e999]", "number out of range"),
        ('"\ud800"', "a string is not valid Unicode"),
        (b'"\xff"', "a string is not valid Unicode"),
        ("[" * 129 + "]" * 129, "recursion limit exceeded"),
        ("[" * 100_000, "recursion limit exceeded"),
        ("1 2", "extra data at line 1 column 3"),
    ],
)
async def test_invalid_json_is_not_stored(json: JsonClient, text: str | bytes, reason: str) -> None:
    """
    A value that is not JSON is refused with the reason and its place.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")

    reply = await json.run("JSON.SET", "d", "$", text)

    assert isinstance(reply, Error)
    assert reply.text.startswith("ERR ")
    assert reason.rpartition(" at ")[0] in reply.text
    assert 0 == await json.run("EXISTS", "d")


async def test_deepest_value_is_stored(json: JsonClient) -> None:
    """
    128 levels are allowed.
    """
    assert "OK" == await json.run("JSON.SET", "d", "$", "[" * 128 + "]" * 128)


async def test_large_document_can_be_changed_in_parts(json: JsonClient) -> None:
    """
    Parts of a document of a megabyte are read, changed, and deleted like those of a small one.
    """
    items = ",".join(f'{{"id":{number},"tags":["a","{{b}}"],"in":{{"price":{number}.5}}}}' for number in range(25_000))
    await json.run("JSON.SET", "d", "$", f'{{"items":[{items}],"meta":{{"n":1}}}}')

    replies = [
        await json.run("JSON.NUMINCRBY", "d", "$.items[24999].in.price", "1"),
        await json.run("JSON.SET", "d", "$.meta.n", "2"),
        await json.run("JSON.GET", "d", "$.items[-1]", "$..n"),
        await json.run("JSON.GET", "d", "$.items[?(@.in.price>24997)].id"),
        await json.run("JSON.DEL", "d", "$.items[*].tags"),
        await json.run("JSON.ARRLEN", "d", "$.items"),
        await json.run("JSON.ARRTRIM", "d", "$.items", "-1", "-1"),
        await json.run("JSON.GET", "d"),
    ]

    assert [
        "[25000.5]",
        "OK",
        '{"$.items[-1]":[{"id":24999,"tags":["a","{b}"],"in":{"price":25000.5}}],"$..n":[2]}',
        "[24997,24998,24999]",
        25_000,
        [25_000],
        [1],
        '{"items":[{"id":24999,"in":{"price":25000.5}}],"meta":{"n":2}}',
    ] == replies


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "d"),
        ("SET", "d", "x", "GET"),
        ("APPEND", "d", "x"),
        ("INCR", "d"),
        ("HGET", "d", "json"),
        ("HSET", "d", "a", "1"),
        ("LPUSH", "d", "1"),
        ("SADD", "d", "1"),
        ("ZADD", "d", "1", "1"),
    ],
)
async def test_other_types_commands_do_not_work_on_a_document(json: JsonClient, command: tuple[str, ...]) -> None:
    """
    A document is of its own type.
    """
    await json.run("JSON.SET", "d", "$", '{"a":1}')

    assert (WRONG_TYPE, '{"a":1}') == (await json.run(*command), await json.run("JSON.GET", "d"))


async def test_stream_command_cannot_add_to_a_document(json: JsonClient) -> None:
    """
    The server keeps a document in a stream, but XADD cannot change it.
    """
    await json.run("JSON.SET", "d", "$", "[]")

    assert isinstance(await json.run("XADD", "d", "*", "json", "x"), Error)
    assert "[]" == await json.run("JSON.GET", "d")


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "{}"),
        ("SET", "{}", "$", "1"),
        ("SET", "{}", "$.a", "1"),
        ("DEL", "{}"),
        ("TYPE", "{}"),
        ("ARRAPPEND", "{}", "$", "1"),
        ("MSET", "d", "$", "2", "{}", "$", "1"),
        ("DEBUG", "MEMORY", "{}"),
    ],
)
@pytest.mark.parametrize("create", [("SET", "k", "{}"), ("HSET", "k", "json", "{}"), ("XADD", "k", "*", "json", "{}")])
async def test_json_command_does_not_work_on_other_types(
    json: JsonClient, command: tuple[str, ...], create: tuple[str, ...]
) -> None:
    """
    On a string, a hash, or a stream, every command is refused, and MSET writes nothing.
    """
    await json.run(*create)

    reply = await json.run(f"JSON.{command[0]}", *[create[1] if part == "{}" else part for part in command[1:]])

    assert (WRONG_TYPE, 0) == (reply, await json.run("EXISTS", "d"))


async def test_type_of_a_document_is_json(json: JsonClient) -> None:
    """
    TYPE and SCAN with TYPE tell documents from streams.
    """
    await json.run("JSON.SET", "d", "$", "1")
    await json.run("XADD", "s", "*", "a", "1")
    await json.run("SET", "t", "1")

    types = [await json.run("TYPE", key) for key in ("d", "s", "t", "missing")]
    scans = [(await json.run("SCAN", "0", *options))[1] for options in (
        ("TYPE", "json"), ("COUNT", "99", "type", "ReJSON-RL", "MATCH", "*"), ("TYPE", "stream"), ("TYPE", "string"),
        ("MATCH", "x*", "TYPE", "json"),
    )]  # fmt: skip

    assert ["json", "stream", "string", "none"] == types
    assert [["d"], ["d"], ["s"], ["t"], []] == scans
    assert isinstance(await json.run("SCAN", "x", "TYPE", "json"), Error)
    assert isinstance(await json.run("TYPE"), Error)


async def test_expiration_stays_when_the_document_changes(json: JsonClient) -> None:
    """
    Commands for keys work on documents, and JSON.SET does not end the expiration.
    """
    await json.run("JSON.SET", "d", "$", '{"a":1}')
    await json.run("EXPIRE", "d", 1000)

    await json.run("JSON.SET", "d", "$.a", "2")
    await json.run("JSON.SET", "d", "$", '{"a":3}')
    await json.run("JSON.NUMINCRBY", "d", "$.a", "1")
    await json.run("COPY", "d", "copy")
    await json.run("RENAME", "d", "renamed")

    assert 0 < await json.run("TTL", "renamed") <= 1000
    assert ['{"a":4}', None, '{"a":4}'] == await json.run("JSON.MGET", "copy", "d", "renamed", ".")
    assert 2 == await json.run("DEL", "copy", "renamed")


async def test_deleted_root_deletes_the_key(json: JsonClient) -> None:
    """
    JSON.DEL without a path, or with that of the root, deletes the key.
    """
    for path in ((), ("$",), (".",)):
        await json.run("JSON.SET", "d", "$", "[1]")

        assert (1, 0) == (await json.run("JSON.DEL", "d", *path), await json.run("EXISTS", "d"))


async def test_mset_creates_and_changes_several_documents(json: JsonClient) -> None:
    """
    JSON.MSET sets values in several documents at once.
    """
    await json.run("JSON.SET", "a", "$", '{"n":[1,2]}')

    reply = await json.run("JSON.MSET", "a", "$..n[0]", "9", "b", "$", "[]", "b", "$[0]", "1")

    assert ("OK", ['{"n":[9,2]}', "[1]"]) == (reply, await json.run("JSON.MGET", "a", "b", "."))


# --- permissions ------------------------------------------------------------------------------------------------------


async def test_read_only_user_can_read_but_not_write(json: JsonClient, json_server: DatabaseServer) -> None:
    """
    With the read-only password, every reading command works, and every other is refused by its own name.
    """
    await json.run("JSON.SET", "d", "$", '{"a":1}')

    async with await JsonClient.connect(json_server, "default_ro") as reader:
        read = await reader.run("JSON.GET", "d"), await reader.run("TYPE", "d"), await reader.run("JSON.TYPE", "d")
        denied = {
            name: await reader.run(name, *arguments)
            for name, *arguments in (
                ("JSON.SET", "d", "$", "1"),
                ("JSON.DEL", "d"),
                ("JSON.NUMINCRBY", "d", "$.a", "1"),
                ("JSON.SET", "d", "$", "{"),
            )
        }

    assert ('{"a":1}', "json", "object") == read
    assert {
        name: Error(f"NOPERM User default_ro has no permissions to run the '{name.lower()}' command") for name in denied
    } == denied


async def test_read_only_user_cannot_scan_for_documents(json_server: DatabaseServer) -> None:
    """
    The read-only user may not run SCAN, as at Upstash, and therefore not SCAN with a type either.
    """
    async with await JsonClient.connect(json_server, "default_ro") as reader:
        plain = await reader.run("SCAN", "0")
        typed = await reader.run("SCAN", "0", "TYPE", "json")

    assert isinstance(plain, Error)
    assert plain == typed


async def test_unknown_json_command_is_unknown(json: JsonClient) -> None:
    """
    A command that does not exist is refused as any other.
    """
    reply = await json.run("JSON.NOPE", "d")

    assert isinstance(reply, Error)
    assert "unknown command 'JSON.NOPE'" in reply.text


# --- functions --------------------------------------------------------------------------------------------------------

LIBRARY = "#!lua name=mine\nserver.register_function('twice', function(keys, args) return args[1] * 2 end)"


async def test_clients_have_functions_of_their_own(json: JsonClient) -> None:
    """
    FUNCTION LIST and STATS show only the client's library, and FLUSH removes only that.
    """
    await json.run("FUNCTION", "FLUSH")
    assert [] == await json.run("FUNCTION", "LIST")

    await json.run("FUNCTION", "LOAD", LIBRARY)
    listed = await json.run("FUNCTION", "LIST", "WITHCODE")
    stats = await json.run("FUNCTION", "STATS")
    called = await json.run("FCALL", "twice", 0, 21)
    flushed = await json.run("FUNCTION", "FLUSH", "SYNC")

    assert ["mine"] == [library[1] for library in listed]
    assert ["LUA", ["libraries_count", 1, "functions_count", 1]] == stats[3]
    assert (42, "OK") == (called, flushed)
    assert [] == await json.run("FUNCTION", "LIST")
    assert "OK" == await json.run("JSON.SET", "d", "$", "1")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("FUNCTION", "DELETE", "upstash_helper"), Error("ERR Library not found")),
        (
            ("FUNCTION", "LOAD", "REPLACE", "#!lua name=upstash_helper\n"),
            Error("ERR Library 'upstash_helper' already exists"),
        ),
        (
            ("FUNCTION", "LOAD", "REPLACE", LIBRARY.replace("=mine", '="upstash_helper"')),
            Error("ERR Library 'upstash_helper' already exists"),
        ),
        (
            ("FUNCTION", "LOAD", "REPLACE", LIBRARY.replace("=mine", '="\\x75pstash_helper"')),
            Error("ERR Library 'upstash_helper' already exists"),
        ),
        (
            ("FUNCTION", "LOAD", LIBRARY.replace("twice", "upstash_helper_json_next")),
            Error("ERR Names of functions that begin with 'upstash_helper_' are reserved"),
        ),
        (("FUNCTION", "DUMP"), Error("ERR unknown subcommand 'DUMP'. Try FUNCTION HELP.")),
        (("FUNCTION", "RESTORE", "x", "FLUSH"), Error("ERR unknown subcommand 'RESTORE'. Try FUNCTION HELP.")),
        (("FCALL", "upstash_helper_json_set", "1", "d", "x"), Error("ERR Function not found")),
        (("fcall_ro", "UPSTASH_helper_json_get", "1", "d"), Error("ERR Function not found")),
    ],
)
async def test_clients_cannot_reach_the_sandboxs_functions(
    json: JsonClient, command: tuple[str, ...], reply: Error
) -> None:
    """
    For clients, the library does not exist, so that they cannot store text that is not JSON, or delete it.
    """
    assert reply == await json.run(*command)
    assert "OK" == await json.run("JSON.SET", "d", "$", "1")


# --- servers ----------------------------------------------------------------------------------------------------------


async def test_documents_and_functions_survive_a_restart(tmp_path: Path) -> None:
    """
    After a clean stop and a start, documents are there, and so are the client's own functions.
    """
    folder = Folder(tmp_path / "data")
    try:
        find_valkey()
    except LookupError as reason:
        pytest.skip(f"platform: {reason}")
    server = choose_backend(folder, CertificateAuthority(folder, "127.0.0.1")).new_server("0123456789abcdef")
    config = server_config()
    try:
        await server.start(config)
        async with await JsonClient.connect(server) as client:
            await client.run("JSON.SET", "d", "$", '{"a":1}')
            await client.run("FUNCTION", "LOAD", LIBRARY)
        await server.stop()
        await server.start(config)
        async with await JsonClient.connect(server) as client:
            increased = await client.run("JSON.NUMINCRBY", "d", "$.a", "1")
            listed = await client.run("FUNCTION", "LIST")
    finally:
        await server.kill()

    assert "[2]" == increased
    assert ["mine"] == [library[1] for library in listed]


async def test_fakeredis_refuses_the_commands_by_name(tmp_path: Path) -> None:
    """
    Where there is no Valkey, JSON commands are refused with one sentence, and TYPE and SCAN work.
    """
    from upstash_helper.sandbox.redis.fakeredis import FakeredisServer

    folder = Folder(tmp_path / "data")
    server = FakeredisServer(
        folder=folder.database("fake"), tls_proxy=TlsProxy(CertificateAuthority(folder, "127.0.0.1"))
    )
    try:
        await server.start(server_config())
        over_rest = await server.run(
            "default",
            [[b"JSON.SET", b"d", b"$", b"1"], [b"SET", b"t", b"1"], [b"TYPE", b"t"], [b"SCAN", b"0", b"TYPE", b"json"]],
        )
        async with await server.connect("default") as connection:
            over_tcp = await connection.call("json.get", "d")
    finally:
        await server.kill()

    refused, _, kind, scanned = over_rest
    assert ErrorReply(b"ERR The sandbox does not have 'json.set' without Valkey") == refused
    assert ErrorReply(b"ERR The sandbox does not have 'json.get' without Valkey") == over_tcp
    assert SimpleString(b"string") == kind
    assert [b"0", []] == scanned
