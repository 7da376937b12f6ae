"""What every part of the menu is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper_tray.menu.entries import Entry, Menu, Separator
from upstash_helper_tray.text import lines, short

if TYPE_CHECKING:
    from upstash_helper_tray.actions import Action

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
