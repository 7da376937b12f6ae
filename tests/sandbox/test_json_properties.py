"""`JSON.*` compared with Python: random values are stored unchanged, and random paths select the same values."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.json_commands import Error, JsonClient
from upstash_helper.sandbox.redis.dialect.json_text import MAX_DEPTH, InvalidJson, to_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upstash_helper.sandbox.redis.servers import DatabaseServer

    Run = Callable[..., Any]

# The server is shared, and each example replaces the document.
CALM = settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", "{", "}]", '\\"', "\\\\u0022", "\\u0022", '":', '"a":', "\x00\n", "{'a':[1,2", "é😀"]
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arrays and objects, whose keys are often equal, so that `..` has something to find."""
    return st.lists(inner, max_size=5) | st.dictionaries(NAMES | TEXTS, inner, max_size=5)


VALUES = st.recursive(SCALARS, containers, max_leaves=25)

# --- an evaluation of paths in Python ---------------------------------------------------------------------------------

INDEXES = st.integers(-4, 4)
BOUNDS = st.none() | INDEXES


def bracketed(names: list[str]) -> str:
    """Return a union of names in bracket notation."""
    quoted = [json.dumps(name, ensure_ascii=False) if "'" in name else f"'{name}'" for name in names]
    return f"[{','.join(quoted)}]"


STEPS = st.tuples(
    st.booleans(),
    st.one_of(
        st.tuples(st.just("name"), NAMES),
        st.tuples(st.just("names"), st.lists(NAMES, min_size=1, max_size=3)),
        st.tuples(st.just("indexes"), st.lists(INDEXES, min_size=1, max_size=3)),
        st.tuples(st.just("slice"), st.tuples(BOUNDS, BOUNDS, st.none() | st.integers(1, 3))),
        st.tuples(st.just("all"), st.booleans()),
        st.tuples(st.just("greater"), st.tuples(NAMES, st.integers(-5, 5))),
        st.tuples(st.just("has"), NAMES),
    ),
)
Step = tuple[bool, tuple[str, Any]]
Place = tuple[Any, ...]


def render(step: Step) -> str:
    """Return a step as text."""
    deep, (kind, content) = step
    if kind == "name":
        return f"..{content}" if deep else f".{content}"
    if kind == "all" and content:
        return "..*" if deep else ".*"
    texts: dict[str, Callable[[], str]] = {
        "names": lambda: bracketed(content)[1:-1],
        "indexes": lambda: ",".join(map(str, content)),
        "slice": lambda: ":".join("" if bound is None else str(bound) for bound in content),
        "all": lambda: "*",
        "greater": lambda: f"?(@.{content[0]}>{content[1]})",
        "has": lambda: f"?(@.{content})",
    }
    inside = texts[kind]()
    return f"..[{inside}]" if deep else f"[{inside}]"


def at(value: Any, place: Place) -> Any:
    """Return the value at a place."""
    for key in place:
        value = value[key]
    return value


def children(value: Any) -> list[Any]:
    """Return the keys or indexes of a value."""
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []


def is_greater(value: Any, name: str, number: int) -> bool:
    """Return whether a member is a number above another."""
    found = value.get(name) if isinstance(value, dict) else None
    return isinstance(found, int | float) and not isinstance(found, bool) and found > number


def picked(value: Any, kind: str, content: Any) -> list[Any]:
    """Return the keys or indexes that one step selects in a value."""
    size = len(value) if isinstance(value, list) else 0
    members = value if isinstance(value, dict) else {}
    keys: dict[str, Callable[[], list[Any]]] = {
        "name": lambda: [content] if content in members else [],
        "names": lambda: [name for name in content if name in members],
        "indexes": lambda: [index % size for index in content if -size <= index < size],
        "slice": lambda: list(range(size))[slice(*content)],
        "all": lambda: children(value),
        "greater": lambda: [child for child in children(value) if is_greater(value[child], *content)],
        "has": lambda: [
            child for child in children(value) if isinstance(value[child], dict) and content in value[child]
        ],
    }
    return keys[kind]()


