"""The templates in ``install/``: found in a checkout and in a wheel, and filled in."""

from __future__ import annotations

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
