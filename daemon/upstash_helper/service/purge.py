"""Removing what ``uninstall`` leaves: settings, apps, the log, the keyring's entry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from upstash_helper.protocol.deleted_credential import DeletedCredential
from upstash_helper.service import managed_files
from upstash_helper.service.plan import ServiceError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, Folders

PROFILES: Final = "profiles"
"""Below the folders of the default profile are those of the others."""
_PROGRAM: Final = frozenset({"venv", "bin"})
"""
What ``install/install.py`` puts into the same folder on macOS and Windows. This program runs from there, and the script
removes it when that has ended.
"""

# A locked keyring gives its user two minutes.
_SECONDS: Final = 150.0


def folders_of(folders: Folders, *, profile: str, root: Path | None) -> list[Path]:
    """
    Return everything on the disk that is the profile's, and exists.

    Args:
        folders: The profile's.
        profile: Its name.
        root: ``UPSTASH_HELPER_HOME``.
    """
    found: list[Path] = []
    for folder in (folders.config, folders.state, folders.logs, folders.runtime):
        if not folder.is_dir() or any(folder.is_relative_to(one) for one in found):
            continue
        inner = sorted(folder.iterdir())
        stays = _PROGRAM | {PROFILES} if profile == DEFAULT_PROFILE else _PROGRAM
        if any(path.name in stays for path in inner):
            found += [path for path in inner if path.name not in stays and path not in found]
        else:
            found.append(folder)
    if root is not None and root.is_dir() and set(root.iterdir()) <= set(found):
        return [root]
    return found


def forget(profile: str) -> DeletedCredential:
    """Delete the credential in a process of the daemon's own, which alone knows the keyring."""
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.credentials.delete_credential", profile]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )  # fmt: skip
        return msgspec.json.decode(ended.stdout, type=DeletedCredential)
    except subprocess.TimeoutExpired:
        return DeletedCredential(problem=f"The keyring did not answer within {_SECONDS:.0f} seconds.")
    except (OSError, msgspec.MsgspecError):
        return DeletedCredential(problem="The credential could not be looked for.")


def remove(paths: list[Path], *, folders: Folders) -> None:
    """
    Remove the profile's files, and the folders around them that are empty then.

    Raises:
        ServiceError: If one cannot be removed.
    """
    for path in paths:
        try:
            if path.exists() or path.is_symlink():
                managed_files.remove(path)
        except OSError as error:
            message = f"{error.filename or path}: cannot be removed: {error.strerror}. Mend that and purge again."
            raise ServiceError(message, code="not_removed") from error
    for folder in (folders.config, folders.state, folders.logs, folders.runtime):
        for emptied in (folder, folder.parent, folder.parent.parent):
            if emptied.name in {PROFILES, "upstash-helper"} and emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()
