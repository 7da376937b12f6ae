"""The files that pin every package."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from typing import Any

import pytest

from install.environment import DEVELOPMENT, ROOT, RUNTIME

FILES = (RUNTIME, DEVELOPMENT)

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z0-9,-]+\])?==(?P<version>[^ ]+)( ; (?P<marker>.+))?")
_WITH_EXTRAS = re.compile(r"(?P<name>[A-Za-z0-9-]+)\[(?P<extras>[^]]+)\]")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(file: str) -> list[list[str]]:
    """Return the entries of a requirement file: each the pin and its hashes."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [[part.strip() for part in entry.split("\\\n")] for entry in re.split(r"\n(?! )", text) if entry.strip()]


def pins(file: str) -> set[tuple[str, str]]:
    """Return names and versions."""
    found = (_PIN.fullmatch(entry[0]) for entry in entries(file))
    return {(match["name"], match["version"]) for match in found if match}


def asked_for(file: str) -> set[str]:
    """Return the names that pyproject.toml asks for by itself."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wishes = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["sandbox"],
        *project["project"]["optional-dependencies"]["tray"],
        *groups["build"],
        *(wish for wish in groups["dev"] if file == DEVELOPMENT and isinstance(wish, str)),
    ]
    return {re.split(r"[^A-Za-z0-9._-]", wish)[0].lower() for wish in wishes}


@pytest.mark.parametrize("file", FILES)
def test_every_package_has_a_version_and_hashes(file: str) -> None:
    """
    What is installed is what was pinned, to the byte.
    """
    for pin, *hashes in entries(file):
        assert _PIN.fullmatch(pin), pin
        assert hashes, pin
        assert [] == [text for text in hashes if not _HASH.fullmatch(text)]


@pytest.mark.parametrize("file", FILES)
def test_no_index_and_no_folder_is_named(file: str) -> None:
    """
    Where packages come from is the user's to say, and whoever pinned them leaves no trace of their machine.
    """
    text = (ROOT / file).read_text(encoding="utf-8")

    for trace in ("://", "index", "find-links", "file:", "@ ", " -e", " /", "\\\\"):
        assert trace not in text


@pytest.mark.parametrize("file", FILES)
def test_everything_that_the_project_asks_for_is_pinned(file: str) -> None:
    """
    A dependency that was added and not pinned would lack on every machine but the author's.
    """
    names = {name for name, _ in pins(file)}

    assert set() == asked_for(file) - names


def test_tests_run_on_the_versions_of_the_demo() -> None:
    """
    The file for tests holds every pin of the other one, so one environment serves both.
    """
    assert set() == pins(RUNTIME) - pins(DEVELOPMENT)


def test_extras_stand_in_the_pins() -> None:
    """
    A package that another one asks for with extras is pinned with them: pip before 24 takes nothing else for its pin.
    """
    pinned = {
        name: extras or "" for name, extras in re.findall(r"^([a-z0-9-]+)(\[[a-z0-9,-]+\])?==", _text(), re.MULTILINE)
    }
    wanted = {
        (match["name"].lower(), extra.strip().lower())
        for distribution in metadata.distributions()
        for wish in distribution.requires or ()
        if "extra ==" not in wish and (match := _WITH_EXTRAS.match(wish))
        for extra in match["extras"].split(",")
    }

    assert ("coverage", "toml") in wanted, "nothing is tested"
    assert [] == [(name, extra) for name, extra in wanted if name in pinned and extra not in pinned[name]]


def _text() -> str:
    return (ROOT / DEVELOPMENT).read_text(encoding="utf-8")


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_each_platform_is_thought_of(platform: str) -> None:
    """
    The pins are made for all platforms at once: each has packages of its own.
    """
    markers = [entry[0].partition(" ; ")[2] for entry in entries(RUNTIME)]

    assert [marker for marker in markers if f"sys_platform == '{platform}'" in marker]
