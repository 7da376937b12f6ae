"""Detecting a panel that shows StatusNotifierItems, and waiting for one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper_tray.backends.bus import (
    BUS_TARGET,
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


def watcher_present() -> bool:
    """Return whether a program keeps the list of StatusNotifierItems, even if no panel shows them."""
    try:
        return asyncio.run(_watcher_present())
    except CALL_ERRORS:
        return False


async def _watcher_present() -> bool:
    bus = await connect()
    try:
        return await call(bus, BUS_TARGET, "NameHasOwner", "s", [WATCHER], seconds=_CHECK_TIMEOUT) == [True]
    finally:
        bus.disconnect()


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
        # While a desktop starts, its watcher may respond late, and then gives no sign that it has a host already.
        deadline = asyncio.get_running_loop().time() + wait
        if await _has_host(bus, seconds=max(wait, _CHECK_TIMEOUT)):
            return True
        try:
            async with asyncio.timeout_at(deadline):
                return await _next_host(bus, changed, seconds=wait)
        except TimeoutError:
            return False
    finally:
        bus.disconnect()


async def _next_host(bus: MessageBus, changed: asyncio.Event, *, seconds: float) -> bool:
    while True:
        await changed.wait()
        changed.clear()
        if await _has_host(bus, seconds=seconds):
            return True


async def _has_host(bus: MessageBus, *, seconds: float) -> bool:
    try:
        arguments = [WATCHER, "IsStatusNotifierHostRegistered"]
        reply = await call(bus, _PROPERTIES, "Get", "ss", arguments, seconds=seconds)
    except CallError as error:
        return error.name in _PROPERTY_MISSING
    except TimeoutError:
        return False
    match reply:
        case [Variant(value=True)]:
            return True
        case _:
            return False
