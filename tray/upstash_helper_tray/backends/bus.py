"""Calls and signals on the session bus, as a tray needs them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dbus_fast import Message, MessageType

from upstash_helper.system.session_bus import session_bus_address
from upstash_helper_tray.backends.bus_connection import BusConnection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbus_fast.aio import MessageBus


class Target(NamedTuple):
    """An interface of an object on the bus."""

    name: str
    """Bus name of the program that owns the object."""
    path: str
    interface: str


BUS: Final = "org.freedesktop.DBus"
WATCHER: Final = "org.kde.StatusNotifierWatcher"
WATCHER_PATH: Final = "/StatusNotifierWatcher"
BUS_TARGET: Final = Target(BUS, "/org/freedesktop/DBus", BUS)

CALL_TIMEOUT: Final = 10.0
"""Seconds to wait for a reply from the panel or the notification server."""


class BusLost(Exception):
    """The session bus cannot be reached, or the connection is lost because the session has ended."""


class CallError(Exception):
    """A call was answered with an error. ``name`` is its D-Bus error name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


CALL_ERRORS: Final = (BusLost, CallError, TimeoutError)
"""All exceptions that ``call`` raises."""


async def connect() -> MessageBus:
    """
    Connect to the user's session bus.

    Raises:
        BusLost: If there is none, or it rejects the connection.
    """
    address = session_bus_address()
    if not address:
        message = "There is no session bus."
        raise BusLost(message)
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            return await BusConnection(address).connect()
    except Exception as error:  # what it quotes may be anything
        message = f"The session bus at {address} does not respond, or refuses this user."
        raise BusLost(message) from error


async def call(
    bus: MessageBus,
    target: Target,
    member: str,
    signature: str = "",
    body: Sequence[Any] = (),
    *,
    seconds: float = CALL_TIMEOUT,
) -> list[Any]:
    """
    Call a method and return the body of the reply.

    Args:
        bus: The connection.
        target: The object and interface.
        member: The method.
        signature: D-Bus signature of the arguments.
        body: The arguments.
        seconds: How long to wait for the reply.

    Raises:
        BusLost: If the connection is lost.
        CallError: If the reply is an error.
        TimeoutError: If there is no reply.
    """
    request = Message(
        destination=target.name,
        path=target.path,
        interface=target.interface,
        member=member,
        signature=signature,
        body=list(body),
    )
    try:
        async with asyncio.timeout(seconds):
            reply = await bus.call(request)
    except TimeoutError:
        raise
    except (EOFError, OSError) as error:
        message = "The connection to the session bus is lost."
        raise BusLost(message) from error
    if reply.message_type is MessageType.ERROR:
        raise CallError(reply.error_name or "", str(reply.body))
    return list(reply.body)


async def subscribe(bus: MessageBus, rule: str) -> None:
    """Subscribe to the signals of a match rule. Raises as ``call``."""
    await call(bus, BUS_TARGET, "AddMatch", "s", [rule])


def owner_changes(name: str) -> str:
    """Return the match rule for changes of a bus name's owner."""
    return f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{name}'"


HOST_REGISTERED: Final = f"type='signal',interface='{WATCHER}',member='StatusNotifierHostRegistered'"
"""The match rule for panels that start later than their watcher."""
