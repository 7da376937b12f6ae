"""Reading a menu: as text, and by the texts that lead to an entry."""

from __future__ import annotations

from textwrap import dedent, indent

from upstash_helper_tray.menu.actions import Action
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Menu, Separator, walk
from upstash_helper_tray.sync.state import TrayState


def as_text(menu: Menu) -> str:
    """Return a menu as text: labels in parentheses, check marks in brackets, and submenus indented after ``>``."""
    out = []
    for entry in menu:
        if isinstance(entry, Separator):
            out.append("---")
        elif entry.entries:
            out += [f"{entry.text} >", indent(as_text(entry.entries), "    ")]
        elif entry.action is None:
            out.append(f"({entry.text})")
        else:
            out.append({None: "", True: "[x] ", False: "[ ] "}[entry.checked] + entry.text)
    return "\n".join(out)


def text_of(literal: str) -> str:
    return dedent(literal).strip("\n").rstrip()


def sub(state: TrayState, *path: str) -> Menu:
    """Return the submenu at ``path``."""
    return next(entry.entries for texts, entry in walk(menu_for(state)) if texts == path)


def chosen(state: TrayState, *path: str) -> Action | None:
    """Return the action of the entry at ``path``."""
    return next(entry.action for texts, entry in walk(menu_for(state)) if texts == path)
