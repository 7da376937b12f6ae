"""Builds HTML in which text cannot become markup: everything is escaped unless it was built here."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Html(str):
    """HTML, as opposed to text."""

    __slots__ = ()


Child = str | Html | None
Content = Child | Iterable[Child]
Attribute = str | int | bool | None
_VOID = frozenset({"br", "input"})


def tag(name: str, /, *children: Content, **attributes: Attribute) -> Html:
    """
    Return an element.

    Args:
        name: Its name.
        children: Its content: text, which is escaped, elements, None, or several of these.
        attributes: ``class_`` and ``for_`` are written without the underscore, and other underscores are hyphens. True
            is an attribute without a value; False and None leave it out.
    """
    opening = Html(f"<{name}{''.join(_attribute(*item) for item in attributes.items())}>")
    return opening if name in _VOID else Html(f"{opening}{join(*children)}</{name}>")


def join(*children: Content) -> Html:
    """Return elements and texts, one after the other."""
    return Html("".join(_rendered(child) for child in children))


def _rendered(child: Content) -> str:
    match child:
        case None:
            return ""
        case Html():
            return child
        case str():
            return html.escape(child)
        case _:
            return "".join(_rendered(one) for one in child)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.removesuffix("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{html.escape(str(value))}"'
