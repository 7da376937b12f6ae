"""The D-Bus interface of a panel that shows tray icons, ``org.kde.StatusNotifierWatcher``."""

# No `from __future__ import annotations`: dbus-fast reads the annotations, and would take the string "None" for a type.

import asyncio
from typing import Annotated, Final

from dbus_fast import PropertyAccess
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

WATCHER: Final = "org.kde.StatusNotifierWatcher"

_Strings = Annotated[list[str], DBusSignature("as")]


class Watcher(ServiceInterface):
    def __init__(self, *, with_host: bool) -> None:
        super().__init__(WATCHER)
        self.registered: list[str] = []
        self.changed = asyncio.Event()
        self._with_host = with_host

    def add_host(self) -> None:
        """Announce a host."""
        self._with_host = True
        self.StatusNotifierHostRegistered()

    @dbus_method()
    def RegisterStatusNotifierItem(self, service: DBusStr) -> None:
        self.registered.append(service)
        self.changed.set()

    @dbus_method()
    def RegisterStatusNotifierHost(self, service: DBusStr) -> None:
        self.StatusNotifierHostRegistered()

    @dbus_property(access=PropertyAccess.READ)
    def RegisteredStatusNotifierItems(self) -> _Strings:
        return self.registered

    @dbus_property(access=PropertyAccess.READ)
    def IsStatusNotifierHostRegistered(self) -> DBusBool:
        return self._with_host

    @dbus_property(access=PropertyAccess.READ)
    def ProtocolVersion(self) -> DBusInt32:
        return 0

    @dbus_signal()
    def StatusNotifierHostRegistered(self) -> None:
        pass