def select(document: Any, steps: list[Step]) -> list[Place]:
    """Return the places that a path selects, the deeper ones first, as Upstash does."""
    places: list[Place] = [()]
    for deep, (kind, content) in steps:
        found: list[Place] = []

        def visit(place: Place, kind: str = kind, content: Any = content, *, deep: bool = deep) -> None:
            value = at(document, place)
            if deep:
                for child in children(value):
                    visit((*place, child), kind, content, deep=True)
            found.extend((*place, child) for child in picked(value, kind, content))  # noqa: B023 - called here only

        for place in places:
            visit(place)
        places = found
    return places


def outermost(places: list[Place]) -> list[Place]:
    """Return the places that are not inside of others, without repetitions."""
    unique = set(places)
    return [place for place in dict.fromkeys(places) if not any(place[:end] in unique for end in range(len(place)))]


# --- properties -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(json_server: DatabaseServer) -> Iterator[Run]:
    """Runs a command."""
    with asyncio.Runner() as runner:
        client = runner.run(JsonClient.connect(json_server))
        yield lambda *arguments: runner.run(client.run(*arguments))
        runner.run(client.__aexit__())


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal, also in type and order."""
    return json.dumps(left) == json.dumps(right)


@given(VALUES)
@CALM
def test_stored_value_comes_back(run: Run, value: Any) -> None:
    """
    Every JSON value is stored and returned unchanged: order, integers, floats, and strings.
    """
    run("JSON.SET", "p", "$", json.dumps(value))

    assert same(value, json.loads(run("JSON.GET", "p")))
    assert same([value], json.loads(run("JSON.GET", "p", "INDENT", " ", "NEWLINE", "\r\n", "SPACE", "  ", "$")))


@given(st.text(max_size=12) | st.text('[]{}",:0123456789.eE+-truefalsn\\u ', max_size=12))
def test_text_is_accepted_exactly_if_it_is_json(text: str) -> None:
    """
    A text is stored if it is JSON as RFC 8259 defines it, with numbers that are not too large.
    """

    def reject(constant: str) -> None:
        raise ValueError(constant)

    def parse_float(digits: str) -> float:
        if float(digits) in (float("inf"), float("-inf")):
            raise ValueError(digits)
        return float(digits)

    try:
        value = json.loads(text, parse_constant=reject, parse_float=parse_float)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        with pytest.raises(InvalidJson):
            to_stored(text.encode("utf-8", "surrogatepass"))
    else:
        assert same(value, json.loads(to_stored(text.encode())))


@given(VALUES, st.lists(STEPS, max_size=3))
@CALM
def test_path_selects_what_python_selects(run: Run, document: Any, steps: list[Step]) -> None:
    """
    Names, unions, indexes, slices, wildcards, filters, and recursive descent select the same values in the same order.
    """
    path = "$" + "".join(map(render, steps))
    run("JSON.SET", "p", "$", json.dumps(document))

    expected = [at(document, place) for place in select(document, steps)]

    assert same(expected, json.loads(run("JSON.GET", "p", path)))


@given(VALUES, st.lists(STEPS, min_size=1, max_size=3))
@CALM
def test_path_deletes_what_python_deletes(run: Run, document: Any, steps: list[Step]) -> None:
    """
    JSON.DEL removes what the path selects, and leaves the rest unchanged.
    """
    path = "$" + "".join(map(render, steps))
    run("JSON.SET", "p", "$", json.dumps(document))
    expected, places = copy.deepcopy(document), outermost(select(document, steps))
    for place in sorted(places, key=lambda place: [key if isinstance(key, int) else -1 for key in place], reverse=True):
        del at(expected, place[:-1])[place[-1]]

    count = run("JSON.DEL", "p", path)

    assert len(places) == count
    assert same(expected, json.loads(run("JSON.GET", "p")))


@given(VALUES, st.lists(STEPS, min_size=1, max_size=3), VALUES)
@CALM
def test_path_sets_what_python_sets(run: Run, document: Any, steps: list[Step], value: Any) -> None:
    """
    JSON.SET replaces what the path selects, and leaves the rest unchanged.
    """
    path = "$" + "".join(map(render, steps))
    run("JSON.SET", "p", "$", json.dumps(document))
    expected, places = copy.deepcopy(document), outermost(select(document, steps))
    for place in places:
        at(expected, place[:-1])[place[-1]] = value

    reply = run("JSON.SET", "p", path, json.dumps(value), "XX")

    assert ("OK" if places else None) == reply
    assert same(expected, json.loads(run("JSON.GET", "p")))


@given(TEXTS, SCALARS)
@CALM
def test_any_name_can_be_used_in_brackets(run: Run, name: str, value: Any) -> None:
    """
    A member with any name can be added, read, listed, and deleted.
    """
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    path = f'$["{quoted}"]'
    run("JSON.SET", "p", "$", '{"other":1}')
    run("JSON.DEL", "p", path)

    assert "OK" == run("JSON.SET", "p", path, json.dumps(value))
    assert same([value], json.loads(run("JSON.GET", "p", path)))
    assert name in run("JSON.OBJKEYS", "p")
    assert same({path: [value], ".": [{"other": 1, name: value} if name != "other" else {name: value}]},
                json.loads(run("JSON.GET", "p", path, ".")))  # fmt: skip
    assert 1 == run("JSON.DEL", "p", path)


def merged(target: Any, patch: Any) -> Any:
    """Return the result of a JSON Merge Patch, as RFC 7396 defines it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(VALUES, VALUES)
