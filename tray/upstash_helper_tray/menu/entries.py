"""A menu as data: what a screen shows, and what a test reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper_tray.text import lines, short

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


MOST: Final = 12
"""Entries of a list that has no end of its own: a menu that must be scrolled is no menu."""

NO_NAME: Final = "(no name)"


def said(text: str, *, first: str = "") -> Menu:
    """Return words as greyed entries, as many as they need, the first of them after ``first``."""
    return tuple(Entry(text=line) for line in lines(text, first=first))


def choice(text: str, action: Action, *, checked: bool | None = None) -> Menu:
    """Return an entry that does something."""
    return (Entry(text=text, action=action, checked=checked),)


def submenu(text: str, entries: Menu) -> Menu:
    """Return the way to a menu of its own."""
    return (Entry(text=text, entries=entries),)


def confirmed(text: str, meaning: str, sure: str, action: Action) -> Menu:
    """Return what cannot be undone: it takes a second choice, next to the words of what it means."""
    return submenu(text, (*said(meaning), *choice(sure, action)))


def grouped(*groups: Menu) -> Menu:
    """Return the groups that have entries, with a line between each two."""
    menu: list[Entry | Separator] = []
    for group in groups:
        if group:
            menu += [Separator(), *group] if menu else group
    return tuple(menu)


def named(name: str) -> str:
    """Return a name that came from elsewhere, fit for an entry, and never nothing."""
    return short(name) or NO_NAME


def rest(count: int, action: Action) -> Menu:
    """Return the way to those of ``count`` that a list leaves out."""
    return choice(f"Show all {count} in the dashboard…", action) if count > MOST else ()
