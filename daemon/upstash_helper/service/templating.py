"""The templates in ``install/``: found in a checkout and in a wheel, and filled in."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One that is a line of its own, or one within a line.
_PLACE: Final = re.compile(r"^([ \t]*)@([A-Z][A-Z0-9_]*)@\n|@([A-Z][A-Z0-9_]*)@", re.MULTILINE)

# A wheel has them beside this module, see `force-include` in pyproject.toml; a checkout at its top.
_PACKAGED: Final = Path(__file__).with_name("templates")
_CHECKOUT: Final = Path(__file__).parents[3] / "install"


class TemplateMissing(Exception):
    """The installation of upstash-helper is not whole. ``str()`` says what is missing."""


def template(name: str) -> str:
    """
    Return a template.

    Args:
        name: Its path below ``install/``.

    Raises:
        TemplateMissing: If it is not there.
    """
    for folder in (_PACKAGED, _CHECKOUT):
        try:
            return (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
    message = f"{_PACKAGED / name} is missing: this copy of upstash-helper is not whole. Install it again."
    raise TemplateMissing(message)


def fill(name: str, values: Mapping[str, str], *, lines: Mapping[str, Sequence[str]] | None = None) -> str:
    """
    Return a template with its ``@PLACES@`` filled in.

    Args:
        name: Its path below ``install/``.
        values: What takes the places, in the quoting of the format already.
        lines: Places that are a line of their own, and become as many as are given; none takes the line away.

    Raises:
        TemplateMissing: If it is not there.
        KeyError: If a place has no value.
    """
    several = lines or {}

    # Both at once over the template's own text: what a value holds is never taken for a place.
    parts: list[str] = []
    at = 0
    text = template(name)
    for found in _PLACE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found[2] in several:
            parts.append("".join(f"{found[1]}{line}\n" for line in several[found[2]]))
        elif found[2] is not None:
            parts.append(f"{found[1]}{values[found[2]]}\n")
        else:
            parts.append(values[found[3]])
    return "".join((*parts, text[at:]))


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
