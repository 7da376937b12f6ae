"""Whether a profile is that of a sandbox that is not running."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from upstash_helper.cli.sandbox import managed_lines, upstream
from upstash_helper.cli.sandbox.own_profile import PROFILE, data_folder

if TYPE_CHECKING:
    from upstash_helper.settings.profiles import Folders


def command_to_start(profile: str, folders: Folders) -> str | None:
    """Return the command that starts a profile's sandbox; None if it is running, or the profile has none."""
    data = data_folder(folders)
    if not data.is_dir():
        return None
    try:
        if managed_lines.BEGIN not in folders.config_file.read_text(encoding="utf-8", errors="replace"):
            return None
    except OSError:
        return None
    if upstream.running(data) is not None:
        return None
    options = () if profile == PROFILE else ("--profile", profile)
    return shlex.join(("upstash-helper", *options, "sandbox", "up"))
