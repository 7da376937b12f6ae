"""
Profiles and their folders.

Each profile has its own folders, keyring entry, and discovery file. ``UPSTASH_HELPER_HOME`` puts all folders below one
root.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from platformdirs import PlatformDirs
    from platformdirs.api import PlatformDirsABC

DEFAULT_PROFILE: Final = "default"
ENV_PREFIX: Final = "UPSTASH_HELPER_"

START_LOG: Final = "start.log"
TRAY_LOG: Final = "tray.log"
"""In the log folder: error messages of the daemon and of the tray if they run without a terminal."""

_PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class SettingsError(Exception):
    """A setting is invalid. ``str()`` names its source, the key, the problem, and the allowed values."""


class HomeUnknown(SettingsError):
    """The user has no home folder: HOME is not set, and the system does not know the user, as in some containers."""

    def __init__(self) -> None:
        super().__init__(
            "Your home folder is unknown: HOME is not set to an absolute path, and the system has no entry for your"
            " user. Set HOME, or set UPSTASH_HELPER_HOME to the folder for all files of the helper."
        )


class FolderRefused(SettingsError):
    """A folder cannot be created, or another user could have changed what is in it."""


class Folders(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of a profile. A folder is created when it is first needed."""

    config: Path
    state: Path
    runtime: Path
    """Where clients find the daemon: below the state folder, whatever the environment of either of them."""
    logs: Path
    other_runtimes: tuple[Path, ...] = ()
    """Where clients of earlier versions look, which depends on the environment. The daemon is found there as well."""
    former_runtimes: tuple[Path, ...] = ()
    """
    macOS and Windows: where earlier versions announced themselves, in folders for temporary files, which the system
    clears. The daemon empties them. One of an earlier version that is still running there can be stopped.
    """

    @property
    def runtimes(self) -> tuple[Path, ...]:
        """All folders in which the daemon announces itself, and holds its lock."""
        return (self.runtime, *self.other_runtimes)

    @property
    def tray_runtimes(self) -> tuple[Path, ...]:
        """All folders in which a tray holds its lock, also one of an earlier version."""
        return (*self.runtimes, *(folder for folder in self.former_runtimes if folder.is_dir()))

    @property
    def config_file(self) -> Path:
        """The settings file, which may be missing."""
        return self.config / "config.toml"

    @property
    def ledger_file(self) -> Path:
        """The ledger: the apps with access, and what they did."""
        return self.state / "ledger.db"

    @property
    def automatic_ledger_file(self) -> Path:
        """The ledger of a daemon that approves requests automatically."""
        return self.state / "ledger-auto-approve.db"

    @property
    def tombstone_files(self) -> tuple[Path, ...]:
        """
        Revocations and the like that were made while the ledger or the keyring could not be written, in the order in
        which the files are tried. The runtime folder of a session is in memory, so it can be written when the disk is
        read-only. Those of earlier versions come last.
        """
        current = tuple(folder / "tombstones" for folder in (self.state, *self.runtimes))
        earlier = (folder / "tombstones" for folder in self.former_runtimes)
        return (*current, *(file for file in earlier if file.exists()))

    @property
    def registration_file(self) -> Path:
        """This installation's registrations as an OAuth client."""
        return self.state / "registrations.json"

    @property
    def welcome_file(self) -> Path:
        """Exists once the user has been told that the helper is ready."""
        return self.state / "welcomed"

    @property
    def log_file(self) -> Path:
        """The daemon's log file."""
        return self.logs / "upstash-helper.log"

    @property
    def start_log(self) -> Path:
        """The output of a daemon in the background: before its log is open, and why it has ended."""
        return self.logs / START_LOG


def locate(*, profile: str | None = None, environ: Mapping[str, str] | None = None) -> tuple[str, Folders]:
    """
    Return the profile's name and folders, without reading the settings.

    Raises:
        SettingsError: If the name is invalid, or the user's home folder is needed and unknown.
    """
    environ = os.environ if environ is None else environ
    name = profile or environ.get(f"{ENV_PREFIX}PROFILE") or DEFAULT_PROFILE
    if not _PROFILE_NAME.fullmatch(name):
        message = f"Profile name {name!r}: use 1 to 32 of a-z, 0-9, '-', and '_', starting with a letter or digit."
        raise SettingsError(message)

    folders = _folders(environ, Path() if name == DEFAULT_PROFILE else Path("profiles", name))
    _refuse_others_files(folders.state)
    return name, _at_running_daemon(folders)


def located_profiles(*, environ: Mapping[str, str] | None = None) -> Iterator[tuple[str, Folders]]:
    """
    Yield the name and the folders of each profile that has files.

    Raises:
        SettingsError: If the user's home folder is needed and unknown.
        OSError: If a folder cannot be read.
    """
    environ = os.environ if environ is None else environ
    default = _folders(environ, Path())
    yield DEFAULT_PROFILE, default
    profiles = default.state / "profiles"
    names = sorted(path.name for path in profiles.iterdir()) if profiles.is_dir() else []
    yield from ((name, _folders(environ, Path("profiles", name))) for name in names if _PROFILE_NAME.fullmatch(name))


def exists(profile: str, folders: Folders) -> bool:
    """
    Return whether a profile has settings, or files of a daemon or a command. The default profile always exists.

    Looking for a daemon may have created the runtime folder, which does not count.
    """
    if profile == DEFAULT_PROFILE or folders.config_file.exists():
        return True
    try:
        return any(path != folders.runtime for path in folders.state.iterdir())
    except OSError:
        return False


