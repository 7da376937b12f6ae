"""
A pystray backend that implements StatusNotifierItem and dbusmenu with dbus-fast, without GTK and X11.

Import it through ``factory.icon_class`` only, which keeps pystray from looking for a display.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply
from pystray._base import Icon as BaseIcon

from upstash_helper_tray.backends import notifications
from upstash_helper_tray.backends.bus import (
    CALL_ERRORS,
    HOST_REGISTERED,
    WATCHER,
    WATCHER_PATH,
    BusLost,
    Target,
    call,
    connect,
    owner_changes,
    subscribe,
)
from upstash_helper_tray.backends.interfaces import (
    ITEM_PATH,
    MENU_PATH,
    DBusMenu,
    ItemState,
    Pixmaps,
    StatusNotifierItem,
)
from upstash_helper_tray.backends.layout import Layout, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from dbus_fast.aio import MessageBus
    from PIL.Image import Image

logger = logging.getLogger(__name__)

_WATCHER: Final = Target(WATCHER, WATCHER_PATH, WATCHER)
_RULES: Final = (owner_changes(WATCHER), HOST_REGISTERED, *notifications.RULES)


class Icon(BaseIcon):  # type: ignore[misc]  # pystray has no types
    """
    An icon for panels that show StatusNotifierItems.

    Its event loop runs on the thread that calls ``run``; all other methods may be called from any thread, as with every
    pystray icon. The icon registers again whenever a panel starts. Nothing is polled.
    """

    HAS_DEFAULT_ACTION = True
    HAS_MENU = True
    HAS_MENU_RADIO = True
    HAS_NOTIFICATION = True

    def __init__(self, name: str, icon: Image | None = None, title: str = "", menu: Any = None, **options: Any) -> None:
        """
        Args:
            name: Identifies the icon across sessions; panels remember by it whether to show the icon.
            icon: The image.
            title: The tooltip: a heading, optionally followed by a newline and a text.
            menu: A ``pystray.Menu``.
            options: As for pystray's ``Icon``.
        """
        super().__init__(name, icon, title, menu, **options)
        self.renderings: Sequence[Image] = ()
        """The image in several sizes for panels to choose from, to be set before ``icon``. Empty: ``icon`` only."""
        self.opened: Callable[[], None] = _nothing
        """Called on the loop's thread when a host shows the menu, a submenu, or a changed menu."""
        self.notifications = notifications.Notifications(name)
        self._state = ItemState(name=name, title=title)
        self._layout = Layout()
        self._item = StatusNotifierItem(self._state, activated=self._activate)
        self._dbus_menu = DBusMenu(self._layout, clicked=self._choose, opened=self._menu_opened)
        self._lock = threading.Lock()
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bus: MessageBus | None = None
        self._stopping: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._setup: Callable[[Any], None] | None = None
        self._bus_name = ""
        self._registered = False

    def post(self, call: Callable[[], None]) -> None:
        """Run ``call`` on the loop's thread, immediately if this is it. Without a loop it is dropped."""
        with self._lock:
            loop = self._loop
            if loop is not None and threading.get_ident() != self._thread:
                loop.call_soon_threadsafe(call)
                return
        if loop is not None:
            call()

    # --- called by pystray, on any thread -----------------------------------------------------------------------------

    def _show(self) -> None:
        self.post(lambda: self._set_visible(visible=True))

    def _hide(self) -> None:
        self.post(lambda: self._set_visible(visible=False))

    def _update_icon(self) -> None:
        pixmaps = _pixmaps(self.renderings or (self._icon,))
        self._icon_valid = True

        def update() -> None:
            if pixmaps != self._state.pixmaps:
                self._state.pixmaps = pixmaps
                self._item.NewIcon()

        self.post(update)

    def _update_title(self) -> None:
        title = self._title

        def update() -> None:
            if title != self._state.title:
                self._state.title = title
                self._item.NewTitle()
                self._item.NewToolTip()

        self.post(update)

    def _update_menu(self) -> None:
        menu = self._menu

        def update() -> None:
            if self._layout.show(menu):
                self._dbus_menu.LayoutUpdated()

        self.post(update)

    def _notify(self, message: str, title: str | None = None) -> None:
        self.post(lambda: self._start_task(self.notifications.show(self._connection, title or self._title, message)))

    def _remove_notification(self) -> None:
        self.post(lambda: self._start_task(self.notifications.close_last(self._connection)))

    def _start_setup(self, setup: Callable[[Any], None] | None) -> None:
        # Deferred until the loop runs: pystray's thread waits for that, and without a bus would keep the process alive.
        self._setup = setup

    def _run(self) -> None:
        asyncio.run(self._serve())

    def _run_detached(self) -> None:
        # Not needed here.
        raise NotImplementedError

    def _stop(self) -> None:
        self.post(lambda: self._stopping.set() if self._stopping else None)

    # --- on the loop's thread -----------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        bus = await connect()
        stopping = asyncio.Event()
        with self._lock:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
            self._bus, self._stopping = bus, stopping
        try:
            bus.export(ITEM_PATH, self._item)
            bus.export(MENU_PATH, self._dbus_menu)
            bus.add_message_handler(self._received)
            for rule in _RULES:
                await subscribe(bus, rule)
            self._bus_name = await _request_name(bus)
            super()._start_setup(self._setup)
            self._mark_ready()
            await self._run_until_stopped(bus, stopping)
        finally:
            with self._lock:
                self._loop = None
            for task in self._tasks:
                task.cancel()
            bus.disconnect()

    async def _run_until_stopped(self, bus: MessageBus, stopping: asyncio.Event) -> None:
        lost, stopped = asyncio.create_task(_disconnected(bus)), asyncio.create_task(stopping.wait())
        await asyncio.wait({lost, stopped}, return_when=asyncio.FIRST_COMPLETED)
        is_lost = lost.done()
        for task in (lost, stopped):
            task.cancel()
        if is_lost:
            message = "The connection to the session bus is lost."
            raise BusLost(message)

    @property
    def _connection(self) -> MessageBus:
        assert self._bus is not None  # noqa: S101 - for the type checker; `_serve` sets it
        return self._bus

    async def _register(self) -> None:
        try:
            await call(self._connection, _WATCHER, "RegisterStatusNotifierItem", "s", [self._bus_name])
        except CALL_ERRORS as error:
            # A panel that starts later acquires the watcher's name, which triggers another try.
            logger.info("tray_not_registered", extra={"error": str(error)})
        else:
            self._registered = True

    def _received(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        match message.member, message.body:
            case "NameOwnerChanged", [name, _, owner] if name == WATCHER:
                self._registered = False
                if owner:
                    self._register_if_shown()
            case "StatusNotifierHostRegistered", _ if not self._registered:
                # Some acquire the watcher's name before they have a host: https://github.com/Alexays/Waybar/issues/3564
                self._register_if_shown()
            case "NameOwnerChanged", [notifications.SERVER, *_]:
                self.notifications.forget()
            case "ActionInvoked", [number, _] if self.notifications.is_known(number):
                self._activate()
            case _:
                pass

    def _register_if_shown(self) -> None:
        # Some panels ignore Status, so an item registers only once it is visible.
        if self._state.visible:
            self._start_task(self._register())

    def _set_visible(self, *, visible: bool) -> None:
        if visible != self._state.visible:
            # pystray does not report a changed title while the icon is hidden.
            self._state.visible, self._state.title = visible, self._title
            self._item.NewStatus("Active" if visible else "Passive")
            if not self._registered:
                self._register_if_shown()

    def _activate(self) -> None:
        self._guarded(self)

    def _menu_opened(self) -> None:
        self._guarded(self.opened)

    def _choose(self, node: Node) -> None:
        def choose() -> None:
            node.action(self)
            self.update_menu()

        self._guarded(choose)

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            logger.exception("tray_choice_failed")

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _nothing() -> None:
    """Do nothing."""


def _pixmaps(images: Sequence[Image]) -> Pixmaps:
    """
    Return images as ARGB32 in network byte order.

    https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/Icons/
    """
    from PIL import Image

    converted: Pixmaps = []
    for image in images:
        red, green, blue, alpha = image.convert("RGBA").split()
        converted.append([image.width, image.height, Image.merge("RGBA", (alpha, red, green, blue)).tobytes()])
    return converted


async def _request_name(bus: MessageBus) -> str:
    """Request the name that the specification prescribes. Return it, or the unique name if it is taken."""
    # Processes in containers that share a bus may have the same id.
    name = f"org.kde.StatusNotifierItem-{os.getpid()}-1"
    reply = await bus.request_name(name, NameFlag.DO_NOT_QUEUE)
    return name if reply is RequestNameReply.PRIMARY_OWNER else str(bus.unique_name)


async def _disconnected(bus: MessageBus) -> None:
    """Wait until the connection is lost, for any reason."""
    with contextlib.suppress(Exception):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
