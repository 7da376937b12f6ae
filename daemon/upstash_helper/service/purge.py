"""``uninstall --purge``: removes a profile's settings, apps, and log, and its credential in the keyring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from upstash_helper.protocol.deleted_credential import DeletedCredential
from upstash_helper.service import managed_files
from upstash_helper.service.plan import ServiceError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, Folders
from upstash_helper.system import bounded_run

PROFILES: Final = "profiles"
"""The folder of other profiles, in each folder of the default profile."""
_PROGRAM: Final = frozenset({"venv", "bin"})
"""
Folders that ``install/install.py`` creates in the same place on macOS and Windows. This program runs from there, and
the script removes them afterwards.
"""

# The user has two minutes to unlock a locked keyring.
_DELETE_SECONDS: Final = 150.0


def profile_paths(folders: Folders, *, profile: str, root: Path | None) -> list[Path]:
    """
    Return the existing files and folders of a profile.

    Args:
        folders: The profile's folders.
        profile: The profile's name.
        root: ``UPSTASH_HELPER_HOME``.
    """
    paths: list[Path] = []
    for folder in _all(folders):
        if not folder.is_dir() or any(folder.is_relative_to(path) for path in paths):
            continue
        content = sorted(folder.iterdir())
        keep = _PROGRAM | {PROFILES} if profile == DEFAULT_PROFILE else _PROGRAM
        if any(path.name in keep for path in content):
            paths += [path for path in content if path.name not in keep and path not in paths]
        else:
            paths.append(folder)
    if root is not None and root.is_dir() and set(root.iterdir()) <= set(paths):
        return [root]
    return paths


def _all(folders: Folders) -> tuple[Path, ...]:
    return (folders.config, folders.state, folders.logs, *folders.runtimes, *folders.former_runtimes)


def delete_credential(profile: str) -> DeletedCredential:
    """Delete the credential in a separate process: only the daemon's modules have access to the keyring."""
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.credentials.delete_credential", profile]
    try:
        result = bounded_run.run(command, seconds=_DELETE_SECONDS)
        if result.code is None:
            return DeletedCredential(problem=f"The keyring did not respond within {_DELETE_SECONDS:.0f} seconds.")
        return msgspec.json.decode(result.out, type=DeletedCredential)
    except (OSError, msgspec.MsgspecError):
        return DeletedCredential(problem="The process that deletes the credential failed.")


def remove(paths: list[Path], *, folders: Folders) -> None:
    """
    Remove the profile's files, and their parent folders if these are empty.

    Raises:
        ServiceError: If a file cannot be removed.
    """
    for path in paths:
        try:
            if path.exists() or path.is_symlink():
                managed_files.remove(path)
        except OSError as error:
            message = f"Cannot remove {error.filename or path}: {error.strerror}. Fix this and purge again."
            raise ServiceError(message, code="not_removed") from error
    for folder in _all(folders):
        for parent in (folder, folder.parent, folder.parent.parent):
            if parent.name in {PROFILES, "upstash-helper"} and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
