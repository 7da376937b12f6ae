"""Conventions of the tests that no linter checks: what a test must assert, and what it must not read."""

from __future__ import annotations

import ast
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

from install.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    Function = ast.FunctionDef | ast.AsyncFunctionDef

WAITING: Final = frozenset({"until", "until_async", "eventually"})
"""Functions that return once a condition holds, and fail by a time limit otherwise."""
EXPECTATIONS: Final = frozenset({"raises", "warns", "fail"})
"""Functions of pytest that fail a test, like ``assert``."""

SAMPLES: Final = frozenset({"is_visible", "is_hidden", "is_enabled", "is_disabled", "is_checked", "count"})
"""Methods of a Playwright locator that return the state of a page at once, which may still be loading."""

ALLOWED_PRIVATE: Final = {
    ("tests/tray/test_statusnotifier.py", "_scheduled"): "asyncio has no public way to list an event loop's timers.",
}
"""Private names that a test may use, by file and name, with the reason."""

OWN: Final = frozenset({"self", "cls"})
DOCUMENTED: Final = frozenset({("os", "_exit"), ("sys", "_getframe"), ("sys", "_current_frames"), ("sys", "_MEIPASS")})
"""Public functions in spite of their names."""


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return the path and the syntax tree of each Python file of the tests."""
    paths = sorted(path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts)
    return tuple((path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths)


def functions_in(tree: ast.Module) -> Iterator[Function]:
    """Yield the test functions of a file, including those in classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def asserts(test: Function) -> bool:
    """Return whether a test compares something itself, apart from what a wait returns."""
    return any(
        (isinstance(node, ast.Assert) and not _is_trivial(node.test)) or _is_expectation(node)
        for node in ast.walk(test)
    )


def _is_trivial(tested: ast.expr) -> bool:
    call = tested.value if isinstance(tested, ast.Await) else tested
    waits = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in WAITING
    return waits or isinstance(tested, ast.Constant)


def _is_expectation(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr in EXPECTATIONS) == ("pytest", True)
    )


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each private attribute that is not the object's own, and of private imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in OWN or (owner, name) in DOCUMENTED:
                pass
            case ast.Attribute(attr=name, lineno=line) if _is_private(name):
                yield line, name
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr") | ast.Attribute(attr="setattr"),
                args=[_, ast.Constant(value=str(name)), *_],
                lineno=line,
            ) if _is_private(name):
                yield line, name
            case ast.ImportFrom(names=names, lineno=line):
                yield from ((line, it.name) for it in names if _is_private(it.name))
            case _:
                pass


def samples(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each method by which an assertion reads a page's state without waiting."""
    for asserted in (node for node in ast.walk(tree) if isinstance(node, ast.Assert)):
        for node in ast.walk(asserted):
            match node:
                case ast.Await(value=ast.Call(func=ast.Attribute(attr=name), lineno=line)) if name in SAMPLES:
                    yield line, name
                case _:
                    pass


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_every_test_asserts_something() -> None:
    """
    A test that only waits for a condition shows no more than that: it must also assert the state it waited for.
    """
    found = [(path, test) for path, tree in sources() for test in functions_in(tree)]

    silent = [f"{path}:{test.lineno} {test.name}" for path, test in found if not asserts(test)]

    assert len(found) > 1000
    assert not silent, "These tests assert nothing:\n" + "\n".join(silent)


def test_tests_read_no_private_attributes() -> None:
    """
    Tests use what the code offers to its other users, so that it can change inside without breaking them.
    """
    found = [(path, line, name) for path, tree in sources() for line, name in private_names(tree)]

    private = [f"{path}:{line} {name}" for path, line, name in found if (path, name) not in ALLOWED_PRIVATE]

    assert not private, "Use a port or a public property instead of:\n" + "\n".join(private)
    assert set(ALLOWED_PRIVATE) == {(path, name) for path, _, name in found}


def test_assertions_wait_for_the_state_of_a_page() -> None:
    """
    A page loads its parts independently: what is not visible now may be in a moment, on a slower computer.
    """
    found = [f"{path}:{line} {name}" for path, tree in sources() for line, name in samples(tree)]

    assert not found, "Use playwright's expect(), which waits, instead of:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("assert await button.is_visible()", ["is_visible"]),
        ("assert 0 == await page.get_by_role('dialog').count()", ["count"]),
        ("assert 1 == names.count('orders')", []),
        ("await expect(button).to_be_visible()", []),
    ],
)
def test_samples_are_found(line: str, expected: list[str]) -> None:
    """
    The scan finds locators' methods in assertions, but not methods of the same name that are not awaited.
    """
    tree = ast.parse(f"async def test_x():\n    {line}")

    assert expected == [name for _, name in samples(tree)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("until(lambda: seen)", False),
        ("assert until(lambda: seen)", False),
        ("assert await until_async(lambda: seen)", False),
        ("assert True", False),
        ("assert seen == [1]", True),
        ("with pytest.raises(ValueError): int('x')", True),
        ("pytest.skip('no display')", False),
    ],
)
def test_waiting_is_no_assertion(body: str, expected: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """
    The scan counts comparisons and expected exceptions, but neither waiting nor constants.
    """
    [test] = functions_in(ast.parse(f"async def test_x():\n{textwrap.indent(body, '    ')}"))

    assert expected is asserts(test)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("self._x", []),
        ("os._exit(1)", []),
        ("daemon.__class__", []),
        ("daemon._x", ["_x"]),
        ("self.daemon._x.y", ["_x"]),
        ("getattr(daemon, '_x')", ["_x"]),
        ("monkeypatch.setattr(daemon, '_x', 1)", ["_x"]),
        ("from upstash_helper.x import _y as y", ["_y"]),
    ],
)
def test_private_names_are_found(line: str, expected: list[str]) -> None:
    """
    The scan finds attributes in any expression, by their name in a string, and imports.
    """
    assert expected == [name for _, name in private_names(ast.parse(line))]
