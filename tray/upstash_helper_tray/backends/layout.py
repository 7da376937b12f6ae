"""
A ``pystray.Menu`` as the tree of numbered items that com.canonical.dbusmenu exposes.

A menu may change while it is open, and a click arrives as an item's id. So an id is never reused for a different item,
and removed items are remembered for a while: a click always does what the user saw.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = 0
REMEMBERED: Final = 1024
"""Removed items that are still recognized. Hosts fetch a changed menu within milliseconds."""

_MAX_INT32: Final = 2**31 - 1
"""D-Bus sends ids and revisions as 32-bit integers."""


@dataclass(frozen=True)
class Node:
    """An item, as it was when the menu was set."""

    id: int
    label: str
    action: Any
    """A ``pystray.MenuItem``, to be called with the icon. None for the root, separators, and submenus."""
    identity: Any
    """Items with equal identity and appearance are the same item, regardless of their position."""
    enabled: bool = True
    checked: bool | None = None
    radio: bool = False
    separator: bool = False
    submenu: bool = False
    children: tuple[Node, ...] = ()

    def looks_like(self, other: Node) -> bool:
        """Return whether a host would show both trees alike."""
        mine = (self.id, self.label, self.enabled, self.checked, self.radio, self.separator, self.submenu)
        theirs = (other.id, other.label, other.enabled, other.checked, other.radio, other.separator, other.submenu)
        return (
            mine == theirs
            and len(self.children) == len(other.children)
            and all(one.looks_like(two) for one, two in zip(self.children, other.children, strict=True))
        )

    def walk(self) -> Iterator[Node]:
        """Yield this node and all its descendants."""
        yield self
        for child in self.children:
            yield from child.walk()


class Layout:
    """The current menu, and the removed items of earlier ones. Not thread-safe."""

    def __init__(self) -> None:
        self.revision = 1
        self.root = Node(id=ROOT, label="", action=None, identity=None, submenu=True)
        self._current: dict[int, Node] = {ROOT: self.root}
        self._removed: OrderedDict[int, Node] = OrderedDict()
        self._last_id = ROOT

    def show(self, menu: Any) -> bool:
        """Set the menu (a ``pystray.Menu`` or None). Return whether it looks different from the one before."""
        root = Node(
            id=ROOT, label="", action=None, identity=None, submenu=True, children=self._nodes(menu or (), self.root)
        )
        changed = not root.looks_like(self.root)
        current = {node.id: node for node in root.walk()}
        for item_id, node in self._current.items():
            if item_id not in current:
                self._removed[item_id] = node
        while len(self._removed) > REMEMBERED:
            self._removed.popitem(last=False)
        self.root, self._current = root, current
        if changed:
            self.revision = self.revision % _MAX_INT32 + 1
        return changed

    def current(self, item_id: int) -> Node | None:
        """Return an item of the current menu."""
        return self._current.get(item_id)

    def find(self, item_id: int) -> Node | None:
        """Return an item of the current menu, or a removed one that is still remembered."""
        return self._current.get(item_id) or self._removed.get(item_id)

    def _nodes(self, menu: Any, before: Node) -> tuple[Node, ...]:
        known: dict[_Appearance, list[Node]] = {}
        for child in before.children:
            known.setdefault(_appearance(child), []).append(child)
        return tuple(self._node(item, known) for item in menu)

    def _node(self, item: Any, known: dict[_Appearance, list[Node]]) -> Node:
        import pystray

        separator = item is pystray.Menu.SEPARATOR
        label, submenu = "" if separator else str(item.text), item.submenu
        # Labels and submenus do nothing when clicked. Any other item is the same only if it has the same action.
        identity = None if separator or submenu is not None else item._action  # noqa: SLF001 - pystray does not expose it otherwise
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
        before = _take(known.get(_appearance(node), []), identity)
        children = () if submenu is None else self._nodes(submenu, before or node)
        return replace(node, id=self._new_id() if before is None else before.id, children=children)

    def _new_id(self) -> int:
        # At a thousand new items per second this wraps around after weeks, long after the first ids were forgotten.
        self._last_id = self._last_id % _MAX_INT32 + 1
        return self._last_id


_Appearance = tuple[object, ...]


def _appearance(node: Node) -> _Appearance:
    # GNOME's extension does not read the properties of a known item again after LayoutUpdated, so an item whose
    # appearance changes gets a new id. https://github.com/ubuntu/gnome-shell-extension-appindicator, dbusMenu.js.
    return node.label, node.submenu, node.separator, node.enabled, node.checked, node.radio


def _take(candidates: list[Node], identity: Any) -> Node | None:
    """Remove and return the candidate with this identity. None if there is none, so that the item is new."""
    for index, node in enumerate(candidates):
        if node.identity == identity:
            return candidates.pop(index)
    return None
