"""The ``EnvFiles`` port: files of variables in the user's folders, such as ``.env``."""

from __future__ import annotations

import codecs
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from upstash_helper.broker.env_files import FileChange, Place
from upstash_helper.broker.errors import FileNotWritten, FileRefused, HelperError
from upstash_helper.system import confined_files, disk_errors, dotenv, git_ignore, git_index
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upstash_helper.broker.models import Secret

T = TypeVar("T")

MAX_PATH: Final = 1000
"""Maximum characters. A question shows the whole path."""
MAX_SIZE: Final = 1024 * 1024
"""Maximum bytes of a file."""
_PRIVATE: Final = 0o600
_ATTEMPTS: Final = 5
"""How often writing is tried if another program changes the file meanwhile."""

_NAME: Final = re.compile(r"\.env(\.[\w.-]+)?|[\w-][\w.-]*\.env|\.dev\.vars(\.[\w-]+)?", re.IGNORECASE)
_TEMPLATE: Final = re.compile(
    r"(.*[._-])?(examples?|samples?|templates?|tmpl|tpl|dist|defaults?|schema)([._-].*)?", re.IGNORECASE
)
"""Files that show which variables a project needs. They are meant to be committed."""
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com.|lpt.)(\..*)?", re.IGNORECASE)
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class DotenvFiles:
    """The ``EnvFiles`` port. All access to the disk runs in a worker thread, one call after another."""

    def __init__(
        self,
        *,
        deadline: float = 10.0,
        home: Callable[[], Path] = Path.home,
        before_rename: Callable[[], None] = lambda: None,
        by_path: bool = sys.platform == "win32",
    ) -> None:
        """
        Args:
            deadline: Seconds that a call may take.
            home: Returns the user's home folder.
            before_rename: Called in the thread when everything but the rename is done.
            by_path: As for ``confined_files.open_folder``.
        """
        self._deadline = deadline
        self._home = home
        self._before_rename = before_rename
        self._by_path = by_path
        self._worker = Worker("env_files")

    async def locate(self, path: str, agreed: tuple[str, ...]) -> Place:
        """Return the place that an app names. Raises what the port allows."""
        return await self._run(lambda _: _located(path, agreed, home=self._home()), path)

    async def check(self, place: Place, variables: Mapping[str, Secret]) -> FileChange:
        """Return what ``write`` would change. Raises what the port allows."""
        return await self._run(lambda _: self._prepared(place, variables).change, place.path)

    async def write(self, place: Place, variables: Mapping[str, Secret], *, may_replace: tuple[str, ...]) -> FileChange:
        """Set variables in a file. Raises what the port allows."""
        return await self._run(partial(self._write, place, variables, may_replace), place.path)

    async def _run(self, job: Callable[[Call], T], path: str) -> T:
        try:
            return await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            raise FileNotWritten(f"{path} cannot be read or written: the disk is not responding.") from None
        except JobFailed as failed:
            raise _explained(failed.error, path) from None

    def _prepared(self, place: Place, variables: Mapping[str, Secret]) -> _Prepared:
        with self._open(place) as folder:
            return _prepare(folder, place, variables)

    def _open(self, place: Place, call: Call | None = None) -> confined_files.OpenFolder:
        def before_rename() -> None:
            self._before_rename()
            if call is not None and not call.settle():
                call.check()

        return confined_files.open_folder(Path(place.folder), before_rename=before_rename, by_path=self._by_path)

    def _write(
        self, place: Place, variables: Mapping[str, Secret], may_replace: tuple[str, ...], call: Call
    ) -> FileChange:
        for _ in range(_ATTEMPTS):
            with self._open(place, call) as folder:
                prepared = _prepare(folder, place, variables)
                if not set(prepared.change.replaced) <= set(may_replace):
                    raise FileRefused(
                        f"{place.path} was changed while the user was deciding, so other values would be replaced."
                        " Try again."
                    )
                try:
                    prepared.write(folder)
                except confined_files.Changed:
                    continue
            return prepared.change
        raise FileNotWritten(f"{place.path} is being changed by another program. Try again.")


class _Prepared(NamedTuple):
    """A file's new content."""

    change: FileChange
    name: str
    data: bytes
    mode: int
    current: confined_files.Content | None

    def write(self, folder: confined_files.Folder) -> None:
        if not self.change.is_changed:
            return
        version = None if self.current is None else self.current.version
        folder.replace(self.name, self.data, mode=self.mode, version=version)


