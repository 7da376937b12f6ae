"""
The D-Bus interfaces of a tray icon, without what is behind them.

https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/ and libdbusmenu's ``dbus-menu.xml``.
"""

# Without `from __future__ import annotations`: dbus-fast reads the annotations, and takes the text "None" for a type.

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from upstash_helper_tray.backends.layout import Layout, Node
from upstash_helper_tray.backends.pixmaps import Pixmaps

ITEM_PATH: Final = "/StatusNotifierItem"
MENU_PATH: Final = "/MenuBar"

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
class Shown:
    """What the icon shows now."""

    name: str
    title: str = ""
    pixmaps: Pixmaps = field(default_factory=list)
    visible: bool = False


class StatusNotifierItem(ServiceInterface):
    """``org.kde.StatusNotifierItem``."""

    def __init__(self, shown: Shown, *, activated: Callable[[], None]) -> None:
        """
        Args:
            shown: What to show; whoever changes it emits the signal.
            activated: Is called when the icon is clicked.
        """
        super().__init__("org.kde.StatusNotifierItem")
        self._shown = shown
        self._activated = activated

    @dbus_method()
    def Activate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Take a click on the icon."""
        self._activated()

    @dbus_method()
    def SecondaryActivate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Take a click with the middle button."""
        self._activated()

    @dbus_method()
    def ContextMenu(self, x: DBusInt32, y: DBusInt32) -> None:
        """Do nothing: hosts show the menu that ``Menu`` names."""

    @dbus_method()
    def Scroll(self, delta: DBusInt32, orientation: DBusStr) -> None:
        """Do nothing."""

    @dbus_property(access=_READ)
    def Category(self) -> DBusStr:
        """Return what kind of item it is."""
        return "ApplicationStatus"

    @dbus_property(access=_READ)
    def Id(self) -> DBusStr:
        """Return a name that is the same in every session."""
        return self._shown.name

    @dbus_property(access=_READ)
    def Title(self) -> DBusStr:
        """Return what it is called, also to a screen reader."""
        return " – ".join(self._shown.title.splitlines()) or self._shown.name

    @dbus_property(access=_READ)
    def Status(self) -> DBusStr:
        """Return whether it is to be seen. NeedsAttention makes some hosts blink for as long as it lasts."""
        return "Active" if self._shown.visible else "Passive"

    @dbus_property(access=_READ)
    def WindowId(self) -> DBusInt32:
        """Return that there is no window."""
        return 0

    @dbus_property(access=_READ)
    def IconName(self) -> DBusStr:
        """Return nothing: the picture is in ``IconPixmap``."""
        return ""

    @dbus_property(access=_READ)
    def IconPixmap(self) -> DBusPixmaps:
        """Return the picture in several sizes."""
        return self._shown.pixmaps

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
        """Return a heading and a text; the text may hold markup, so that ours is escaped."""
        heading, _, text = self._shown.title.partition("\n")
        return ["", [], heading, escaped(text)]

    @dbus_property(access=_READ)
    def ItemIsMenu(self) -> DBusBool:
        """Return that a click does something else than to show the menu."""
        return False

    @dbus_property(access=_READ)
    def Menu(self) -> DBusObjectPath:
        """Return where the menu is."""
        return MENU_PATH

    @dbus_signal()
    def NewTitle(self) -> None:
        """Say that ``Title`` is another."""

    @dbus_signal()
    def NewIcon(self) -> None:
        """Say that ``IconPixmap`` is another."""

    @dbus_signal()
    def NewToolTip(self) -> None:
        """Say that ``ToolTip`` is another."""

    @dbus_signal()
    def NewStatus(self, status: str) -> DBusStr:
        """Say that ``Status`` is another."""
        return status


