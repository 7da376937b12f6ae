"""A menu as data, which a screen renders and a test reads, and the functions that build its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper_tray.presentation.text import shorten, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper_tray.menu.actions import Action

MAX_ENTRIES: Final = 12
"""Entries of a list of unbounded length, so that the menu never has to be scrolled."""

UNNAMED: Final = "(no name)"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a menu: a label, an item with an action, or a submenu."""

    text: str
    """Plain text: no character in it marks an access key."""
    action: Action | None = None
    """What choosing the entry does. With neither an action nor ``entries`` it is a label, which is grayed out."""
    checked: bool | None = None
    """None if it has no check mark."""
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


def label(text: str, *, first: str = "") -> Menu:
    """Return text as grayed-out entries, as many lines as it needs, with the prefix ``first`` on the first one."""
    return tuple(Entry(text=line) for line in wrapped(text, first=first))


def item(text: str, action: Action, *, checked: bool | None = None) -> Menu:
    """Return an entry with an action."""
    return (Entry(text=text, action=action, checked=checked),)


def submenu(text: str, entries: Menu) -> Menu:
    """Return an entry with a submenu."""
    return (Entry(text=text, entries=entries),)


def confirmed(text: str, consequence: str, confirmation: str, action: Action) -> Menu:
    """Return an entry for something that cannot be undone: a submenu with its consequence and the actual item."""
    return submenu(text, (*label(consequence), *item(confirmation, action)))


def grouped(*groups: Menu) -> Menu:
    """Return the groups that are not empty, with separators between them."""
    menu: list[Entry | Separator] = []
    for group in groups:
        if group:
            menu += [Separator(), *group] if menu else group
    return tuple(menu)


def display_name(name: str) -> str:
    """Return an untrusted name as text for an entry, with a placeholder if there is nothing to see in it."""
    return shorten(name) or UNNAMED


def show_all(count: int, action: Action) -> Menu:
    """Return an item that leads to the whole list, or nothing if all ``count`` elements are in the menu."""
    return item(f"Show all {count} in the dashboard…", action) if count > MAX_ENTRIES else ()
