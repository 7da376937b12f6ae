"""The session bus, as far as a tray needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dbus_fast import Message, MessageType

from upstash_helper.system.session_bus import session_bus_address
from upstash_helper_tray.backends.bus_connection import PatientBus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbus_fast.aio import MessageBus


class Target(NamedTuple):
    """What is called."""

    name: str
    """Whose object, on the bus."""
    path: str
    interface: str


BUS: Final = "org.freedesktop.DBus"
WATCHER: Final = "org.kde.StatusNotifierWatcher"
WATCHER_PATH: Final = "/StatusNotifierWatcher"
_BUS_ITSELF: Final = Target(BUS, "/org/freedesktop/DBus", BUS)

CALL_SECONDS: Final = 10.0
"""For an answer of the panel, or of whoever shows notifications."""


class BusLost(Exception):
    """The session bus cannot be reached, or has gone: the session is over."""


class Refused(Exception):
    """A call was answered by an error, which has a ``name``."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


FAILURES: Final = (BusLost, Refused, TimeoutError)
"""All that ``call`` raises."""


async def connected() -> MessageBus:
    """
    Connect to the user's session bus.

    Raises:
        BusLost: If there is none, or it does not let us in.
    """
    address = session_bus_address()
    if not address:
        message = "There is no session bus."
        raise BusLost(message)
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await PatientBus(address).connect()
    except Exception as error:
        message = f"The session bus cannot be reached: {error}"
        raise BusLost(message) from error


async def call(
    bus: MessageBus,
    target: Target,
    member: str,
    signature: str = "",
    body: Sequence[Any] = (),
    *,
    seconds: float = CALL_SECONDS,
) -> list[Any]:
    """
    Call a method and return the body of its answer.

    Args:
        bus: Over which.
        target: What to call.
        member: The method.
        signature: Of the arguments.
        body: The arguments.
        seconds: To wait for the answer.

    Raises:
        BusLost: If the bus goes, or has gone.
        Refused: If it is answered by an error.
        TimeoutError: If it is not answered.
    """
    asked = Message(
        destination=target.name,
        path=target.path,
        interface=target.interface,
        member=member,
        signature=signature,
        body=list(body),
    )
    try:
        async with asyncio.timeout(seconds):
            reply = await bus.call(asked)
    except TimeoutError:
        raise
    except (EOFError, OSError) as error:
        message = "The session bus is gone."
        raise BusLost(message) from error
    if reply.message_type is MessageType.ERROR:
        raise Refused(reply.error_name or "", str(reply.body))
    return list(reply.body)


async def follow(bus: MessageBus, rule: str) -> None:
    """Have the bus send the signals of a match rule. Raises what ``call`` does."""
    await call(bus, _BUS_ITSELF, "AddMatch", "s", [rule])


def owner_of(name: str) -> str:
    """Return the match rule that tells who has a name, and that nobody has it any more."""
    return f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{name}'"


HOST_REGISTERED: Final = f"type='signal',interface='{WATCHER}',member='StatusNotifierHostRegistered'"
"""The match rule that tells of panels which come after their watcher."""
