"""Writing variables to a file of the user: atomically, privately, and never anywhere else."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mounts import run_with_mounts
from tests.support.platforms import not_under_wine
from upstash_helper.broker.env_files import FileChange, Place
from upstash_helper.broker.errors import FileNotWritten, FileRefused
from upstash_helper.broker.models import Secret
from upstash_helper.storage.env_files import MAX_SIZE, DotenvFiles

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://eu1.upstash.io"
VARIABLES = {"UPSTASH_REDIS_REST_URL": Secret(URL)}
LINE = f'UPSTASH_REDIS_REST_URL="{URL}"\n'

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such modes or links")


@pytest.fixture(params=[False, True], ids=["openat", "by path"])
def by_path(request: pytest.FixtureRequest) -> bool:
    """Both ways: the one of Windows works everywhere."""
    if not request.param and sys.platform == "win32":
        pytest.skip("platform: Windows has no openat")
    return bool(request.param)


class Files:
    """A project's folder to which the user has agreed, and the port."""

    def __init__(self, tmp_path: Path, *, by_path: bool) -> None:
        self.project = tmp_path.resolve() / "project"
        self.project.mkdir()
        self.before_rename: Callable[[], object] = bool
        self.port = DotenvFiles(
            home=lambda: tmp_path / "home", before_rename=self._before_rename, by_path=by_path, deadline=60
        )

    def _before_rename(self) -> None:
        self.before_rename()

    async def locate(self, path: str | Path = ".env", *agreed: Path) -> Place:
        """Return a place, by default below the agreed folder."""
        return await self.port.locate(str(path), tuple(map(str, agreed or (self.project,))))

    async def write(self, path: str | Path = ".env", *, may_replace: tuple[str, ...] = tuple(VARIABLES)) -> FileChange:
        """Write the variables to a file below the agreed folder."""
        return await self.port.write(await self.locate(path), VARIABLES, may_replace=may_replace)

    @property
    def names(self) -> set[str]:
        """What is in the project's folder."""
        return {it.name for it in self.project.iterdir()}


@pytest.fixture
def files(tmp_path: Path, by_path: bool) -> Files:  # noqa: FBT001 - a fixture
    """The project's folder, and the port."""
    return Files(tmp_path, by_path=by_path)


# --- content ----------------------------------------------------------------------------------------------------------


async def test_new_file_has_only_the_variables(files: Files) -> None:
    """Only its owner can read it, and nothing else is left in the folder."""
    change = await files.write()

    path = files.project / ".env"
    assert FileChange(is_new=True, is_changed=True) == change
    assert LINE == path.read_text()
    assert {".env"} == files.names
    if sys.platform != "win32":
        assert 0o600 == path.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"A=1", b"A=1\n" + LINE.encode(), id="no final newline"),
        pytest.param(b"\xef\xbb\xbfA=1\r\n", b"\xef\xbb\xbfA=1\r\n" + LINE.encode()[:-1] + b"\r\n", id="BOM, CRLF"),
        pytest.param(b"# caf\xe9\nA='\xff'\n", b"# caf\xe9\nA='\xff'\n" + LINE.encode(), id="an older encoding"),
        pytest.param(
            b"\xff\xfe" + "A=é\r\n".encode("utf-16-le"),
            b"\xff\xfe" + ("A=é\r\n" + LINE[:-1] + "\r\n").encode("utf-16-le"),
            id="UTF-16 of PowerShell",
        ),
        pytest.param(
            b"UPSTASH_REDIS_REST_URL=a\n#x\nexport UPSTASH_REDIS_REST_URL='b#' # c",
            f"UPSTASH_REDIS_REST_URL={URL}\n#x\nexport UPSTASH_REDIS_REST_URL='{URL}' # c".encode(),
            id="twice",
        ),
    ],
)
async def test_everything_else_in_a_file_is_kept(files: Files, before: bytes, after: bytes) -> None:
    """Byte by byte, in the file's encoding."""
    (files.project / ".env").write_bytes(before)

    await files.write()

    assert after == (files.project / ".env").read_bytes()


async def test_value_of_several_lines_is_refused(files: Files) -> None:
    """Also before the user is asked. The lines in it would be deleted, and a quotation mark is probably missing."""
    path = files.project / ".env"
    path.write_text('UPSTASH_REDIS_REST_URL="\nOTHER=1\nZ="\nE=2')
    place = await files.locate()

    for attempt in (files.port.check(place, VARIABLES), files.write()):
        with pytest.raises(FileRefused) as caught:
            await attempt
        problem = "The value of UPSTASH_REDIS_REST_URL spans several lines. Check its quotation marks."
        assert problem == caught.value.detail

    assert 'UPSTASH_REDIS_REST_URL="\nOTHER=1\nZ="\nE=2' == path.read_text()


