"""Lines of a desktop entry, as https://specifications.freedesktop.org/desktop-entry-spec/latest/ defines them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP: Final = "Desktop Entry"

_RESERVED: Final = re.compile(r"""[ \t\n"'\\><~|&;$*?#()`]""")
_ESCAPED_IN_QUOTES: Final = re.compile(r'(["`$\\])')
_IN_STRINGS: Final = {"\\": r"\\", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
_FROM_STRINGS: Final = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def exec_value(command: Sequence[str]) -> str:
    """Return a command as the value of ``Exec``, before the escapes of a string."""
    return " ".join(_argument(argument) for argument in command)


def exec_words(value: str) -> list[str]:
    """Return the command that ``exec_value`` made ``value`` of."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^ ]+)', value, re.DOTALL)
    words = (plain or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) for quoted, plain in found)
    return [word.replace("%%", "%") for word in words]


def string(value: str) -> str:
    """Return ``value`` as it stands behind the ``=`` of a key of the type ``string``."""
    escaped = "".join(_IN_STRINGS.get(character, character) for character in value)
    # A reader strips what stands around the value.
    if escaped.startswith(" "):
        escaped = r"\s" + escaped[1:]
    return escaped[:-1] + r"\s" if escaped.endswith(" ") else escaped


def read(text: str) -> dict[str, str]:
    """Return the keys of the group that counts, with their values as strings. Lines that are none are passed over."""
    keys: dict[str, str] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip()[1:-1]
        elif group == GROUP and not line.startswith("#") and "=" in line:
            key, _, value = line.partition("=")
            keys.setdefault(key.strip(), _unescaped(value.strip()))
    return keys


def _argument(argument: str) -> str:
    doubled = argument.replace("%", "%%")  # a single one would begin a field code
    if argument and not _RESERVED.search(argument):
        return doubled
    return '"' + _ESCAPED_IN_QUOTES.sub(r"\\\1", doubled) + '"'


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: _FROM_STRINGS.get(found[1], found[0]), value)
