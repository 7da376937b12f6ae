"""The requirements files, which pin every package."""

from __future__ import annotations

import itertools
import re
import tomllib
from importlib import metadata
from typing import Any

import pytest

from install.environment import DEVELOPMENT, FILES, ROOT, RUNTIME, TEST

_GROUPS = {RUNTIME: ("build",), TEST: ("build", "test"), DEVELOPMENT: ("build", "test", "dev")}

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z0-9,-]+\])?==(?P<version>[^ ]+)( ; (?P<marker>.+))?")
_WITH_EXTRAS = re.compile(r"(?P<name>[A-Za-z0-9-]+)\[(?P<extras>[^]]+)\]")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(file: str) -> list[list[str]]:
    """Return the entries of a requirements file: each a pin and its hashes."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [[part.strip() for part in entry.split("\\\n")] for entry in re.split(r"\n(?! )", text) if entry.strip()]


def pins(file: str) -> set[tuple[str, str]]:
    """Return the names and versions of the pinned packages."""
    matches = (_PIN.fullmatch(entry[0]) for entry in entries(file))
    return {(match["name"], match["version"]) for match in matches if match}


def direct_dependencies(file: str) -> set[str]:
    """Return the names of the direct dependencies in pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    requirements = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["sandbox"],
        *project["project"]["optional-dependencies"]["tray"],
        *(requirement for name in _GROUPS[file] for requirement in groups[name] if isinstance(requirement, str)),
    ]
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("file", FILES)
def test_every_package_has_a_version_and_hashes(file: str) -> None:
    """
    Every entry is an exact version with SHA-256 hashes.
    """
    for pin, *hashes in entries(file):
        assert _PIN.fullmatch(pin), pin
        assert hashes, pin
        assert [] == [text for text in hashes if not _HASH.fullmatch(text)]


@pytest.mark.parametrize("file", FILES)
def test_no_index_or_folder_is_named(file: str) -> None:
    """
    The files contain no package index, and no path of the machine that generated them.
    """
    text = (ROOT / file).read_text(encoding="utf-8")

    for trace in ("://", "index", "find-links", "file:", "@ ", " -e", " /", "\\\\"):
        assert trace not in text


@pytest.mark.parametrize("file", FILES)
def test_all_direct_dependencies_are_pinned(file: str) -> None:
    """
    Every dependency in pyproject.toml is pinned.
    """
    names = {name for name, _ in pins(file)}

    assert set() == direct_dependencies(file) - names


@pytest.mark.parametrize(("smaller", "larger"), list(itertools.pairwise(FILES)))
def test_larger_files_include_the_smaller(smaller: str, larger: str) -> None:
    """
    Each file contains every pin of the one before, so that one environment is enough for both.
    """
    assert set() == pins(smaller) - pins(larger)


def test_pins_include_extras() -> None:
    """
    A package that another one requires with extras is pinned with them, because pip before 24 needs this.
    """
    pinned = {
        name: extras or "" for name, extras in re.findall(r"^([a-z0-9-]+)(\[[a-z0-9,-]+\])?==", _text(), re.MULTILINE)
    }
    required = {
        (match["name"].lower(), extra.strip().lower())
        for distribution in metadata.distributions()
        for requirement in distribution.requires or ()
        if "extra ==" not in requirement and (match := _WITH_EXTRAS.match(requirement))
        for extra in match["extras"].split(",")
    }

    assert ("coverage", "toml") in required, "nothing is tested"
    assert [] == [(name, extra) for name, extra in required if name in pinned and extra not in pinned[name]]


def _text() -> str:
    return (ROOT / DEVELOPMENT).read_text(encoding="utf-8")


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_pins_are_for_all_platforms(platform: str) -> None:
    """
    The pins contain packages for each platform.
    """
    markers = [entry[0].partition(" ; ")[2] for entry in entries(RUNTIME)]

    assert [marker for marker in markers if f"sys_platform == '{platform}'" in marker]
