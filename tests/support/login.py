"""A user's desktop session: a bus, a panel, the daemon, and the tray."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.connecting import settings_for
from tests.support.daemon import DaemonProcess
from tests.support.tray_process import TrayProcess
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tests.support.connecting import Flow
    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox
    from tests.support.tray_host import Item, Line, TrayHost


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
        cls, bus: PrivateKeyring, environment: Mapping[str, str], sandbox: Sandbox, port: int, *, flow: Flow = "partner"
    ) -> AsyncIterator[Login]:
        """Log in for the duration of the block. ``flow``: how the daemon signs in."""
        from tests.support.tray_host import TrayHost

        async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
            with (
                DaemonProcess.running(
                    Path(environment["UPSTASH_HELPER_HOME"]),
                    port=port,
                    environment=environment,
                    **settings_for(sandbox, flow),
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


def session_environment(bus: PrivateKeyring, folder: Path, *, opened: Path) -> dict[str, str]:
    """
    Return the environment of the programs in the session on ``bus``, with their files in ``folder``.

    Their browser writes the addresses that it opens to the file ``opened``.
    """
    script = folder / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHON"))}
    return {**kept, **bus.env, "BROWSER": f"{script} %s", "UPSTASH_HELPER_HOME": str(folder / "home")}


def shows(text: str) -> Callable[[str, Line], bool]:
    """Return the condition that the tooltip or a line of the menu contains ``text``."""
    return lambda tooltip, menu: text in tooltip or any(text in line for line in menu.texts())
