"""
A panel without a display on a private session bus: a StatusNotifierWatcher and host that acts as a user would.

    async with TrayHost.on(address) as host:
        item = await host.item()
        await item.click("Databases", "orders", "Copy Redis URL")
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if sys.platform != "linux":
    pytest.skip("platform: only Linux has D-Bus", allow_module_level=True)

from dbus_fast import Message, MessageType, NameFlag, Variant
from dbus_fast.aio import MessageBus

from tests.support.tray_watcher import WATCHER, Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECONDS = 30.0

_PATH = "/StatusNotifierWatcher"
_ITEM = "org.kde.StatusNotifierItem"
_MENU = "com.canonical.dbusmenu"
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PROPERTIES = "org.freedesktop.DBus.Properties"


class CallError(Exception):
    """A call was answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True)
class Line:
    """An item of a menu, as a host reads it."""

    id: int
    text: str
    enabled: bool
    separator: bool = False
    checked: bool | None = None
    lines: tuple[Line, ...] = ()

    def find(self, *path: str) -> Line:
        """Return the item at a path of texts. The beginning of an item's text is enough."""
        line = self
        for text in path:
            found = [one for one in line.lines if one.text == text] or [
                one for one in line.lines if one.text.startswith(text)
            ]
            if not found:
                message = f"{text!r} is not among {[one.text for one in line.lines]}"
                raise LookupError(message)
            line = found[0]
        return line

    def texts(self, depth: int = 0) -> list[str]:
        """Return the menu as indented lines."""
        shown = []
        for line in self.lines:
            mark = {None: "", True: "[x] ", False: "[ ] "}[line.checked]
            text = "---" if line.separator else f"{mark}{line.text}{'' if line.enabled else ' (gray)'}"
            shown += ["  " * depth + text, *line.texts(depth + 1)]
        return shown


