"""The built packages: complete, without files of the developer, and reproducible."""

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
from install.manual import man_pages
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
    """A copy of this checkout, with files that a developer's checkout typically contains."""
    return copy_of_checkout(tmp_path_factory.mktemp("source") / "checkout")


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the checkout."""
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution built from the checkout."""
    return build(checkout, "sdist", tmp_path_factory.mktemp("sdist"))


def files_below(folder: Path) -> set[str]:
    """Return the files in a folder of the checkout, without those that Python, linters, and our build generate."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    generated = r"(^|/)((__pycache__|\.\w+_cache|node_modules|cli/manual)/|\.setup\.lock$)"
    return {name for name in names if not re.search(generated, name)}


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
    The wheel contains daemon and tray with their pages, types, and templates, and the license, but nothing else.
    """
    ours = {f"{package}/{name}" for package, folder in PACKAGES.items() for name in files_below(folder)} | templates()
    ours = {name for name in ours if not is_for_developers(name)}
    ours |= {f"upstash_helper/cli/manual/{name}" for name in man_pages()}
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
    assert {"upstash_helper/sandbox/oauth/web/base.html", "upstash_helper_tray/runtime/run.py"} < names


def test_wheel_has_the_current_man_pages(wheel: Path) -> None:
    """
    The pages in the wheel are generated from its commands when it is built.
    """
    with zipfile.ZipFile(wheel) as archive:
        pages = {
            name.rpartition("/")[2]: archive.read(name).decode("ascii")
            for name in archive.namelist()
            if name.startswith("upstash_helper/cli/manual/")
        }

    assert man_pages() == pages


def test_sdist_is_complete(sdist: Path) -> None:
    """
    The source distribution contains the sources, the tests, the scripts with their data, and the documents.
    """
    names = names_in(sdist)

    assert {
        "PKG-INFO",
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "requirements.txt",
        "requirements-test.txt",
        "requirements-dev.txt",
    } < names
    for folder in ("daemon", "tray", "tests", "install"):
        assert {f"{folder}/{name}" for name in files_below(ROOT / folder)} == {
            name for name in names if name.startswith(f"{folder}/")
        }


@pytest.mark.parametrize("package", ["wheel", "sdist"])
def test_packages_contain_no_files_of_the_developer(package: str, request: pytest.FixtureRequest) -> None:
    """
    A `.env`, compiled files, and old packages are not included.
    """
    path: Path = request.getfixturevalue(package)

    names = names_in(path)
    assert not names & set(DIRT)
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)\.(env|venv|git|coverage)(/|$)", name)]
    content = path.read_bytes() if package == "sdist" else b"".join(_contents(path))
    assert b"planted-secret" not in content
    assert not re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{32}", content)


def test_wheel_built_from_the_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """
    The wheel is the same whether it is built from the checkout or from the source distribution.
    """
    source = unpacked(sdist, tmp_path / "source")

    again = build(source, "wheel", tmp_path / "wheel")

    assert names_in(wheel) == names_in(again)
    assert wheel.name == again.name
    assert list(_contents(wheel)) == list(_contents(again))


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_packages_are_reproducible(target: str, tmp_path: Path) -> None:
    """
    Packages built in another folder, from files with other dates, with the same SOURCE_DATE_EPOCH, are identical.
    """
    first = build(copy_of_checkout(tmp_path / "a"), target, tmp_path / "first", epoch=1_700_000_000)
    other = copy_of_checkout(tmp_path / "b folder")
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    second = build(other, target, tmp_path / "second", epoch=1_700_000_000)

    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_metadata(wheel: Path) -> None:
    """
    The metadata has the name, version, license, command, required Python version, and extras.
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
