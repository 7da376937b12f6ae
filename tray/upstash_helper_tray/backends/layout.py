"""
A ``pystray.Menu`` as the tree of numbered items that com.canonical.dbusmenu shows.

A menu may change while it is open, and what the user clicks comes back as a number. So a number never means something
else later: an item that is gone stays known for a while, and a click on it does what the user saw.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = 0
REMEMBERED: Final = 1024
"""Items that are gone and still known. A host fetches the new menu within a blink."""

_LARGEST: Final = 2**31 - 1
"""Of a number: it travels as a signed integer of 32 bits."""


@dataclass(frozen=True)
class Node:
    """An item, as it was when the menu was set."""

    id: int
    label: str
    action: Any
    """A ``pystray.MenuItem`` to be called with the icon; None for the root, separators and words."""
    identity: Any
    """What makes it the same item as before, beside its place and its looks."""
    enabled: bool = True
    checked: bool | None = None
    radio: bool = False
    separator: bool = False
    submenu: bool = False
    children: tuple[Node, ...] = ()

    def shows_as(self, other: Node) -> bool:
        """Return whether a host would show both alike."""
        mine = (self.id, self.label, self.enabled, self.checked, self.radio, self.separator, self.submenu)
        its = (other.id, other.label, other.enabled, other.checked, other.radio, other.separator, other.submenu)
        return (
            mine == its
            and len(self.children) == len(other.children)
            and all(one.shows_as(two) for one, two in zip(self.children, other.children, strict=True))
        )

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class Layout:
    """The menu as it is now, and what is remembered of earlier ones. Not for several threads at once."""

    def __init__(self) -> None:
        self.revision = 1
        self.root = Node(id=ROOT, label="", action=None, identity=None, submenu=True)
        self._now: dict[int, Node] = {ROOT: self.root}
        self._gone: OrderedDict[int, Node] = OrderedDict()
        self._last_id = ROOT

    def show(self, menu: Any) -> bool:
        """Show ``menu`` (a ``pystray.Menu`` or None) from now on. Return whether it looks different from before."""
        root = Node(
            id=ROOT, label="", action=None, identity=None, submenu=True, children=self._nodes(menu or (), self.root)
        )
        changed = not root.shows_as(self.root)
        now = {node.id: node for node in root.walk()}
        for number, node in self._now.items():
            if number not in now:
                self._gone[number] = node
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        self.root, self._now = root, now
        if changed:
            self.revision = self.revision % _LARGEST + 1
        return changed

    def shown(self, number: int) -> Node | None:
        """Return an item that is in the menu now."""
        return self._now.get(number)

    def clicked(self, number: int) -> Node | None:
        """Return what a click on ``number`` means: an item of this menu, or of an earlier one."""
        return self._now.get(number) or self._gone.get(number)

    def _nodes(self, menu: Any, before: Node) -> tuple[Node, ...]:
        known: dict[_Looks, list[Node]] = {}
        for child in before.children:
            known.setdefault(_looks(child), []).append(child)
        return tuple(self._node(item, known) for item in menu)

    def _node(self, item: Any, known: dict[_Looks, list[Node]]) -> Node:
        import pystray

        separator = item is pystray.Menu.SEPARATOR
        label, submenu = "" if separator else str(item.text), item.submenu
        # Words and submenus do nothing by themselves; else an item is the same only if it does the same.
        identity = None if separator or submenu is not None else item._action  # noqa: SLF001 - pystray tells it no other way
        node = Node(
            id=ROOT,
            label=label,
            action=None if separator or submenu is not None else item,
            identity=identity,
            enabled=bool(item.enabled),
            checked=None if item.checked is None else bool(item.checked),
            radio=bool(item.radio),
            separator=separator,
            submenu=submenu is not None,
        )
        before = _taken(known.get(_looks(node), []), identity)
        children = () if submenu is None else self._nodes(submenu, before or node)
        return replace(node, id=self._new_id() if before is None else before.id, children=children)

    def _new_id(self) -> int:
        # At a thousand new items a second this lasts for weeks, and then it begins anew, far from what is remembered.
        self._last_id = self._last_id % _LARGEST + 1
        return self._last_id


_Looks = tuple[object, ...]


def _looks(node: Node) -> _Looks:
    # GNOME's extension does not ask again how an item looks that it knows, whatever LayoutUpdated says: one that looks
    # different is another item. https://github.com/ubuntu/gnome-shell-extension-appindicator, dbusMenu.js.
    return node.label, node.submenu, node.separator, node.enabled, node.checked, node.radio


def _taken(candidates: list[Node], identity: Any) -> Node | None:
    """Return the node of before that this is, and take it out; None if it is a new one."""
    for place, node in enumerate(candidates):
        if node.identity == identity:
            return candidates.pop(place)
    return None
