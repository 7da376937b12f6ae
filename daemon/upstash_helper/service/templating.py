"""The templates in ``install/``, which exist in a checkout and in a wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A placeholder on a line of its own, or within a line.
_PLACEHOLDER: Final = re.compile(r"^([ \t]*)@([A-Z][A-Z0-9_]*)@\n|@([A-Z][A-Z0-9_]*)@", re.MULTILINE)

# In a wheel they are next to this module, in a checkout at its top level.
_PACKAGED: Final = Path(__file__).with_name("templates")
_CHECKOUT: Final = Path(__file__).parents[3] / "install"


class TemplateMissing(Exception):
    """A template does not exist, because the installation of upstash-helper is incomplete."""


def template(name: str) -> str:
    """
    Return a template.

    Args:
        name: Its path relative to ``install/``.

    Raises:
        TemplateMissing: If it does not exist.
    """
    for folder in (_PACKAGED, _CHECKOUT):
        try:
            return (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
    message = f"{_PACKAGED / name} is missing: this installation of upstash-helper is incomplete. Install it again."
    raise TemplateMissing(message)


def fill(name: str, values: Mapping[str, str], *, lines: Mapping[str, Sequence[str]] | None = None) -> str:
    """
    Return a template with its ``@PLACEHOLDERS@`` replaced.

    Args:
        name: Its path relative to ``install/``.
        values: The replacements, already quoted for the format.
        lines: Replacements for placeholders on a line of their own: any number of lines, with the same indentation.

    Raises:
        TemplateMissing: If it does not exist.
        KeyError: If a placeholder has no value.
    """
    multiline = lines or {}

    # In a single pass over the template, so that a value that looks like a placeholder is not replaced.
    parts: list[str] = []
    end = 0
    text = template(name)
    for match in _PLACEHOLDER.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[2] in multiline:
            parts.append("".join(f"{match[1]}{line}\n" for line in multiline[match[2]]))
        elif match[2] is not None:
            parts.append(f"{match[1]}{values[match[2]]}\n")
        else:
            parts.append(values[match[3]])
    return "".join((*parts, text[end:]))