def _prepare(folder: confined_files.Folder, place: Place, variables: Mapping[str, Secret]) -> _Prepared:
    path = Path(place.path)
    current = folder.read(path.name, limit=MAX_SIZE)
    if git_index.is_tracked(path):
        raise FileRefused(
            f"Git tracks {path}, so secrets in it could be committed. Use a file that Git ignores, such as"
            f" {path.with_name('.env.local')}."
        )
    data = b"" if current is None else current.data
    bom, encoding = next((it for it in _BOMS if data.startswith(it[0])), (b"", "utf-8"))
    try:
        # Bytes that are not UTF-8, such as in an older single-byte encoding, are kept unchanged.
        text = data[len(bom) :].decode(encoding, "surrogateescape")
    except UnicodeDecodeError:
        raise FileRefused(f"{path} is not a text file.") from None
    if "\0" in text:
        raise FileRefused(f"{path} is not a text file.")
    try:
        updated = dotenv.update(text, {name: value.reveal() for name, value in variables.items()})
    except (dotenv.SeveralLines, dotenv.SharedLine) as error:
        raise FileRefused(str(error)) from None
    new = bom + updated.text.encode(encoding, "surrogateescape")
    mode = _PRIVATE if current is None else current.mode & _PRIVATE
    change = FileChange(
        is_new=current is None,
        is_changed=current is None or new != data or (sys.platform != "win32" and current.mode != mode),
        replaced=updated.replaced,
        git=git_ignore.state(path),
    )
    return _Prepared(change, path.name, new, mode, current)


# --- places -----------------------------------------------------------------------------------------------------------


def _located(text: str, agreed: tuple[str, ...], *, home: Path) -> Place:
    path = _checked(text, agreed)
    # The outermost first: below an allowed folder, no link is followed.
    for folder in reversed(path.parents):
        for known in agreed:
            if _is_same(folder, known):
                inside = Path(known, path.relative_to(folder))
                return Place(path=str(inside), folder=str(inside.parent), agreed=known)
    try:
        folder = Path(os.path.realpath(path.parent, strict=True))
    except OSError as error:
        raise FileRefused(f"The folder {path.parent} cannot be opened: {disk_errors.reason(error)}.") from None
    resolved = folder / path.name
    _check_parts(resolved)
    return Place(path=str(resolved), folder=str(folder), can_agree=not _contains(folder, home))


def _contains(folder: Path, home: Path) -> bool:
    """
    Return whether a folder is the home folder or one of its parents, by whatever path: a file system may ignore case,
    and a folder can be mounted in several places.
    """
    homes = [Path(os.path.realpath(home))]
    if sys.platform == "darwin":
        # The home folder's volume, which "/Users" is a link to that realpath() does not resolve.
        homes.append(Path("/System/Volumes/Data", *homes[0].parts[1:]))
    too_much = {one for it in homes for one in (it, *it.parents)}
    return folder in too_much or any(_is_same(folder, str(one)) for one in too_much)


def _checked(text: str, agreed: tuple[str, ...]) -> Path:
    if not text or len(text) > MAX_PATH or any(ord(character) < 32 for character in text):
        raise FileRefused(f"A path must have 1 to {MAX_PATH} characters, and no control characters.")
    path = Path(text)
    if not path.is_absolute():
        if text.startswith("~") or len(agreed) != 1:
            raise FileRefused(
                f"Send an absolute path, such as {Path(Path.cwd().anchor, 'path', 'of', 'the', 'project', '.env')}."
            )
        path = Path(agreed[0], text)
    if ".." in path.parts:
        raise FileRefused('Send a path without "..".')
    _check_parts(path)
    return path


def _check_parts(path: Path) -> None:
    name = path.name
    if not _NAME.fullmatch(name) or _TEMPLATE.fullmatch(name):
        raise FileRefused(
            f'Variables can only be written to files such as .env, .env.local, and .dev.vars, not to "{name}".'
        )
    # The second is the short name of the first on Windows.
    if any(part.casefold() in {".git", "git~1"} for part in path.parts):
        raise FileRefused("Nothing can be written to a .git folder.")
    if sys.platform == "win32":
        is_local = re.fullmatch(r"[A-Za-z]:\\", path.anchor) is not None
        if not is_local or any(
            ":" in part or part.endswith((".", " ")) or _DEVICE.fullmatch(part) for part in path.parts[1:]
        ):
            raise FileRefused("Send the path of a file on a local drive.")


def _is_same(folder: Path, known: str) -> bool:
    try:
        return folder.samefile(known)
    except OSError:
        return False


def _explained(error: BaseException, path: str) -> HelperError:
    match error:
        case HelperError():
            return error
        case confined_files.Refused():
            return FileRefused(str(error))
        case git_index.Unreadable():
            return FileRefused(f"Cannot determine whether Git tracks {path}. {error}")
        case OSError():
            problem = disk_errors.describe(error)
            return FileNotWritten(problem or f"{path} cannot be written: {disk_errors.reason(error)}.")
        case _:
            raise error
