"""Quoting of values in systemd units, desktop entries, and XML, and parsing of the quoted values."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Final

# --- systemd units: systemd.syntax(7) ---

_SYSTEMD_ESCAPES: Final = {"\\": r"\\", '"': r"\"", "%": "%%", "\n": r"\n", "\t": r"\t", "\r": r"\r"}

_INVALID_IN_EXECUTABLE: Final = re.compile(r"""["'\\\x00-\x1f\x7f]""")
_SHELL_EXEC: Final = ("/bin/sh", "-c", 'exec "$0" "$@"')
_SYSTEMD_UNESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def systemd_word(text: str) -> str:
    """
    Quote ``text`` as one word of a unit file.

    Quoted words have C-style escapes (systemd.syntax(7)), and ``%`` is escaped as ``%%``, because it begins a specifier
    (systemd.unit(5)). In ``ExecStart=``, ``$`` begins a variable unless the command begins with ``:``
    (systemd.service(5)).
    """
    return '"' + "".join(_SYSTEMD_ESCAPES.get(character, character) for character in text) + '"'


def systemd_command(command: Sequence[str]) -> str:
    """
    Return a command as the value of ``ExecStart=``, without substitution of variables.

    systemd rejects executables with a quotation mark, a backslash, or a control character in their path ("Executable
    name contains special characters"), however they are quoted. A shell starts these.
    """
    words = (*_SHELL_EXEC, *command) if _INVALID_IN_EXECUTABLE.search(command[0]) else command
    return ":" + " ".join(systemd_word(word) for word in words)


def parse_systemd_command(line: str) -> tuple[str, ...]:
    """Return the command in a value returned by ``systemd_command``."""
    words = tuple(parse_systemd_words(line))
    return words[len(_SHELL_EXEC) :] if words[: len(_SHELL_EXEC)] == _SHELL_EXEC else words


def parse_systemd_words(line: str) -> list[str]:
    """Return the quoted words in a line of a unit file."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    return [re.sub(r"\\(.)|%(%)", _unescape_systemd, word) for word in words]


def _unescape_systemd(match: re.Match[str]) -> str:
    return match[2] or _SYSTEMD_UNESCAPES.get(match[1], match[1])


def systemd_text(text: str) -> str:
    """Escape ``text`` as the value of a key that is not split into words, such as ``Description=``."""
    return text.replace("%", "%%")


# --- desktop entries: https://specifications.freedesktop.org/desktop-entry-spec/latest/ ---

_GROUP: Final = "Desktop Entry"
_RESERVED: Final = re.compile(r"""[ \t\n"'\\><~|&;$*?#()`]""")
_ESCAPED_IN_QUOTES: Final = re.compile(r'(["`$\\])')
_STRING_ESCAPES: Final = {"\\": r"\\", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
_STRING_UNESCAPES: Final = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def desktop_exec(command: Sequence[str]) -> str:
    """Quote a command for the key ``Exec``. The result must still be escaped by ``desktop_string``."""
    return " ".join(_quote_argument(argument) for argument in command)


def parse_desktop_exec(value: str) -> list[str]:
    """Return the command in a value returned by ``desktop_exec``."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|([^ ]+)', value, re.DOTALL)
    words = (plain or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) for quoted, plain in parts)
    return [word.replace("%%", "%") for word in words]


def desktop_string(value: str) -> str:
    """Escape ``value`` for a key of the type ``string``."""
    escaped = "".join(_STRING_ESCAPES.get(character, character) for character in value)
    # Leading and trailing spaces are escaped, because parsers strip them.
    if escaped.startswith(" "):
        escaped = r"\s" + escaped[1:]
    return escaped[:-1] + r"\s" if escaped.endswith(" ") else escaped


def parse_desktop_entry(text: str) -> dict[str, str]:
    """Return the keys and unescaped values of the group ``Desktop Entry``. Invalid lines are ignored."""
    keys: dict[str, str] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip()[1:-1]
        elif group == _GROUP and not line.startswith("#") and "=" in line:
            key, _, value = line.partition("=")
            keys.setdefault(key.strip(), _unescape_string(value.strip()))
    return keys


def _quote_argument(argument: str) -> str:
    doubled = argument.replace("%", "%%")  # a single % begins a field code
    if argument and not _RESERVED.search(argument):
        return doubled
    return '"' + _ESCAPED_IN_QUOTES.sub(r"\\\1", doubled) + '"'


def _unescape_string(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: _STRING_UNESCAPES.get(match[1], match[0]), value)


# --- XML ---


def xml_text(text: str) -> str:
    """Escape ``text`` as the content of an element (XML 1.0, section 2.4)."""
    # Not xml.sax.saxutils: it imports urllib.request, which takes longer than drawing the tray's menu.
    return html.escape(text, quote=False).replace("\r", "&#13;")


def xml_strings(texts: Sequence[str]) -> list[str]:
    """Return the lines of an array of strings in a property list."""
    return [f"<string>{xml_text(text)}</string>" for text in texts]