async def test_line_with_another_variable_is_refused(files: Files) -> None:
    """It would be deleted with the value in front of it, and the question does not name it."""
    path = files.project / ".env"
    path.write_text("export UPSTASH_REDIS_REST_URL=x KEEP=z\n")
    place = await files.locate()

    for attempt in (files.port.check(place, VARIABLES), files.write()):
        with pytest.raises(FileRefused, match="Give UPSTASH_REDIS_REST_URL a line of its own"):
            await attempt

    assert "export UPSTASH_REDIS_REST_URL=x KEEP=z\n" == path.read_text()


@on_posix
@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o640, 0o600), (0o400, 0o400), (0o700, 0o600)])
async def test_others_can_no_longer_read_the_file(files: Files, before: int, after: int) -> None:
    """Also if the variables are in it already. A stricter mode is kept."""
    path = files.project / ".env"
    path.write_text(LINE)
    path.chmod(before)

    change = await files.write()

    assert (after, before != after) == (path.stat().st_mode & 0o777, change.is_changed)


async def test_unchanged_file_is_not_touched(files: Files) -> None:
    """So that a program that watches it is not restarted."""
    await files.write()
    before = (files.project / ".env").stat()

    change = await files.write()

    after = (files.project / ".env").stat()
    assert not change.is_changed
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


async def test_check_changes_nothing(files: Files) -> None:
    """It only returns what would be replaced."""
    path = files.project / ".env"
    path.write_text("UPSTASH_REDIS_REST_URL=old\n")

    change = await files.port.check(await files.locate(), VARIABLES)

    assert FileChange(is_new=False, is_changed=True, replaced=("UPSTASH_REDIS_REST_URL",)) == change
    assert "UPSTASH_REDIS_REST_URL=old\n" == path.read_text()


async def test_value_that_appeared_since_the_question_is_not_replaced(files: Files) -> None:
    """The user has agreed only to what was shown."""
    (files.project / ".env").write_text("UPSTASH_REDIS_REST_URL=new\n")

    with pytest.raises(FileRefused, match="changed while the user was deciding"):
        await files.write(may_replace=())

    assert "UPSTASH_REDIS_REST_URL=new\n" == (files.project / ".env").read_text()


# --- other programs ---------------------------------------------------------------------------------------------------


async def test_change_of_another_program_is_not_lost(files: Files) -> None:
    """It is read again, however late the other program has written it."""
    path = files.project / ".env"
    path.write_text("A=1\n")
    changes = iter(["A=1\nB=2\n", "A=1\nB=2\nC=3\n"])

    def write_first() -> None:
        if (text := next(changes, None)) is not None:
            path.write_text(text)

    files.before_rename = write_first
    await files.write()

    assert f"A=1\nB=2\nC=3\n{LINE}" == path.read_text()


async def test_file_that_another_program_creates_meanwhile_is_kept(files: Files) -> None:
    """A new file never replaces one."""
    times = iter(["once"])

    def write_first() -> None:
        if next(times, None):
            (files.project / ".env").write_text("A=1\n")

    files.before_rename = write_first
    await files.write()

    assert f"A=1\n{LINE}" == (files.project / ".env").read_text()
    assert {".env"} == files.names


async def test_file_that_never_stops_changing_is_given_up(files: Files) -> None:
    """With an error that says so, and without a rest."""
    path, numbers = files.project / ".env", itertools.count()

    def write_again() -> None:
        path.write_text(f"A={'x' * next(numbers)}\n")

    files.before_rename = write_again
    with pytest.raises(FileNotWritten, match="being changed by another program"):
        await files.write()

    assert {".env"} == files.names
    assert URL not in path.read_text()


async def test_concurrent_writes_each_count(files: Files) -> None:
    """One after another."""
    place = await files.locate()
    names = [f"V{number}" for number in range(20)]

    await asyncio.gather(*(files.port.write(place, {name: Secret("x")}, may_replace=()) for name in names))

    assert {f'{name}="x"' for name in names} == set((files.project / ".env").read_text().splitlines())
    assert {".env"} == files.names


# --- links ------------------------------------------------------------------------------------------------------------


@on_posix
async def test_link_at_the_file_is_refused(files: Files, tmp_path: Path) -> None:
    """Whether it leads to a file or not."""
    outside = tmp_path / "outside"
    outside.write_text("A=1\n")
    for name, target in ((".env", outside), ("dangling.env", tmp_path / "missing")):
        (files.project / name).symlink_to(target)

        with pytest.raises(FileRefused, match="is a link"):
            await files.write(name)

    assert "A=1\n" == outside.read_text()
    assert not (tmp_path / "missing").exists()


