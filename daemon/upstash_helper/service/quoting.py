"""A value in the quoting of each format, so that whatever a folder or a user is called arrives as it is."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSTEMD: Final = {"\\": r"\\", '"': r"\"", "%": "%%", "\n": r"\n", "\t": r"\t", "\r": r"\r"}

_REFUSED: Final = re.compile(r"""["'\\\x00-\x1f\x7f]""")
_BY_SHELL: Final = ("/bin/sh", "-c", 'exec "$0" "$@"')
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def systemd_word(text: str) -> str:
    """
    Return ``text`` as one quoted word of a unit file.

    systemd.syntax(7): C-style escapes within quotes; systemd.unit(5): ``%`` begins a specifier, and ``%%`` is one. In
    ``ExecStart=``, ``$`` begins a variable as well, unless the command begins with ``:`` (systemd.service(5)).
    """
    return '"' + "".join(_SYSTEMD.get(character, character) for character in text) + '"'


def systemd_command(command: Sequence[str]) -> str:
    """
    Return a command as the value of ``ExecStart=``, without the replacement of variables.

    systemd takes no program with a quotation mark, a backslash or a control character in its path ("Executable name
    contains special characters"), whatever its quoting; a shell gives way to such a one.
    """
    words = (*_BY_SHELL, *command) if _REFUSED.search(command[0]) else command
    return ":" + " ".join(systemd_word(word) for word in words)


def systemd_command_in(line: str) -> tuple[str, ...]:
    """Return the command that ``systemd_command`` made ``line`` of."""
    words = tuple(systemd_words(line))
    return words[len(_BY_SHELL) :] if words[: len(_BY_SHELL)] == _BY_SHELL else words


def systemd_words(line: str) -> list[str]:
    """Return the quoted words in a line of a unit file."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    return [re.sub(r"\\(.)|%(%)", _unquoted, word) for word in words]


def _unquoted(found: re.Match[str]) -> str:
    return found[2] or _ESCAPES.get(found[1], found[1])


def systemd_text(text: str) -> str:
    """Return ``text`` as the value of a key that takes no words, such as ``Description=``."""
    return text.replace("%", "%%")


def xml_text(text: str) -> str:
    """Return ``text`` as it stands between two tags (XML 1.0, section 2.4)."""
    # Not xml.sax.saxutils: it imports urllib.request, which takes longer than all of the tray's menu.
    return html.escape(text, quote=False).replace("\r", "&#13;")


def xml_strings(texts: Sequence[str]) -> list[str]:
    """Return the lines of an array of strings in a property list."""
    return [f"<string>{xml_text(text)}</string>" for text in texts]
