"""Whether there is a panel that shows StatusNotifierItems, and waiting for one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper_tray.backends.bus import (
    FAILURES,
    HOST_REGISTERED,
    WATCHER,
    WATCHER_PATH,
    Refused,
    Target,
    call,
    connected,
    follow,
    owner_of,
)

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_LOOK_SECONDS: Final = 2.0
_PROPERTIES: Final = Target(WATCHER, WATCHER_PATH, "org.freedesktop.DBus.Properties")

# A watcher without the property does not tell, which is no reason to do without an icon. Without its object it has
# only the name, as KDE's kded before its module is loaded: https://github.com/blueman-project/blueman/pull/2334.
_DOES_NOT_TELL: Final = frozenset(
    {"org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.InvalidArgs"}
)


def host_is_there(*, wait: float = 0.0) -> bool:
    """
    Return whether a panel shows StatusNotifierItems.

    Args:
        wait: Seconds to wait for one. It is told when one comes, and looks no oftener than that.
    """
    try:
        return asyncio.run(_host_is_there(wait))
    except FAILURES:
        return False


async def _host_is_there(wait: float) -> bool:
    bus = await connected()
    news = asyncio.Event()

    def received(message: Message) -> None:
        if message.member in {"NameOwnerChanged", "StatusNotifierHostRegistered"}:
            news.set()

    bus.add_message_handler(received)
    try:
        for rule in (owner_of(WATCHER), HOST_REGISTERED):
            await follow(bus, rule)
        if await _look(bus):
            return True
        try:
            async with asyncio.timeout(wait):
                return await _next_host(bus, news)
        except TimeoutError:
            return False
    finally:
        bus.disconnect()


async def _next_host(bus: MessageBus, news: asyncio.Event) -> bool:
    while True:
        await news.wait()
        news.clear()
        if await _look(bus):
            return True


async def _look(bus: MessageBus) -> bool:
    try:
        arguments = [WATCHER, "IsStatusNotifierHostRegistered"]
        reply = await call(bus, _PROPERTIES, "Get", "ss", arguments, seconds=_LOOK_SECONDS)
    except Refused as error:
        return error.name in _DOES_NOT_TELL
    except TimeoutError:
        return False
    match reply:
        case [Variant(value=True)]:
            return True
        case _:
            return False