@dataclass
class TrayHost:
    """The panel."""

    address: str
    with_host: bool = True
    signals: list[tuple[str, list[Any]]] = field(default_factory=list)
    """Signals of the items: members and arguments, in order."""
    _bus: MessageBus | None = None
    _watcher: Watcher | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, address: str, *, with_host: bool = True) -> AsyncIterator[TrayHost]:
        """Run the panel for the duration of the block."""
        host = cls(address, with_host)
        await host.start()
        try:
            yield host
        finally:
            host.stop()

    @classmethod
    @contextlib.asynccontextmanager
    async def item_of(cls, address: str, pid: int) -> AsyncIterator[Item]:
        """Yield the item of a process, whichever panel shows it."""
        reader = cls(address)
        await reader.connect()
        try:
            yield Item(reader, f"org.kde.StatusNotifierItem-{pid}-1")
        finally:
            reader.stop()

    async def connect(self) -> MessageBus:
        """Connect to the bus, and return the connection."""
        self._bus = await MessageBus(bus_address=self.address).connect()
        return self._bus

    async def start(self) -> None:
        """Start the panel, as at login or after a crash."""
        self._bus = await self.connect()
        self._bus.add_message_handler(self._received)
        self._watcher = Watcher(with_host=self.with_host)
        self._bus.export(_PATH, self._watcher)
        for interface in (_ITEM, _MENU):
            await self.call(_BUS, "AddMatch", "s", [f"type='signal',interface='{interface}'"])
        await self._bus.request_name(WATCHER, NameFlag.DO_NOT_QUEUE)

    def stop(self) -> None:
        """End the panel, as when it is killed."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def item(self, *, seconds: float = SECONDS) -> Item:
        """Wait until an item has registered, and return the last one."""
        assert self._watcher is not None
        async with asyncio.timeout(seconds):
            while not self._watcher.registered:
                self._watcher.changed.clear()
                await self._watcher.changed.wait()
        return Item(self, self._watcher.registered[-1])

    @property
    def registrations(self) -> int:
        """How often an item has registered since the panel started."""
        assert self._watcher is not None
        return len(self._watcher.registered)

    async def call(
        self, target: tuple[str, str, str], member: str, signature: str = "", body: list[Any] | None = None
    ) -> list[Any]:
        """
        Call a method of a target: a bus name, the path of an object, and an interface.

        Raises:
            CallError: If it is answered with an error.
        """
        assert self._bus is not None
        name, path, interface = target
        message = Message(
            destination=name, path=path, interface=interface, member=member, signature=signature, body=body or []
        )
        async with asyncio.timeout(SECONDS):
            reply = await self._bus.call(message)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            raise CallError(reply.error_name or "", str(reply.body))
        return list(reply.body)

    def show_icons(self) -> None:
        """Announce a host, if the panel was started without one."""
        assert self._watcher is not None
        self._watcher.add_host()

    async def send(self, message: Message) -> None:
        """Send a message from the panel's connection."""
        assert self._bus is not None
        await self._bus.send(message)

    def emitted(self, member: str) -> int:
        """Return how often items have emitted a signal."""
        return sum(one == member for one, _ in self.signals)

    def _received(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.interface in {_ITEM, _MENU}:
            self.signals.append((message.member or "", list(message.body)))


@dataclass(frozen=True)
class Item:
    """A tray icon, as a panel sees it."""

    host: TrayHost
    name: str

    async def properties(self) -> dict[str, Any]:
        """Return its properties."""
        [found] = await self.host.call((self.name, "/StatusNotifierItem", _PROPERTIES), "GetAll", "s", [_ITEM])
        return {name: value.value for name, value in found.items()}

    async def tooltip(self) -> str:
        """Return its tooltip: a heading, and a text after a newline if there is one."""
        _icon, _pixmaps, heading, text = (await self.properties())["ToolTip"]
        return f"{heading}\n{text}" if text else str(heading)

    async def menu(self) -> Line:
        """Return its menu."""
        _revision, layout = await self.menu_call("GetLayout", "iias", [0, -1, []])
        return _line(layout)

    async def menu_call(self, member: str, signature: str = "", body: list[Any] | None = None) -> list[Any]:
        """Call a method of its menu."""
        path = (await self.properties())["Menu"]
        return await self.host.call((self.name, path, _MENU), member, signature, body)

    async def click(self, *path: str) -> None:
        """Choose the item at a path of texts."""
        await self.click_id((await self.menu()).find(*path).id)

    async def choose(self, *path: str, then: Callable[[str, Line], bool]) -> Line:
        """
        Choose the item at a path of texts until ``then`` holds, and return the menu. A choice does not count if the
        menu has just changed, and a user then chooses again.
        """
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(LookupError, CallError):  # the menu has changed
                await self.click(*path)
            try:
                return await self.until(then, seconds=min(3.0, max(0.1, deadline - time.monotonic())))
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    async def click_id(self, item_id: int) -> None:
        """Choose an item by its id, as a host does while the menu is open."""
        await self.menu_call("Event", "isvu", [item_id, "clicked", Variant("i", 0), 0])

    async def opened(self) -> None:
        """Report that the menu is shown, as a host does."""
        await self.menu_call("Event", "isvu", [0, "opened", Variant("i", 0), 0])

    async def activate(self) -> None:
        """Click on the icon."""
        await self.host.call((self.name, "/StatusNotifierItem", _ITEM), "Activate", "ii", [5, 5])

    async def until(self, condition: Callable[[str, Line], bool], *, seconds: float = SECONDS) -> Line:
        """Read tooltip and menu until ``condition`` holds for them, and return the menu."""
        deadline = time.monotonic() + seconds
        while True:
            tooltip, menu = await self.tooltip(), await self.menu()
            if condition(tooltip, menu):
                return menu
            if time.monotonic() >= deadline:
                lines = "\n".join(menu.texts())
                message = f"not within {seconds} s; last read: {tooltip!r}\n{lines}"
                raise AssertionError(message)
            await asyncio.sleep(0.02)


def _line(layout: Any) -> Line:
    number, properties, children = layout
    found = {name: value.value for name, value in properties.items()}
    toggled = found.get("toggle-type") in {"checkmark", "radio"}
    return Line(
        id=number,
        text=found.get("label", "").replace("__", "_"),
        enabled=found.get("enabled", True),
        separator=found.get("type") == "separator",
        checked=found.get("toggle-state") == 1 if toggled else None,
        lines=tuple(_line(child.value) for child in children),
    )
