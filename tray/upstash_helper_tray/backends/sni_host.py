"""Detecting a panel that shows StatusNotifierItems, and waiting for one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper_tray.backends.bus import (
    CALL_ERRORS,
    HOST_REGISTERED,
    WATCHER,
    WATCHER_PATH,
    CallError,
    Target,
    call,
    connect,
    owner_changes,
    subscribe,
)

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_CHECK_TIMEOUT: Final = 2.0
_PROPERTIES: Final = Target(WATCHER, WATCHER_PATH, "org.freedesktop.DBus.Properties")

# A watcher that does not implement the property is given the benefit of the doubt. A watcher without its object owns
# only the name so far, as KDE's kded before its module is loaded: https://github.com/blueman-project/blueman/pull/2334.
_PROPERTY_MISSING: Final = frozenset(
    {"org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.InvalidArgs"}
)


def sni_host_present(*, wait: float = 0.0) -> bool:
    """
    Return whether a panel shows StatusNotifierItems.

    Args:
        wait: Seconds to wait for one. The bus sends a signal when one starts, so nothing is polled.
    """
    try:
        return asyncio.run(_host_present(wait))
    except CALL_ERRORS:
        return False


async def _host_present(wait: float) -> bool:
    bus = await connect()
    changed = asyncio.Event()

    def received(message: Message) -> None:
        if message.member in {"NameOwnerChanged", "StatusNotifierHostRegistered"}:
            changed.set()

    bus.add_message_handler(received)
    try:
        for rule in (owner_changes(WATCHER), HOST_REGISTERED):
            await subscribe(bus, rule)
        if await _has_host(bus):
            return True
        try:
            async with asyncio.timeout(wait):
                return await _next_host(bus, changed)
        except TimeoutError:
            return False
    finally:
        bus.disconnect()


async def _next_host(bus: MessageBus, changed: asyncio.Event) -> bool:
    while True:
        await changed.wait()
        changed.clear()
        if await _has_host(bus):
            return True


async def _has_host(bus: MessageBus) -> bool:
    try:
        arguments = [WATCHER, "IsStatusNotifierHostRegistered"]
        reply = await call(bus, _PROPERTIES, "Get", "ss", arguments, seconds=_CHECK_TIMEOUT)
    except CallError as error:
        return error.name in _PROPERTY_MISSING
    except TimeoutError:
        return False
    match reply:
        case [Variant(value=True)]:
            return True
        case _:
            return False
