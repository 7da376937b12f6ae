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
    from collections.abc import Mapping

    from platformdirs import PlatformDirs

DEFAULT_PROFILE: Final = "default"
ENV_PREFIX: Final = "UPSTASH_HELPER_"

_PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class SettingsError(Exception):
    """A setting is invalid. ``str()`` names its source, the key, the problem, and the allowed values."""


class FolderRefused(SettingsError):
    """A folder cannot be created, or another user could have changed what is in it."""


class Folders(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of a profile. A folder is created when it is first needed."""

    config: Path
    state: Path
    runtime: Path
    """Where the daemon and its clients meet: below the state folder, whatever the environment of either of them."""
    logs: Path
    other_runtimes: tuple[Path, ...] = ()
    """Where earlier versions met, which depends on the environment. The daemon is found there as well."""

    @property
    def runtimes(self) -> tuple[Path, ...]:
        """All folders in which the daemon announces itself, and holds its lock."""
        return (self.runtime, *self.other_runtimes)

    @property
    def config_file(self) -> Path:
        """The settings file, which may be missing."""
        return self.config / "config.toml"

    @property
    def ledger_file(self) -> Path:
        """The ledger: the apps with access, and what they did."""
        return self.state / "ledger.db"

    @property
    def tombstone_file(self) -> Path:
        """What was taken away while the ledger or the keyring could not be written."""
        return self.state / "tombstones"

    @property
    def log_file(self) -> Path:
        """The daemon's log file."""
        return self.logs / "upstash-helper.log"


def locate(*, profile: str | None = None, environ: Mapping[str, str] | None = None) -> tuple[str, Folders]:
    """
    Return the profile's name and folders, without reading the settings.

    Raises:
        SettingsError: If the name is invalid.
    """
    environ = os.environ if environ is None else environ
    name = profile or environ.get(f"{ENV_PREFIX}PROFILE") or DEFAULT_PROFILE
    if not _PROFILE_NAME.fullmatch(name):
        message = f"Profile name {name!r}: use 1 to 32 of a-z, 0-9, '-', and '_', starting with a letter or digit."
        raise SettingsError(message)

    folders = _folders(environ, Path() if name == DEFAULT_PROFILE else Path("profiles", name))
    _refuse_others_files(folders.state)
    return name, _at_running_daemon(folders)


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
    state = dirs.user_state_path
    runtime = state / below / "run"
    earlier = (_sessions_runtime(dirs, environ) or state / "run") / below
    return Folders(
        config=dirs.user_config_path / below,
        state=state / below,
        runtime=runtime,
        logs=dirs.user_log_path / below,
        other_runtimes=() if earlier == runtime else (earlier,),
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
            " without sudo. For a helper of root, use: sudo -H"
        )
        raise FolderRefused(message)


def root_of(environ: Mapping[str, str]) -> Path | None:
    """Return ``UPSTASH_HELPER_HOME``, the root of all folders; None if it is not set."""
    home = environ.get(f"{ENV_PREFIX}HOME")
    return Path(home).expanduser().absolute() if home else None


def _sessions_runtime(dirs: PlatformDirs, environ: Mapping[str, str]) -> Path | None:
    """
    Return where earlier versions met: the runtime folder of the session; None if there is none that can be trusted.

    If XDG_RUNTIME_DIR is not set, or belongs to another user (after ``su``), platformdirs returns a folder below /tmp,
    which another user could have created first. If one has, platformdirs raises PermissionError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a missing folder is handled here
            runtime = dirs.user_runtime_path
    except PermissionError:
        return None
    given = environ.get("XDG_RUNTIME_DIR")
    if sys.platform != "linux" or runtime.is_relative_to("/run") or (given and runtime.is_relative_to(given)):
        return runtime
    return None


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
