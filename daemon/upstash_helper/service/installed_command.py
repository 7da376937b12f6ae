"""Which command an installed file runs, read from the file itself."""

from __future__ import annotations

import html
import plistlib
import re
from typing import TYPE_CHECKING

from upstash_helper.service import managed_files, templating
from upstash_helper.service.templating import systemd_command_in

if TYPE_CHECKING:
    from pathlib import Path


def command_in(file: Path) -> tuple[str, ...]:
    """
    Return the command; empty if the file has none.

    Args:
        file: A service unit, a desktop entry, a property list or a task.

    Raises:
        OSError: If it cannot be read.
    """
    content = file.read_bytes()
    text = managed_files.decoded(content) or ""
    match file.suffix:
        case ".service":
            found = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
            return systemd_command_in(found[1]) if found else ()
        case ".plist":
            return _of_property_list(content)
        case ".xml":
            parts = [re.search(rf"<{tag}>(.*)</{tag}>", text) for tag in ("Command", "Arguments")]
            return tuple(html.unescape(part[1]) for part in parts if part)
        case _:
            return tuple(templating.exec_words(templating.read(text).get("Exec", "")))


def _of_property_list(content: bytes) -> tuple[str, ...]:
    try:
        found = plistlib.loads(content)
    except (ValueError, plistlib.InvalidFileException):
        return ()
    words = found.get("ProgramArguments", []) if isinstance(found, dict) else []
    return tuple(word for word in words if isinstance(word, str))
