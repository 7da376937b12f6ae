"""What is in the packages: everything of ours, nothing of the developer's, and the same each time."""

from __future__ import annotations

import configparser
import email
import os
import re
import tomllib
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from install.environment import ROOT
from tests.support.packages import DIRT, build, copy_of_checkout, names_in, unpacked
from upstash_helper import __version__

if TYPE_CHECKING:
    from pathlib import Path

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = {"upstash_helper": ROOT / "daemon/upstash_helper", "upstash_helper_tray": ROOT / "tray/upstash_helper_tray"}
NAME = f"upstash_helper-{__version__}"
INFO = f"{NAME}.dist-info"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, as untidy as a developer's."""
    return copy_of_checkout(tmp_path_factory.mktemp("source") / "checkout")


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from it."""
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution that is built from it."""
    return build(checkout, "sdist", tmp_path_factory.mktemp("sdist"))


def files_below(folder: Path) -> set[str]:
    """Return what is in a folder of the checkout, but for what Python and the linters have left there."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not re.search(r"(^|/)(__pycache__|\.\w+_cache|node_modules)/", name)}


def is_for_developers(name: str) -> bool:
    """Return whether a file of our packages is left out of the wheel: what connect.js is built from, and types."""
    return re.search(r"^upstash_helper/web/(connect/|dashboard/.*\.d\.ts$)", name) is not None


def templates() -> set[str]:
    """Return what pyproject.toml puts into the wheel from elsewhere: what `upstash-helper install` fills in."""
    sources = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]
    elsewhere = {source: target for source, target in sources.items() if target}
    return {f"{target}/{name}" for source, target in elsewhere.items() for name in files_below(ROOT / source)}


def test_the_wheel_has_all_of_ours_and_nothing_else(wheel: Path) -> None:
    """
    Daemon and tray with their pages, types and templates, the licence, and no more: no test, no cache, no secret.
    """
    ours = {f"{package}/{name}" for package, folder in PACKAGES.items() for name in files_below(folder)} | templates()
    ours = {name for name in ours if not is_for_developers(name)}
    names = names_in(wheel)

    assert ours == {name for name in names if not name.startswith(f"{INFO}/")}
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"} == {
        name.removeprefix(f"{INFO}/") for name in names - ours
    }
    assert {
        "upstash_helper/py.typed",
        "upstash_helper/web/connect.js",
        "upstash_helper/web/dashboard/dashboard.html",
    } < names
    assert {"upstash_helper/sandbox/oauth/web/base.html", "upstash_helper_tray/run.py"} < names


def test_the_sdist_is_enough_for_everything(sdist: Path) -> None:
    """
    The sources, the tests, the scripts with what they read, and the texts: who has it needs no checkout.
    """
    names = names_in(sdist)

    assert {"PKG-INFO", "pyproject.toml", "LICENSE", "README.md", "requirements.txt", "requirements-dev.txt"} < names
    for folder in ("daemon", "tray", "tests", "install"):
        assert {f"{folder}/{name}" for name in files_below(ROOT / folder)} == {
            name for name in names if name.startswith(f"{folder}/")
        }


@pytest.mark.parametrize("package", ["wheel", "sdist"])
def test_nothing_of_the_developers_is_in_a_package(package: str, request: pytest.FixtureRequest) -> None:
    """
    A `.env`, compiled files and old packages stay where they are, whatever the folder that is packed.
    """
    path: Path = request.getfixturevalue(package)

    names = names_in(path)
    assert not names & set(DIRT)
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)\.(env|venv|git|coverage)(/|$)", name)]
    content = path.read_bytes() if package == "sdist" else b"".join(_contents(path))
    assert b"planted-secret" not in content
    assert not re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{32}", content)


def test_a_wheel_from_the_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """
    Whether it is built from the checkout or from the published source makes no difference.
    """
    source = unpacked(sdist, tmp_path / "source")

    again = build(source, "wheel", tmp_path / "wheel")

    assert names_in(wheel) == names_in(again)
    assert wheel.name == again.name
    assert list(_contents(wheel)) == list(_contents(again))


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_packages_are_reproducible(target: str, tmp_path: Path) -> None:
    """
    Built in another folder, from files of another day, with the same SOURCE_DATE_EPOCH, they are the same to the byte.
    """
    first = build(copy_of_checkout(tmp_path / "a"), target, tmp_path / "first", epoch=1_700_000_000)
    other = copy_of_checkout(tmp_path / "b folder")
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    second = build(other, target, tmp_path / "second", epoch=1_700_000_000)

    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_the_metadata_says_what_it_is(wheel: Path) -> None:
    """
    Name, version, licence, the command, the needed Python, and the extras with what is in them.
    """
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{INFO}/METADATA"))
        entry_points = configparser.ConfigParser()
        entry_points.read_string(archive.read(f"{INFO}/entry_points.txt").decode())

    assert ("upstash-helper", __version__) == (metadata["Name"], metadata["Version"])
    assert ("MIT", ">=3.11") == (metadata["License-Expression"], metadata["Requires-Python"])
    assert {"sandbox", "tray"} == set(metadata.get_all("Provides-Extra", []))
    assert {"upstash-helper": "upstash_helper.__main__:main"} == dict(entry_points["console_scripts"])
    assert f"{NAME}-py3-none-any.whl" == wheel.name


def _contents(wheel: Path) -> list[bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return [archive.read(name) for name in sorted(archive.namelist())]