class DBusMenu(ServiceInterface):
    """``com.canonical.dbusmenu``."""

    def __init__(self, layout: Layout, *, clicked: Callable[[Node], None]) -> None:
        """
        Args:
            layout: The menu; whoever changes it emits the signal.
            clicked: Is called with the item that was chosen.
        """
        super().__init__("com.canonical.dbusmenu")
        self._layout = layout
        self._clicked = clicked

    @dbus_method()
    def GetLayout(self, parent_id: DBusInt32, recursion_depth: DBusInt32, property_names: DBusStrings) -> DBusLayout:
        """Return an item with what is below it, as deep as is asked for; -1 is all."""
        node = self._shown(parent_id)
        return [self._layout.revision, _tree(node, recursion_depth, set(property_names))]

    @dbus_method()
    def GetGroupProperties(self, ids: DBusInts, property_names: DBusStrings) -> DBusPropertiesOfItems:
        """Return the properties of several items; no ids: of all. Those that are not there are left out."""
        names = set(property_names)
        nodes = [self._layout.shown(number) for number in ids] if ids else list(self._layout.root.walk())
        return [[node.id, _properties(node, names)] for node in nodes if node is not None]

    @dbus_method()
    def GetProperty(self, item_id: DBusInt32, name: DBusStr) -> DBusVariant:
        """Return one property."""
        found = _properties(self._shown(item_id), {name})
        if name not in found:
            raise DBusError(_NO_SUCH_ITEM, f"The item {item_id} has no property {name}.")
        return found[name]

    @dbus_method()
    def Event(self, item_id: DBusInt32, event_id: DBusStr, data: DBusVariant, timestamp: DBusUInt32) -> None:
        """Take what happened to an item. What is not known any more does nothing."""
        self._happened(item_id, event_id)

    @dbus_method()
    def EventGroup(self, events: DBusEvents) -> DBusInts:
        """Take several events, and return the items that are not known."""
        return [item_id for item_id, event_id, *_ in events if not self._happened(item_id, event_id)]

    @dbus_method()
    def AboutToShow(self, item_id: DBusInt32) -> DBusBool:
        """Return that nothing has to be fetched before a submenu is shown: what changed was said."""
        return False

    @dbus_method()
    def AboutToShowGroup(self, ids: DBusInts) -> DBusTwoLists:
        """Return which need to be fetched, none, and which are not known."""
        return [[], [number for number in ids if self._layout.shown(number) is None]]

    @dbus_property(access=_READ)
    def Version(self) -> DBusUInt32:
        """Return the protocol's version."""
        return 3

    @dbus_property(access=_READ)
    def TextDirection(self) -> DBusStr:
        """Return left to right."""
        return "ltr"

    @dbus_property(access=_READ)
    def Status(self) -> DBusStr:
        """Return that the menu wants no more notice than others."""
        return "normal"

    @dbus_property(access=_READ)
    def IconThemePath(self) -> DBusStrings:
        """Return nothing: there are no icons in it."""
        return []

    @dbus_signal()
    def LayoutUpdated(self) -> DBusRevision:
        """Say that the whole menu may be another."""
        return [self._layout.revision, self._layout.root.id]

    def _shown(self, number: int) -> Node:
        node = self._layout.shown(number)
        if node is None:
            raise DBusError(_NO_SUCH_ITEM, f"There is no item {number} in the menu.")
        return node

    def _happened(self, number: int, event: str) -> bool:
        node = self._layout.clicked(number)
        if node is not None and event == "clicked" and node.action is not None and node.enabled:
            self._clicked(node)
        return node is not None


def escaped(text: str) -> str:
    """Return text that stays text where markup is interpreted."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tree(node: Node, depth: int, names: set[str]) -> list[Any]:
    children = [Variant("(ia{sv}av)", _tree(child, depth - 1, names)) for child in node.children] if depth else []
    return [node.id, _properties(node, names), children]


def _properties(node: Node, names: set[str]) -> dict[str, Variant]:
    """Return what differs from the protocol's defaults; ``names`` are those that are asked for, none means all."""
    found = {}
    if node.separator:
        found["type"] = Variant("s", "separator")
    elif node.label:
        # One underscore would mark the next letter as the item's access key.
        found["label"] = Variant("s", node.label.replace("_", "__"))
    if not node.enabled:
        found["enabled"] = Variant("b", False)
    if node.checked is not None:
        found["toggle-type"] = Variant("s", "radio" if node.radio else "checkmark")
        found["toggle-state"] = Variant("i", int(node.checked))
    if node.submenu:
        found["children-display"] = Variant("s", "submenu")
    return {name: value for name, value in found.items() if not names or name in names}
