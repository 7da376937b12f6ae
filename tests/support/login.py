"""A user's desktop session: a bus, a panel, the daemon, and the tray."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.daemon import DaemonProcess
from tests.support.tray_host import Item, Line, TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox


@dataclass
class Login:
    """The programs of the session."""

    bus: PrivateKeyring
    host: TrayHost
    daemon: DaemonProcess
    tray: TrayProcess

    @classmethod
    @contextlib.asynccontextmanager
    async def of(
        cls, bus: PrivateKeyring, environment: Mapping[str, str], sandbox: Sandbox, port: int
    ) -> AsyncIterator[Login]:
        """Log in for the duration of the block."""
        async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
            with (
                DaemonProcess.running(
                    Path(environment["UPSTASH_HELPER_HOME"]),
                    port=port,
                    environment=environment,
                    client_id=sandbox.client_id,
                    auth_url=sandbox.auth_url,
                    api_url=sandbox.api_url,
                    rest_url=sandbox.rest_url,
                ) as daemon,
                TrayProcess.running(environment) as tray,
            ):
                yield cls(bus, host, daemon, tray)

    async def item(self) -> Item:
        """Wait for the icon, and return it."""
        return await self.host.item()

    async def connect(self, sandbox: Sandbox) -> str:
        """Connect a new account, and return its email address."""
        email = f"tray-{os.urandom(4).hex()}@example.com"
        await sandbox.account(email, PASSWORD)
        self.daemon.client.use_api_key(email=email, api_key=await sandbox.api_key(email, "from the console"))
        return email


def shows(text: str) -> Callable[[str, Line], bool]:
    """Return the condition that the tooltip or a line of the menu contains ``text``."""
    return lambda tooltip, menu: text in tooltip or any(text in line for line in menu.texts())