@on_posix
async def test_link_below_the_agreed_folder_is_refused(files: Files, tmp_path: Path) -> None:
    """Also one that leads back to the same folder."""
    (tmp_path / "outside").mkdir()
    (files.project / "sub").symlink_to(tmp_path / "outside")
    (files.project / "back").symlink_to(files.project)

    for path in ("sub/.env", "back/.env", files.project / "sub" / ".env"):
        with pytest.raises(FileRefused, match="is a link"):
            await files.write(path)

    assert [] == list((tmp_path / "outside").iterdir())


@not_under_wine("has no junctions")
@pytest.mark.skipif(sys.platform != "win32", reason="platform: only Windows has junctions")
async def test_junction_below_the_agreed_folder_is_refused(files: Files, tmp_path: Path) -> None:
    """It is a link that needs no privileges, and not a symbolic one."""
    if sys.platform == "win32":
        import _winapi

        (tmp_path / "outside").mkdir()
        _winapi.CreateJunction(str(tmp_path / "outside"), str(files.project / "sub"))

    with pytest.raises(FileRefused, match="is a link"):
        await files.write("sub/.env")

    assert [] == list((tmp_path / "outside").iterdir())


@on_posix
async def test_agreed_folder_that_became_a_link_is_refused(files: Files, tmp_path: Path) -> None:
    """What the user agreed to was another folder, even if the path is the same."""
    place = await files.locate()
    (tmp_path / "outside").mkdir()
    files.project.rmdir()
    files.project.symlink_to(tmp_path / "outside")

    with pytest.raises(FileRefused, match="is a link"):
        await files.port.write(place, VARIABLES, may_replace=())

    assert [] == list((tmp_path / "outside").iterdir())


@on_posix
async def test_file_swapped_for_a_link_during_the_write_is_not_followed(files: Files, tmp_path: Path) -> None:
    """At the last moment before the rename."""
    outside, path = tmp_path / "outside", files.project / ".env"
    outside.write_text("A=1\n")
    path.write_text("B=2\n")

    def swap() -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(outside)

    files.before_rename = swap
    with pytest.raises(FileRefused, match="is a link"):
        await files.write()

    assert "A=1\n" == outside.read_text()
    assert {".env"} == files.names


@on_posix
async def test_folder_swapped_for_a_link_during_the_write_is_not_followed(files: Files, tmp_path: Path) -> None:
    """What was opened is written to, or nothing is: never the link's target."""
    inner, moved, outside = files.project / "inner", files.project / "moved", tmp_path / "outside"
    inner.mkdir()
    outside.mkdir()

    def swap() -> None:
        if not moved.exists():
            inner.rename(moved)
            inner.symlink_to(outside)

    files.before_rename = swap
    problem = ""
    try:
        await files.write("inner/.env")
    except FileRefused as error:
        problem = error.detail

    assert (moved / ".env").exists() is not bool(problem)
    assert "is a link" in (problem or "is a link")
    assert [] == list(outside.iterdir())


@on_posix
async def test_link_above_the_agreed_folder_is_resolved(files: Files, tmp_path: Path) -> None:
    """The agreement is for the folder, by whatever path the app names it."""
    (tmp_path / "short").symlink_to(files.project)

    place = await files.locate(tmp_path / "short" / ".env")

    assert (str(files.project / ".env"), str(files.project)) == (place.path, place.agreed)


# --- places -----------------------------------------------------------------------------------------------------------


async def test_place_without_an_agreement_has_its_whole_path(files: Files, tmp_path: Path) -> None:
    """That is what the user is asked about: without links."""
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / ".env"
    if sys.platform != "win32":
        (tmp_path / "link").symlink_to(tmp_path / "other")
        path = tmp_path / "link" / ".env"

    place = await files.locate(path)

    resolved = (tmp_path / "other").resolve()
    assert (str(resolved / ".env"), str(resolved), "", True) == (
        place.path, place.folder, place.agreed, place.can_agree
    )  # fmt: skip


async def test_folder_next_to_the_agreed_one_is_another(files: Files) -> None:
    """Although its path begins alike."""
    other = files.project.with_name("project-two")
    other.mkdir()

    assert "" == (await files.locate(other / ".env")).agreed


async def test_home_and_its_parents_contain_too_much(files: Files, tmp_path: Path) -> None:
    """A yes is only for this one file then."""
    (tmp_path / "home" / "work").mkdir(parents=True)

    places = [await files.locate(tmp_path / name / ".env") for name in ("home/work", "home", "")]

    assert [True, False, False] == [it.can_agree for it in places]


