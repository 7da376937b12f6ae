"""The documents: links, anchors, paths, and commands in them exist."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import click
import pytest

from install.environment import ROOT
from upstash_helper.cli.app import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_OUT: Final = {"node_modules", ".pytest_cache", "build", "dist"}
DOCUMENTS: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not _LEFT_OUT & set(path.relative_to(ROOT).parts) and not path.relative_to(ROOT).parts[0].startswith(".venv")
)

_FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)|\b(?:src|srcset|href)=\"([^\"]+)\"")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_PATH: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|js|ts|md|toml|svg|json)")

# CONTRIBUTING names files of the package without its own path, and those of the JavaScript tests as well.
_BASES: Final = (".", "daemon/upstash_helper", "daemon/upstash_helper/web", "tests/javascript")


def prose(document: str) -> str:
    """Return a document without its code blocks."""
    return _FENCED.sub("", (ROOT / document).read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    slugs: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = 0
        while (unique := f"{slug}-{number}" if number else slug) in slugs:
            number += 1
        slugs.add(unique)
    return slugs


def broken_link(document: str, target: str) -> str | None:
    """Return what is wrong with a relative link, or None."""
    path, _, anchor = target.partition("#")
    linked = (ROOT / document).parent / path if path else ROOT / document
    if not linked.exists():
        return f"{document}: {target}: no such file"
    if anchor and anchor not in anchors(linked.read_text("utf-8")):
        return f"{document}: {target}: no such heading"
    return None


def commands(document: str) -> Iterator[str]:
    """Yield the ``upstash-helper`` commands of a document, in code blocks and in the text."""
    text = (ROOT / document).read_text("utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("upstash-helper "):
                yield line
    for code in _CODE.findall(prose(document)):
        if code.startswith("upstash-helper "):
            yield " ".join(code.split())


def problem_with(line: str) -> str | None:
    """Return what is wrong with a command, or None: a command or an option that does not exist."""
    words = shlex.split(line.replace("[", "").replace("]", "").replace("|", " ").replace("…", ""), comments=True)
    command: click.Command = cli
    for previous, word in pairwise(words):
        if word in {">", ">>", "<"}:
            break
        if previous == "--profile":
            continue
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            # Not its parameters: `run` parses its flags without click.
            known = re.findall(r"--?[a-z][a-z-]*", command.get_help(click.Context(command, **command.context_settings)))
            if name not in known:
                return f"{line}: no option {name}"
        elif isinstance(command, click.Group):
            child = command.get_command(click.Context(command, **command.context_settings), word)
            if child is None:
                return f"{line}: no command {word}"
            command = child
    return None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_and_anchors_exist(document: str) -> None:
    """
    Every relative link leads to a file or folder in the checkout, and its anchor to a heading.
    """
    targets = [link or source for link, source in _LINK.findall(prose(document))]

    broken = [broken_link(document, it) for it in targets if not re.match(r"[a-z]+:", it)]

    assert [] == [it for it in broken if it]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document: str) -> None:
    """
    A path to a source file in the text exists.
    """
    folders = [(ROOT / document).parent, *(ROOT / base for base in _BASES)]
    paths = {path for code in _CODE.findall(prose(document)) for path in code.split() if _PATH.fullmatch(path)}

    assert [] == sorted(it for it in paths if not any((folder / it).exists() for folder in folders))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_options_exist(document: str) -> None:
    """
    Every ``upstash-helper`` command in a document exists, with its options.
    """
    assert [] == [it for it in map(problem_with, commands(document)) if it]


def test_documents_link_to_each_other() -> None:
    """
    The documents, their links, and their commands are found.
    """
    readme = _LINK.findall(prose("README.md"))

    assert {"README.md", "SECURITY.md", "install/README.md", "daemon/upstash_helper/api/README.md"} <= set(DOCUMENTS)
    assert ("install/TROUBLESHOOTING.md", "") in readme
    assert ("", "tests/browser/pictures/dashboard-light.png") in readme
    assert "upstash-helper databases delete cache --yes" in set(commands("README.md"))


@pytest.mark.parametrize("target", ["MISSING.md", "README.md#no-such-heading", "#no-such-heading"])
def test_broken_link_is_reported(target: str) -> None:
    """
    A missing file, and a missing heading of this or another document, are noticed.
    """
    assert broken_link("CONTRIBUTING.md", target) is not None


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    """
    Punctuation and code marks are dropped, and a repeated heading is numbered.
    """
    text = "# Use: `install.py`\n\n```sh\n# not a heading\n```\n## Same\n## Same\n"

    assert {"use-installpy", "same", "same-1"} == anchors(text)


@pytest.mark.parametrize("line", ["upstash-helper bogus", "upstash-helper apps bogus", "upstash-helper open --bogus"])
def test_missing_command_or_option_is_reported(line: str) -> None:
    """
    A command, a subcommand, and an option that do not exist are noticed.
    """
    assert problem_with(line) is not None