def _folders(environ: Mapping[str, str], below: Path) -> Folders:
    root = root_of(environ)
    if root is not None:
        return Folders(
            config=root / "config" / below,
            state=root / "state" / below,
            runtime=root / "run" / below,
            logs=root / "log" / below,
        )

    from platformdirs import PlatformDirs

    dirs = PlatformDirs("upstash-helper", appauthor=False)
    try:
        if sys.platform != "linux":
            return folders_of(dirs, below, former=dirs.user_runtime_path)
        return folders_of(dirs, below, other=_sessions_runtime(dirs, environ) or dirs.user_state_path / "run")
    except RuntimeError:
        raise HomeUnknown from None


def folders_of(dirs: PlatformDirsABC, below: Path, *, other: Path | None = None, former: Path | None = None) -> Folders:
    """
    Return the folders of a profile.

    Args:
        dirs: The folders of programs on this system.
        below: The profile's part of each path.
        other: The folder where the daemon is also found; see ``Folders.other_runtimes``.
        former: The folder where it was found earlier; see ``Folders.former_runtimes``.
    """
    state = dirs.user_state_path
    runtime = state / below / "run"
    return Folders(
        config=dirs.user_config_path / below,
        state=state / below,
        runtime=runtime,
        logs=dirs.user_log_path / below,
        other_runtimes=() if other is None or other / below == runtime else (other / below,),
        former_runtimes=() if former is None else (former / below,),
    )


def _at_running_daemon(folders: Folders) -> Folders:
    """
    Return the folders with the runtime folder in which a daemon is running now, if there is one.

    A daemon of this version is in all of them. One of an earlier version is only in its own, and one whose disk is full
    may have announced itself only in the other.
    """
    if not folders.other_runtimes:
        return folders
    from upstash_helper.protocol import discovery  # not at the top: completing a command gets by without it

    running = [one for one in folders.runtimes if discovery.is_running(one)]
    announced = [one for one in running if discovery.discovery_file(one).exists()]
    chosen = next(iter(announced or running), folders.runtime)
    others = tuple(one for one in folders.runtimes if one != chosen)
    return msgspec.structs.replace(folders, runtime=chosen, other_runtimes=others)


def _refuse_others_files(folder: Path) -> None:
    """
    Refuse to run as root on another user's files: ``sudo`` may keep the user's HOME.

    Other users cannot create files there. Root could, and the user could then neither change nor remove them.

    Raises:
        FolderRefused: If the folder, or the nearest parent that exists, belongs to another user than root.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    existing = next((one for one in (folder, *folder.parents) if one.exists()), None)
    owner = 0 if existing is None else existing.stat().st_uid
    if owner:
        message = (
            f"This command runs as root, but {existing} belongs to the user with ID {owner}. Run it as that user,"
            " without sudo. To run a helper for root, use: sudo -H"
        )
        raise FolderRefused(message)


def root_of(environ: Mapping[str, str]) -> Path | None:
    """
    Return ``UPSTASH_HELPER_HOME``, the root of all folders; None if it is not set.

    Raises:
        HomeUnknown: If it begins with ``~``, and that is unknown.
    """
    home = environ.get(f"{ENV_PREFIX}HOME")
    try:
        return Path(home).expanduser().absolute() if home else None
    except RuntimeError:
        raise HomeUnknown from None


def home_folder() -> Path:
    """
    Return the user's home folder.

    Raises:
        HomeUnknown: If there is none.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise HomeUnknown from None


def _sessions_runtime(dirs: PlatformDirs, environ: Mapping[str, str]) -> Path | None:
    """
    Return where clients of earlier versions look on Linux: the session's runtime folder; None if none can be trusted.

    If XDG_RUNTIME_DIR is not set, or belongs to another user (after ``su``), platformdirs returns a folder below /tmp,
    which another user could have created first. If one has, platformdirs raises PermissionError. Where nothing can be
    written, as in a container with ``--read-only``, there is no such folder, and it raises FileNotFoundError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing folder is handled here
            runtime = dirs.user_runtime_path
    except OSError:
        return None
    given = environ.get("XDG_RUNTIME_DIR")
    if runtime.is_relative_to("/run") or (given and runtime.is_relative_to(given)):
        return runtime
    return None


def open_output(profile: str | None, name: str) -> int:
    """
    Open a file in the log folder of a profile for the output of a program, and return its descriptor.

    Raises:
        OSError: If that is not possible, or the folder is not safe to use.
    """
    try:
        folder = locate(profile=profile)[1].logs
        secure_folder(folder)
    except SettingsError as error:
        raise OSError(str(error)) from error
    return private_files.opener(str(folder / name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def secure_folder(folder: Path) -> None:
    """
    Create ``folder`` if needed, and make sure that only this user can access it.

    Raises:
        FolderRefused: If it is a symbolic link, belongs to another user, or cannot be created.
    """
    try:
        private_files.secure_folder(folder)
    except private_files.NotPrivate as error:
        raise FolderRefused(str(error)) from error
    except OSError as error:
        message = (
            f"{folder} cannot be created: {error.strerror}. To use another location for all folders, set"
            " UPSTASH_HELPER_HOME."
        )
        raise FolderRefused(message) from error