async def test_home_in_another_case_contains_too_much(files: Files, tmp_path: Path) -> None:
    """Where the file system ignores it, and the path that the app sends is kept as it is."""
    (tmp_path / "home").mkdir()
    if not (tmp_path / "HOME").exists():
        pytest.skip("platform: the file system distinguishes upper and lower case")

    assert not (await files.locate(tmp_path / "HOME" / ".env")).can_agree


async def can_be_agreed_to(home: Path, *others: Path) -> list[bool]:
    """Return which folders can be agreed to, in a process with its own mounts."""
    port = DotenvFiles(home=lambda: home, deadline=60)
    return [(await port.locate(str(it / ".env"), ())).can_agree for it in (home, *others)]


@pytest.mark.skipif(sys.platform != "linux", reason="platform: needs mounts")
def test_home_that_is_mounted_in_another_place_contains_too_much(tmp_path: Path) -> None:
    """It is the same folder. So it is with its parent, but not with a folder in it."""
    home, alias, parent = tmp_path / "all" / "home", tmp_path / "alias", tmp_path / "parent"
    for folder in (home / "work", alias, parent):
        folder.mkdir(parents=True)
    mounts = 'mount --bind "$1" "$2"; mount --bind "$(dirname "$1")" "$4"'

    found = run_with_mounts(mounts, can_be_agreed_to, home, alias, alias / "work", parent)

    assert [False, False, True, False] == found


@pytest.mark.parametrize(
    "path",
    [
        "", "x" * 2000, "a\0/.env", "a\n/.env", "../.env", "sub/../.env", "/a/../.env", "~/.env", ".", "..", "/",
        "package.json", ".bashrc", ".envrc", "env", ".env/", ".git/x.env", ".GIT/.env", "git~1/x.env",
        ".git/hooks/pre.env", ".env.example", ".env.local.sample", ".env.template", "x.example.env", ".env ",
        ".env\u202e", "example.env", "Sample.env", "template.env", ".env.examples", ".env.prod-example",
        ".env.sample-local", ".env.local_default", "app-template.env", ".dev.vars.example",
    ],
)  # fmt: skip
async def test_path_of_anything_else_is_refused(files: Files, path: str) -> None:
    """With the reason. Nothing is created."""
    if path == ".env/":
        (files.project / ".env").mkdir()
    with pytest.raises(FileRefused):
        await files.write(path)

    assert files.names <= {".env"}


@pytest.mark.parametrize(
    "name",
    [
        ".env", ".env.local", ".env.development.local", "redis.env", ".dev.vars", ".ENV", ".env.samplerate",
        "distributed.env", "my-samples2.env",
    ],
)  # fmt: skip
async def test_usual_names_of_files_of_variables_are_accepted(files: Files, name: str) -> None:
    """In any case."""
    await files.write(name)

    assert {name} == files.names


async def test_relative_path_needs_a_single_agreed_folder(files: Files, tmp_path: Path) -> None:
    """Otherwise, it is not known which folder is meant. The daemon's own folder never is."""
    for agreed in ((), (str(files.project), str(tmp_path))):
        with pytest.raises(FileRefused, match="absolute path"):
            await files.port.locate(".env", agreed)


async def test_folder_must_exist(files: Files) -> None:
    """None is created: a misspelled path would be noticed late."""
    with pytest.raises(FileNotWritten, match="missing"):
        await files.write("missing/.env")
    with pytest.raises(FileRefused, match="missing"):
        await files.locate(files.project.parent / "missing" / ".env")


# --- other files ------------------------------------------------------------------------------------------------------


async def test_folder_in_place_of_the_file_is_refused(files: Files) -> None:
    """It is not a regular file."""
    (files.project / ".env").mkdir()

    with pytest.raises(FileRefused, match="not a regular file"):
        await files.write()


@on_posix
async def test_fifo_is_refused_without_waiting(files: Files) -> None:
    """Opening it would wait for its other end."""
    if sys.platform != "win32":
        os.mkfifo(files.project / ".env")

    with pytest.raises(FileRefused, match="not a regular file"):
        await files.write()


async def test_file_with_several_names_is_refused(files: Files, tmp_path: Path) -> None:
    """The other name would keep the old content, and the user expects both to be the same."""
    (tmp_path / "other").write_text("A=1\n")
    (files.project / ".env").hardlink_to(tmp_path / "other")

    with pytest.raises(FileRefused, match="has hard links"):
        await files.write()

    assert "A=1\n" == (tmp_path / "other").read_text()


