"""
Profiles, and where each keeps its files.

A *profile* is a world of its own: folders, keyring entry, discovery file. ``UPSTASH_HELPER_HOME`` puts every folder
under one root.
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
    """A setting that cannot be used. ``str()`` names where it stands, the key, what is wrong and what is taken."""


class FolderRefused(SettingsError):
    """A folder cannot be created, or another user could have changed what is in it."""


class Folders(msgspec.Struct, frozen=True, kw_only=True):
    """Where one profile keeps its files. None of them is made before it is needed."""

    config: Path
    state: Path
    runtime: Path
    logs: Path

    @property
    def config_file(self) -> Path:
        """The settings file; it need not exist."""
        return self.config / "config.toml"

    @property
    def ledger_file(self) -> Path:
        """What the daemon remembers: the apps that were let in, and what they did."""
        return self.state / "ledger.db"

    @property
    def log_file(self) -> Path:
        """The daemon's log."""
        return self.logs / "upstash-helper.log"


def locate(*, profile: str | None = None, environ: Mapping[str, str] | None = None) -> tuple[str, Folders]:
    """
    Return the profile's name and its folders, without reading a setting.

    Raises:
        SettingsError: If the name cannot be a folder's.
    """
    environ = os.environ if environ is None else environ
    name = profile or environ.get(f"{ENV_PREFIX}PROFILE") or DEFAULT_PROFILE
    if not _PROFILE_NAME.fullmatch(name):
        message = f"Profile name {name!r}: take 1 to 32 of a-z, 0-9, '-' and '_', beginning with a letter or digit."
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
    """Return ``UPSTASH_HELPER_HOME``, below which all folders are then; None if it is not set."""
    home = environ.get(f"{ENV_PREFIX}HOME")
    return Path(home).expanduser().absolute() if home else None


def _sessions_runtime(dirs: PlatformDirs, environ: Mapping[str, str]) -> Path | None:
    """
    Return the runtime folder that the user's session has, or None if it has none that can be trusted.

    Where XDG_RUNTIME_DIR is not set, or not this user's (after ``su``), platformdirs names a folder below /tmp, where
    any user can be first to make it; and fails, if one was.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no such folder is dealt with here
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
            f"{folder} cannot be created: {error.strerror}. To use another place for all folders, set"
            " UPSTASH_HELPER_HOME."
        )
        raise FolderRefused(message) from error
