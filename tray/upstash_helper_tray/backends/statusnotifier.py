"""
A backend of pystray's kind that speaks StatusNotifierItem and dbusmenu over dbus-fast: no GTK, no X11.

To be imported only after pystray, which must not look for a display: see ``opening``.
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
    FAILURES,
    HOST_REGISTERED,
    WATCHER,
    WATCHER_PATH,
    BusLost,
    Target,
    call,
    connected,
    follow,
    owner_of,
)
from upstash_helper_tray.backends.interfaces import ITEM_PATH, MENU_PATH, DBusMenu, Shown, StatusNotifierItem
from upstash_helper_tray.backends.layout import Layout, Node
from upstash_helper_tray.backends.pixmaps import pixmaps

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from dbus_fast.aio import MessageBus
    from PIL.Image import Image

logger = logging.getLogger(__name__)

_WATCHER: Final = Target(WATCHER, WATCHER_PATH, WATCHER)
_RULES: Final = (owner_of(WATCHER), HOST_REGISTERED, *notifications.RULES)


class Icon(BaseIcon):  # type: ignore[misc]  # pystray has no types
    """
    An icon for panels that show StatusNotifierItems.

    Its loop runs on the thread that calls ``run``; everything else may be called from any thread, as with all of
    pystray's. A panel that comes, goes and comes again gets the icon each time. Nothing in here wakes up by itself.
    """

    HAS_DEFAULT_ACTION = True
    HAS_MENU = True
    HAS_MENU_RADIO = True
    HAS_NOTIFICATION = True

    def __init__(self, name: str, icon: Image | None = None, title: str = "", menu: Any = None, **options: Any) -> None:
        """
        Args:
            name: The same in every session; panels remember by it whether to show the icon.
            icon: The picture.
            title: The tooltip: a heading, and behind a newline a text.
            menu: A ``pystray.Menu``.
            options: As pystray's ``Icon``.
        """
        super().__init__(name, icon, title, menu, **options)
        self.renderings: Sequence[Image] = ()
        """The picture in several sizes, of which panels choose; set before ``icon``. None: ``icon`` alone."""
        self._shown = Shown(name=name, title=title)
        self._layout = Layout()
        self._item = StatusNotifierItem(self._shown, activated=self._activate)
        self._dbus_menu = DBusMenu(self._layout, clicked=self._choose)
        self._turn = threading.Lock()
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bus: MessageBus | None = None
        self._stopping: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._notifications = notifications.Notifications(name)
        self._setup: Callable[[Any], None] | None = None
        self._bus_name = ""
        self._registered = False

    # --- what pystray calls, on any thread ----------------------------------------------------------------------------

    def _show(self) -> None:
        self._post(lambda: self._set_visible(visible=True))

    def _hide(self) -> None:
        self._post(lambda: self._set_visible(visible=False))

    def _update_icon(self) -> None:
        made = pixmaps(self.renderings or (self._icon,))
        self._icon_valid = True

        def update() -> None:
            if made != self._shown.pixmaps:
                self._shown.pixmaps = made
                self._item.NewIcon()

        self._post(update)

    def _update_title(self) -> None:
        title = self._title

        def update() -> None:
            if title != self._shown.title:
                self._shown.title = title
                self._item.NewTitle()
                self._item.NewToolTip()

        self._post(update)

    def _update_menu(self) -> None:
        menu = self._menu

        def update() -> None:
            if self._layout.show(menu):
                self._dbus_menu.LayoutUpdated()

        self._post(update)

    def _notify(self, message: str, title: str | None = None) -> None:
        self._post(lambda: self._start(self._notifications.show(self._connection, title or self._title, message)))

    def _remove_notification(self) -> None:
        self._post(lambda: self._start(self._notifications.close_last(self._connection)))

    def _start_setup(self, setup: Callable[[Any], None] | None) -> None:
        # pystray's thread waits for a loop, and keeps the process alive for as long: without a bus there will be none.
        self._setup = setup

    def _run(self) -> None:
        asyncio.run(self._serve())

    def _run_detached(self) -> None:
        # Nobody here does: the loop would need a thread that nobody waits for.
        raise NotImplementedError

    def _stop(self) -> None:
        self._post(lambda: self._stopping.set() if self._stopping else None)

    # --- on the loop's thread -----------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        bus = await connected()
        stopping = asyncio.Event()
        with self._turn:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
            self._bus, self._stopping = bus, stopping
        try:
            bus.export(ITEM_PATH, self._item)
            bus.export(MENU_PATH, self._dbus_menu)
            bus.add_message_handler(self._received)
            for rule in _RULES:
                await follow(bus, rule)
            self._bus_name = await _named(bus)
            super()._start_setup(self._setup)
            self._mark_ready()
            await self._until_over(bus, stopping)
        finally:
            with self._turn:
                self._loop = None
            for task in self._tasks:
                task.cancel()
            bus.disconnect()

    async def _until_over(self, bus: MessageBus, stopping: asyncio.Event) -> None:
        lost, asked = asyncio.create_task(_disconnected(bus)), asyncio.create_task(stopping.wait())
        await asyncio.wait({lost, asked}, return_when=asyncio.FIRST_COMPLETED)
        over = not lost.done()
        for task in (lost, asked):
            task.cancel()
        if not over:
            message = "The session bus is gone."
            raise BusLost(message)

    @property
    def _connection(self) -> MessageBus:
        assert self._bus is not None  # noqa: S101 - tells the type checker what `_serve` sees to
        return self._bus

    async def _register(self) -> None:
        try:
            await call(self._connection, _WATCHER, "RegisterStatusNotifierItem", "s", [self._bus_name])
        except FAILURES as error:
            # A panel that starts later says so by taking the watcher's name.
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
                # Some take the watcher's name before there is anybody behind it: https://github.com/Alexays/Waybar/issues/3564
                self._register_if_shown()
            case "NameOwnerChanged", [notifications.SERVER, *_]:
                self._notifications.forget()
            case "ActionInvoked", [number, _] if self._notifications.is_ours(number):
                self._activate()
            case _:
                pass

    def _register_if_shown(self) -> None:
        # Not every panel follows Status: an item is shown to it only once there is something to see.
        if self._shown.visible:
            self._start(self._register())

    def _set_visible(self, *, visible: bool) -> None:
        if visible != self._shown.visible:
            # While it is hidden, pystray does not say that the title is another.
            self._shown.visible, self._shown.title = visible, self._title
            self._item.NewStatus("Active" if visible else "Passive")
            if not self._registered:
                self._register_if_shown()

    def _activate(self) -> None:
        self._guarded(self)

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

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _post(self, call: Callable[[], None]) -> None:
        """Have ``call`` run on the loop's thread; at once if this is it. Without a loop there is nothing to tell."""
        with self._turn:
            loop = self._loop
            if loop is not None and threading.get_ident() != self._thread:
                loop.call_soon_threadsafe(call)
                return
        if loop is not None:
            call()


async def _named(bus: MessageBus) -> str:
    """Take the name that the specification wants, and return it, or what the bus has called us if it is taken."""
    # In containers that share a bus, processes have the same number.
    name = f"org.kde.StatusNotifierItem-{os.getpid()}-1"
    reply = await bus.request_name(name, NameFlag.DO_NOT_QUEUE)
    return name if reply is RequestNameReply.PRIMARY_OWNER else str(bus.unique_name)


async def _disconnected(bus: MessageBus) -> None:
    """Wait until the bus is gone, for whichever reason."""
    with contextlib.suppress(Exception):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