async def test_huge_file_is_refused(files: Files) -> None:
    """It is not a file of variables."""
    (files.project / ".env").write_bytes(b"A" * (MAX_SIZE + 1))

    with pytest.raises(FileRefused, match="larger"):
        await files.write()


@pytest.mark.parametrize("content", [b"A\0B", b"\xff\xfeA\0\0", b"\xff\xfe\0\xd8A\0"])
async def test_binary_file_is_refused(files: Files, content: bytes) -> None:
    """Also half a character of UTF-16."""
    (files.project / ".env").write_bytes(content)

    with pytest.raises(FileRefused, match="not a text file"):
        await files.write()

    assert content == (files.project / ".env").read_bytes()


@on_posix
async def test_another_users_file_is_refused(files: Files) -> None:
    """Even if this user could write it."""
    path = files.project / ".env"
    path.write_text("A=1\n")
    try:
        os.chown(path, 12345, -1)
    except PermissionError:
        pytest.skip("platform: only root can give a file to another user")

    with pytest.raises(FileRefused, match="another user"):
        await files.write()


# --- Git --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git") is None, reason="platform: git is not installed")
async def test_file_that_git_tracks_is_refused(files: Files) -> None:
    """Nothing in the repository is run, not even what it configures for ``git status``."""
    ran = files.project / "ran"
    for command in (
        ["init"],
        ["config", "core.fsmonitor", f"touch '{ran}' #"],
        ["config", "core.hooksPath", str(files.project)],
    ):
        subprocess.run(["git", *command], cwd=files.project, check=True, capture_output=True, timeout=60)
    (files.project / ".env").write_text("A=1\n")
    (files.project / ".gitignore").write_text(".env*\n")
    add = ["git", "-c", "core.fsmonitor=false", "add", "-f", ".env"]
    subprocess.run(add, cwd=files.project, check=True, capture_output=True, timeout=60)

    with pytest.raises(FileRefused, match="Git tracks"):
        await files.write()
    local = await files.write(".env.local")
    other = await files.write("other.env")

    assert "A=1\n" == (files.project / ".env").read_text()
    assert ("ignored", "not_ignored") == (local.git, other.git)
    assert not ran.exists()


async def test_repository_that_cannot_be_read_is_refused(files: Files) -> None:
    """It cannot be known then what is tracked."""
    (files.project / ".git").mkdir()
    (files.project / ".git" / "index").write_bytes(b"damaged")

    with pytest.raises(FileRefused, match="whether Git tracks"):
        await files.write()

    assert {".git"} == files.names


# --- the disk ---------------------------------------------------------------------------------------------------------


async def try_to_write(folder: Path) -> list[Any]:
    """Write to a folder with a file, in a process with its own mounts."""
    found: list[Any] = []
    for by_path in (False, True):
        port = DotenvFiles(by_path=by_path, deadline=60)
        place = await port.locate(str(folder / ".env"), (str(folder),))
        value = Secret("x" * 300_000)  # more than is free on the full disk
        try:
            await port.write(place, {"A": value}, may_replace=())
        except (FileNotWritten, FileRefused) as error:
            found.append((type(error).__name__, error.detail))
        found.append(((folder / ".env").read_text(), sorted(it.name for it in folder.iterdir() if it.name != "filler")))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="platform: needs mounts")
@pytest.mark.parametrize(
    ("mounts", "problem"),
    [
        pytest.param(
            'mount -t tmpfs -o size=256k tmpfs "$1"; echo B=2 > "$1/.env"; head -c 100k /dev/zero > "$1/filler"',
            "No space left on device",
            id="full",
        ),
        pytest.param(
            'mount -t tmpfs tmpfs "$1"; echo B=2 > "$1/.env"; mount -o remount,ro "$1"', "Read-only", id="read-only"
        ),
    ],
)
def test_file_on_a_disk_that_cannot_be_written_is_unchanged(tmp_path: Path, mounts: str, problem: str) -> None:
    """The error names the cause. No rest of the attempt is left."""
    first, rest, second, still = run_with_mounts(mounts, try_to_write, tmp_path)

    assert ["FileNotWritten"] * 2 == [first[0], second[0]]
    assert all(problem in it[1] for it in (first, second))
    assert [["B=2\n", [".env"]]] * 2 == [rest, still]


@on_posix
async def test_read_only_folder_is_reported(files: Files) -> None:
    """With its path."""
    files.project.chmod(0o500)
    if os.access(files.project, os.W_OK):
        files.project.chmod(0o700)
        pytest.skip("platform: root can write everywhere")
    try:
        with pytest.raises(FileNotWritten, match="cannot be written"):
            await files.write()
    finally:
        files.project.chmod(0o700)
