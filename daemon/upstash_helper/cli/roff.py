"""
Text as the man macros take it: man(7), groff_man(7), and "Portability" in groff_man_style(7).

The escapes are those that groff and mandoc both know. What comes out is ASCII, so that it reads the same whatever the
locale and whether or not a preprocessor looks at it first.
"""

from __future__ import annotations

import re
from typing import Final

# What the typesetter would take for its own or for a typographic sign. A hyphen that is meant to be typed is `\-`.
_SPECIAL: Final = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
    "\t": "    ",
    "\N{NO-BREAK SPACE}": r"\ ",
}
# A line that begins with one of these is a request. An apostrophe never stands there: it is `\(aq` by then.
_CONTROL: Final = "."

BREAK_AFTER_BAR: Final = r"|\:"
"""A bar behind which a line may end, without a hyphen."""

_CODE: Final = re.compile(r"`([^`\n]+)`")


def escaped(text: str) -> str:
    """Return ``text`` without anything that the typesetter would act on, as part of a line."""
    return "".join(_SPECIAL.get(character) or _plain(character) for character in text)


def line(text: str) -> str:
    """Return ``text``, which is roff already, so that it can begin a line: no request, and no empty line."""
    flat = " ".join(text.split("\n")).strip(" ")
    return rf"\&{flat}" if flat.startswith(_CONTROL) or not flat else flat


def prose(text: str) -> str:
    """Return a sentence or more as one line; what stands in backquotes becomes bold, as what is typed is in a page."""
    parts = _CODE.split(text)
    return line("".join(bold(part) if place % 2 else escaped(part) for place, part in enumerate(parts)))


def bold(text: str) -> str:
    """Return ``text`` as what is typed as it stands."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return ``text`` as what is replaced by the reader's own."""
    return rf"\fI{escaped(text)}\fR"


def macro(name: str, *arguments: str) -> str:
    """Return a call of a macro; an argument is one whatever spaces are in it."""
    return " ".join([f".{name}", *(f'"{escaped(argument)}"' for argument in arguments)])


def example(text: str) -> list[str]:
    """Return lines that stay as they are, indented."""
    return [".RS 4", ".nf", *(line_as_it_is(each) for each in text.split("\n")), ".fi", ".RE"]


def line_as_it_is(text: str) -> str:
    """Return a line whose spaces count; an empty one remains one."""
    return rf"\&{escaped(text.rstrip())}" if not text.strip() or text.startswith((_CONTROL, " ")) else escaped(text)


def _plain(character: str) -> str:
    if character == "\n" or (character.isascii() and character.isprintable()):
        return character
    # A control character has no place in a page, least of all an escape sequence for the reader's terminal.
    return rf"\[u{ord(character):04X}]" if character.isprintable() else r"\[uFFFD]"
