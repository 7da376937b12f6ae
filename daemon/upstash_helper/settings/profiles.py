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
    logs: Path

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

    folders = _roots(environ)
    if name != DEFAULT_PROFILE:
        folders = Folders(
            config=folders.config / "profiles" / name,
            state=folders.state / "profiles" / name,
            runtime=folders.runtime / "profiles" / name,
            logs=folders.logs / "profiles" / name,
        )
    return name, folders


def _roots(environ: Mapping[str, str]) -> Folders:
    root = root_of(environ)
    if root is not None:
        return Folders(config=root / "config", state=root / "state", runtime=root / "run", logs=root / "log")

    from platformdirs import PlatformDirs

    dirs = PlatformDirs("upstash-helper", appauthor=False)
    state = dirs.user_state_path
    runtime = _sessions_runtime(dirs, environ)
    if runtime is None:
        runtime = state / "run"
    return Folders(config=dirs.user_config_path, state=state, runtime=runtime, logs=dirs.user_log_path)


def root_of(environ: Mapping[str, str]) -> Path | None:
    """Return ``UPSTASH_HELPER_HOME``, the root of all folders; None if it is not set."""
    home = environ.get(f"{ENV_PREFIX}HOME")
    return Path(home).expanduser().absolute() if home else None


def _sessions_runtime(dirs: PlatformDirs, environ: Mapping[str, str]) -> Path | None:
    """
    Return the runtime folder of the user's session, or None if there is none that can be trusted.

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
