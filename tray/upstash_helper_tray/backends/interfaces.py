"""
The D-Bus interfaces of a tray icon and its menu.

https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/ and libdbusmenu's ``dbus-menu.xml``.
"""

# No `from __future__ import annotations`: dbus-fast reads the annotations, and would take the string "None" for a type.

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from upstash_helper_tray.backends.layout import Layout, Node

ITEM_PATH: Final = "/StatusNotifierItem"
MENU_PATH: Final = "/MenuBar"

Pixmaps = list[list[object]]
"""Width, height, and pixels of an image in several sizes."""

DBusPixmaps = Annotated[Pixmaps, DBusSignature("a(iiay)")]
DBusToolTip = Annotated[list[Any], DBusSignature("(sa(iiay)ss)")]
DBusInts = Annotated[list[int], DBusSignature("ai")]
DBusStrings = Annotated[list[str], DBusSignature("as")]
DBusVariant = Annotated[Variant, DBusSignature("v")]
DBusEvents = Annotated[list[Any], DBusSignature("a(isvu)")]
DBusLayout = Annotated[list[Any], DBusSignature("u(ia{sv}av)")]
DBusPropertiesOfItems = Annotated[list[Any], DBusSignature("a(ia{sv})")]
DBusTwoLists = Annotated[list[Any], DBusSignature("aiai")]
DBusRevision = Annotated[list[Any], DBusSignature("ui")]

_READ: Final = PropertyAccess.READ
_NO_SUCH_ITEM: Final = "org.freedesktop.DBus.Error.InvalidArgs"


@dataclass
class ItemState:
    """What the icon currently shows."""

    name: str
    title: str = ""
    pixmaps: Pixmaps = field(default_factory=list)
    visible: bool = False


class StatusNotifierItem(ServiceInterface):
    """``org.kde.StatusNotifierItem``."""

    def __init__(self, state: ItemState, *, activated: Callable[[], None]) -> None:
        """
        Args:
            state: What to show. Code that changes it has to emit the matching signal.
            activated: Called when the icon is clicked.
        """
        super().__init__("org.kde.StatusNotifierItem")
        self._state = state
        self._activated = activated

    @dbus_method()
    def Activate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Handle a click on the icon."""
        self._activated()

    @dbus_method()
    def SecondaryActivate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Handle a click with the middle button."""
        self._activated()

    @dbus_method()
    def ContextMenu(self, x: DBusInt32, y: DBusInt32) -> None:
        """Do nothing: hosts show the menu at the path ``Menu``."""

    @dbus_method()
    def Scroll(self, delta: DBusInt32, orientation: DBusStr) -> None:
        """Do nothing."""

    @dbus_property(access=_READ)
    def Category(self) -> DBusStr:
        """Return the category of the item."""
        return "ApplicationStatus"

    @dbus_property(access=_READ)
    def Id(self) -> DBusStr:
        """Return an id that is the same in every session."""
        return self._state.name

    @dbus_property(access=_READ)
    def Title(self) -> DBusStr:
        """Return the title, which screen readers use as well."""
        return " – ".join(self._state.title.splitlines()) or self._state.name

    @dbus_property(access=_READ)
    def Status(self) -> DBusStr:
        """Return whether the item is visible. Never NeedsAttention, which makes some hosts blink until it ends."""
        return "Active" if self._state.visible else "Passive"

    @dbus_property(access=_READ)
    def WindowId(self) -> DBusInt32:
        """Return 0: there is no window."""
        return 0

    @dbus_property(access=_READ)
    def IconName(self) -> DBusStr:
        """Return nothing: the image is in ``IconPixmap``."""
        return ""

    @dbus_property(access=_READ)
    def IconPixmap(self) -> DBusPixmaps:
        """Return the image in several sizes."""
        return self._state.pixmaps

    @dbus_property(access=_READ)
    def IconThemePath(self) -> DBusStr:
        """Return nothing, as for ``IconName``."""
        return ""

    @dbus_property(access=_READ)
    def OverlayIconName(self) -> DBusStr:
        """Return nothing."""
        return ""

    @dbus_property(access=_READ)
    def OverlayIconPixmap(self) -> DBusPixmaps:
        """Return nothing."""
        return []

    @dbus_property(access=_READ)
    def AttentionIconName(self) -> DBusStr:
        """Return nothing."""
        return ""

    @dbus_property(access=_READ)
    def AttentionIconPixmap(self) -> DBusPixmaps:
        """Return nothing."""
        return []

    @dbus_property(access=_READ)
    def AttentionMovieName(self) -> DBusStr:
        """Return nothing."""
        return ""

    @dbus_property(access=_READ)
    def ToolTip(self) -> DBusToolTip:
        """Return a heading and a text. Hosts interpret markup in the text, so ours is escaped."""
        heading, _, text = self._state.title.partition("\n")
        return ["", [], heading, escape_markup(text)]

    @dbus_property(access=_READ)
    def ItemIsMenu(self) -> DBusBool:
        """Return False: a click on the icon does something other than showing the menu."""
        return False

    @dbus_property(access=_READ)
    def Menu(self) -> DBusObjectPath:
        """Return the path of the menu."""
        return MENU_PATH

    @dbus_signal()
    def NewTitle(self) -> None:
        """Signal that ``Title`` has changed."""

    @dbus_signal()
    def NewIcon(self) -> None:
        """Signal that ``IconPixmap`` has changed."""

    @dbus_signal()
    def NewToolTip(self) -> None:
        """Signal that ``ToolTip`` has changed."""

    @dbus_signal()
    def NewStatus(self, status: str) -> DBusStr:
        """Signal that ``Status`` has changed."""
        return status