@CALM
def test_merge_follows_the_rfc(run: Run, document: Any, patch: Any) -> None:
    """
    JSON.MERGE does what RFC 7396 says.
    """
    run("JSON.SET", "p", "$", json.dumps(document))

    assert "OK" == run("JSON.MERGE", "p", "$", json.dumps(patch))
    assert merged(document, patch) == json.loads(run("JSON.GET", "p"))


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
@CALM
def test_integers_are_exact(run: Run, left: int, right: int) -> None:
    """
    Sums and products of integers have all their digits.
    """
    run("JSON.MSET", "p", "$", str(left), "q", "$", str(left))

    assert [left + right] == json.loads(run("JSON.NUMINCRBY", "p", "$", str(right)))
    assert [left * right] == json.loads(run("JSON.NUMMULTBY", "q", "$", str(right)))


@given(NUMBERS, NUMBERS)
@CALM
def test_floats_are_those_of_python(run: Run, left: float, right: float) -> None:
    """
    If one of the numbers is a float, the result is the float that Python computes.
    """
    run("JSON.SET", "p", "$", json.dumps(left))
    try:
        expected = left + right
    except OverflowError:
        expected = float("inf")

    reply = run("JSON.NUMINCRBY", "p", "$", json.dumps(right))

    if expected in (float("inf"), float("-inf")):
        assert Error("ERR result is not a number") == reply
    else:
        assert [expected] == json.loads(reply)


@given(st.text("$.[]*?()@\"'\\:,-01ab<=>!&| ", max_size=20))
@CALM
def test_no_path_is_a_fault(run: Run, path: str) -> None:
    """
    Every text is either a path or refused as an invalid one.
    """
    run("JSON.SET", "p", "$", '{"a":[{"b":1},{"a":"x"}]}')

    for command in (("JSON.GET", "p", path), ("JSON.DEL", "p", path), ("JSON.TYPE", "p", path)):
        reply = run(*command)

        if isinstance(reply, Error):
            assert reply.text.startswith(("ERR invalid path", "ERR Path '", "ERR the sandbox does not have")), path


def test_nesting_is_limited_exactly() -> None:
    """
    The deepest value that is allowed has as many levels as the limit.
    """
    assert to_stored(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(InvalidJson):
        to_stored(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")
