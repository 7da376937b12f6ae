"""A menu as data: what a screen shows, and what a test reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper_tray.actions import Action


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a menu: words, a choice, or the way to a menu of its own."""

    text: str
    """Plain text: no character in it marks an access key."""
    action: Action | None = None
    """What choosing it does. Without one, and without ``entries``, it is only words, shown greyed."""
    checked: bool | None = None
    """None: it cannot be ticked."""
    entries: Menu = ()
    """The submenu."""


@dataclass(frozen=True)
class Separator:
    """A line between groups."""


Menu = tuple[Entry | Separator, ...]


def walk(menu: Menu, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Yield every entry of ``menu`` and its submenus, each with the texts that lead to it."""
    for entry in menu:
        if isinstance(entry, Entry):
            here = (*path, entry.text)
            yield here, entry
            yield from walk(entry.entries, here)