class DBusMenu(ServiceInterface):
    """``com.canonical.dbusmenu``."""

    def __init__(self, layout: Layout, *, clicked: Callable[[Node], None], opened: Callable[[], None]) -> None:
        """
        Args:
            layout: The menu. Code that changes it has to emit the signal.
            clicked: Called with the item that was chosen.
            opened: Called when a host shows the menu, a submenu, or a changed menu.
        """
        super().__init__("com.canonical.dbusmenu")
        self._layout = layout
        self._clicked = clicked
        self._opened = opened
        self._fetched = 0

    @dbus_method()
    def GetLayout(self, parent_id: DBusInt32, recursion_depth: DBusInt32, property_names: DBusStrings) -> DBusLayout:
        """Return an item with its descendants down to the requested depth; -1 returns all."""
        node = self._current(parent_id)
        if self._fetched != self._layout.revision:
            # A host may fetch a changed menu late. Until then, the user sees the one before.
            self._fetched = self._layout.revision
            self._opened()
        return [self._layout.revision, _tree(node, recursion_depth, set(property_names))]

    @dbus_method()
    def GetGroupProperties(self, ids: DBusInts, property_names: DBusStrings) -> DBusPropertiesOfItems:
        """Return the properties of several items, or of all if there are no ids. Unknown items are omitted."""
        names = set(property_names)
        nodes = [self._layout.current(item_id) for item_id in ids] if ids else list(self._layout.root.walk())
        return [[node.id, _properties(node, names)] for node in nodes if node is not None]

    @dbus_method()
    def GetProperty(self, item_id: DBusInt32, name: DBusStr) -> DBusVariant:
        """Return one property."""
        found = _properties(self._current(item_id), {name})
        if name not in found:
            raise DBusError(_NO_SUCH_ITEM, f"The item {item_id} has no property {name}.")
        return found[name]

    @dbus_method()
    def Event(self, item_id: DBusInt32, event_id: DBusStr, data: DBusVariant, timestamp: DBusUInt32) -> None:
        """Handle an event of an item. Events of unknown items are ignored."""
        self._handle(item_id, event_id)

    @dbus_method()
    def EventGroup(self, events: DBusEvents) -> DBusInts:
        """Handle several events, and return the ids of unknown items."""
        return [item_id for item_id, event_id, *_ in events if not self._handle(item_id, event_id)]

    @dbus_method()
    def AboutToShow(self, item_id: DBusInt32) -> DBusBool:
        """Return False: no update is needed before a submenu is shown, since every change is signaled."""
        self._opened()
        return False

    @dbus_method()
    def AboutToShowGroup(self, ids: DBusInts) -> DBusTwoLists:
        """Return the ids that need an update, which are none, and the unknown ones."""
        self._opened()
        return [[], [item_id for item_id in ids if self._layout.current(item_id) is None]]

    @dbus_property(access=_READ)
    def Version(self) -> DBusUInt32:
        """Return the version of the protocol."""
        return 3

    @dbus_property(access=_READ)
    def TextDirection(self) -> DBusStr:
        """Return ``ltr``: left to right."""
        return "ltr"

    @dbus_property(access=_READ)
    def Status(self) -> DBusStr:
        """Return ``normal``: the menu needs no special attention."""
        return "normal"

    @dbus_property(access=_READ)
    def IconThemePath(self) -> DBusStrings:
        """Return nothing: the menu has no icons."""
        return []

    @dbus_signal()
    def LayoutUpdated(self) -> DBusRevision:
        """Signal that any part of the menu may have changed."""
        return [self._layout.revision, self._layout.root.id]

    def _current(self, item_id: int) -> Node:
        node = self._layout.current(item_id)
        if node is None:
            raise DBusError(_NO_SUCH_ITEM, f"There is no item {item_id} in the menu.")
        return node

    def _handle(self, item_id: int, event: str) -> bool:
        """Handle an event, and return whether the item is known."""
        node = self._layout.find(item_id)
        if event == "opened":
            self._opened()
        if node is not None and event == "clicked" and node.action is not None and node.enabled:
            self._clicked(node)
        return node is not None


def escape_markup(text: str) -> str:
    """Return text that is shown unchanged where markup is interpreted."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tree(node: Node, depth: int, names: set[str]) -> list[Any]:
    children = [Variant("(ia{sv}av)", _tree(child, depth - 1, names)) for child in node.children] if depth else []
    return [node.id, _properties(node, names), children]


def _properties(node: Node, names: set[str]) -> dict[str, Variant]:
    """Return the requested properties, or all if ``names`` is empty. Those with the protocol's defaults are omitted."""
    found = {}
    if node.separator:
        found["type"] = Variant("s", "separator")
    elif node.label:
        # A single underscore would mark the next letter as an access key.
        found["label"] = Variant("s", node.label.replace("_", "__"))
    if not node.enabled:
        found["enabled"] = Variant("b", False)
    if node.checked is not None:
        found["toggle-type"] = Variant("s", "radio" if node.radio else "checkmark")
        found["toggle-state"] = Variant("i", int(node.checked))
    if node.submenu:
        found["children-display"] = Variant("s", "submenu")
    return {name: value for name, value in found.items() if not names or name in names}
