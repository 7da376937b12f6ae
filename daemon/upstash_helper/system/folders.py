"""Folders that are this user's alone."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from upstash_helper.protocol.discovery import make_private
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


class FolderRefused(SettingsError):
    """A folder that cannot be made, or that another user could have a hand in."""


def claim(folder: Path) -> None:
    """
    Make ``folder`` if it is absent, and see to it that it is this user's alone (mode 0700).

    Raises:
        FolderRefused: If it is a link, somebody else's, or cannot be made.
    """
    try:
        make_private(folder)
        found = folder.lstat()
    except OSError as error:
        message = (
            f"{folder}: cannot be made: {error.strerror}. UPSTASH_HELPER_HOME puts all folders under another root."
        )
        raise FolderRefused(message) from error
    if stat.S_ISLNK(found.st_mode):
        message = f"{folder}: a symbolic link. Remove it: the helper makes this folder itself."
        raise FolderRefused(message)
    if sys.platform == "win32":
        return  # the user's profile folder is closed to others by its access control list
    if found.st_uid != os.geteuid():
        message = (
            f"{folder}: belongs to the user with id {found.st_uid}, not to you. Move it away, or run as that user."
        )
        raise FolderRefused(message)
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
