"""Texts are plain American English: a short list of words shows when they are not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import pytest

from install.environment import ROOT
from upstash_helper.cli.app import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

AVOIDED: Final = {
    r"anew": "again",
    r"shall": "must, should",
    r"whoever|whomever": "name the person or thing",
    r"mend(?:s|ed|ing)?": "fix",
    r"in clear": "in plaintext",
    r"(?:let|lets|letting) in": "has access, approve",
    r"wish(?:es|ed|ing)?": "request",
    r"stands": "is",
    r"tells": "shows, prints, reports, names",
    r"for ever": "forever",
    r"all the same": "leave it out",
    r"by itself": "automatically, or leave it out",
    r"(?:colou|behaviou|favou|neighbou|honou)rs?|licences?|catalogues?": "American spelling",
}
"""Words to avoid, and what to write instead."""

_WORD: Final = re.compile(rf"\b(?:{'|'.join(f'(?:{word})' for word in AVOIDED)})\b", re.IGNORECASE)

STORED: Final = re.compile(r"\bstored\.wished\b|`wished`|const wished = |token: \"uha_old\", wished")
"""A key that browsers have in their storage."""

FOLDERS: Final = ("daemon", "tray", "install", "tests")
DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "pyproject.toml")
SUFFIXES: Final = frozenset(
    {".py", ".js", ".mjs", ".ts", ".html", ".css", ".md", ".toml", ".service", ".socket", ".desktop", ".plist", ".xml"}
)


def texts() -> Iterator[Path]:
    """Yield our files: code with its comments, pages, documents, and templates."""
    yield from (ROOT / name for name in DOCUMENTS)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            left_out = {"node_modules", "__pycache__"} & set(path.parts)
            if path.suffix in SUFFIXES and not left_out and path != Path(__file__):
                yield path


def found_in(text: str) -> list[str]:
    """Return the lines that have a word to avoid, each with the word."""
    return [
        f"{number}: {match[0]!r} in {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in _WORD.finditer(STORED.sub("", line))
    ]


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield a command and all below it, with their paths."""
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, click.Context(child, info_name=name, parent=context, **child.context_settings))


def test_code_pages_and_documents_avoid_the_listed_words() -> None:
    """
    No sentence in code, pages, notifications, catalog, templates, or documents uses a word from the list.
    """
    files = list(texts())

    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in found_in(path.read_text("utf-8"))]

    assert len(files) > 500
    assert not found, f"{len(found)} words to avoid:\n" + "\n".join(found[:400])


def test_help_of_every_command_avoids_the_listed_words() -> None:
    """
    What `--help` prints, put together from many places, has none of the words either.
    """
    root = click.Context(cli, info_name="upstash-helper", **cli.context_settings)
    helps = {path: command.get_help(context) for path, command, context in commands(cli, root)}

    found = [f"{path}: {line}" for path, text in helps.items() for line in found_in(text)]

    assert len(helps) > 30
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["Do it anew.", "an app is let in", "it TELLS where", "kept in clear", "the colour"])
def test_a_word_to_avoid_is_found(text: str) -> None:
    """
    The search finds a word whatever its case, and reports the line.
    """
    [found] = found_in(f"first\n{text}")

    assert found.startswith("2: ")


@pytest.mark.parametrize("text", ["recommended", "marshalled", "standstill", "the color", "wishlist"])
def test_a_word_that_only_contains_one_is_not(text: str) -> None:
    """
    Only whole words count.
    """
    assert [] == found_in(text)
