"""The notification after the first start of a profile: the helper is ready, and an account has to be connected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.ports import Notifier

logger = logging.getLogger(__name__)


async def welcome(connection: Connection, notifier: Notifier, *, marker: Path) -> None:
    """
    Show the notification if no account is connected. To be called at the first start only: later ones do not even look.

    Args:
        connection: The connection.
        notifier: Shows it.
        marker: The file in the profile's state folder that remembers it. It does not exist yet.
    """
    from upstash_helper.protocol.messages import READY, how_to_connect

    try:
        private_files.make_folder(marker.parent)
        private_files.write(marker, b"")
    except OSError as error:
        # Without it, each start would show the notification.
        logger.info("welcome_not_recorded", extra={"error": type(error).__name__})
        return
    # At a start the user has not asked for anything, so the keyring does not ask for its password.
    status = await connection.status(prompt=False)
    if status.state == "disconnected":
        step = how_to_connect(can_sign_in=status.can_sign_in)
        await notifier.show(title=READY.title, body=f"{READY.detail} {step}")
