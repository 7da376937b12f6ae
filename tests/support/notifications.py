"""A private session bus, and a notification server on it that records the notifications."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_NAME = "org.freedesktop.Notifications"


MARKUP = ("body", "body-markup", "actions")
"""The capabilities of a server that interprets markup."""
PLAIN = ("body", "actions")
"""The capabilities of one that shows the body as it is."""


class Notification(NamedTuple):
    """The arguments of ``Notify``."""

    app_name: str
    replaces_id: int
    icon: str
    title: str
    body: str
    actions: list[str]
    hints: dict[str, tuple[str, Any]]
    expire_timeout: int


@contextlib.contextmanager
def session_bus() -> Iterator[PrivateKeyring]:
    """Start a bus without services. Its ``env`` is the environment for programs of the session."""
    skip_unless_there_is_one()
    session = PrivateKeyring()
    session.start(keyring=False)
    try:
        yield session
    finally:
        session.stop()


class Desktop:
    """A notification server."""

    def __init__(
        self, manner: Literal["shows", "refuses", "is silent"], capabilities: tuple[str, ...] | None = MARKUP
    ) -> None:
        self.shown: list[Notification] = []
        self.asked = 0
        """How often it was asked for its capabilities."""
        self._manner = manner
        self._capabilities = capabilities

    @classmethod
    @contextlib.asynccontextmanager
    async def on(
        cls,
        session: PrivateKeyring,
        manner: Literal["shows", "refuses", "is silent"] = "shows",
        capabilities: tuple[str, ...] | None = MARKUP,
    ) -> AsyncIterator[Desktop]:
        """Run on a session's bus. Without ``capabilities``, it does not know that method."""
        from jeepney import message_bus  # type: ignore[import-untyped]
        from jeepney.io.asyncio import DBusRouter, Proxy, open_dbus_connection  # type: ignore[import-untyped]

        desktop = cls(manner, capabilities)
        async with await open_dbus_connection(session.env["DBUS_SESSION_BUS_ADDRESS"]) as bus:
            async with DBusRouter(bus) as router:
                await Proxy(message_bus, router).RequestName(_NAME)
            serving = asyncio.create_task(desktop.serve(bus))
            try:
                yield desktop
            finally:
                serving.cancel()
                await asyncio.wait((serving,))

    async def serve(self, bus: Any) -> None:
        """Answer calls until canceled."""
        from jeepney import HeaderFields, new_error, new_method_return

        while True:
            message = await bus.receive()
            if message.header.fields.get(HeaderFields.member) == "GetCapabilities":
                self.asked += 1
                if self._capabilities is None:
                    await bus.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))
                else:
                    await bus.send(new_method_return(message, "as", (list(self._capabilities),)))
                continue
            if message.header.fields.get(HeaderFields.member) != "Notify":
                continue
            self.shown.append(Notification(*message.body))
            if self._manner == "shows":
                await bus.send(new_method_return(message, "u", (len(self.shown),)))
            elif self._manner == "refuses":
                await bus.send(new_error(message, f"{_NAME}.Error.ExcessNotificationGeneration"))
