"""
Waiting for a port that another program has.

In a terminal a daemon without its port ends, and its user reads why. At login nobody reads anything: there it waits,
and serves as soon as that other program, as a rule a web developer's server, has gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import discovery
from upstash_helper.runtime.listeners import Listeners, PortBusy, is_free
from upstash_helper.runtime.systemd import notify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from upstash_helper.settings.config import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 3.0
"""Trying to bind an address takes some microseconds, and this is the only thing that a daemon does while it waits."""


def wait_for_port(
    settings: Settings,
    runtime: Path,
    open_listeners: Callable[[], Listeners],
    busy: PortBusy,
    *,
    say: Callable[[str], None],
) -> Listeners:
    """
    Return the listeners once they can be had, however long that takes. A signal ends the process meanwhile.

    Args:
        settings: Say which ports it may be.
        runtime: The profile's runtime folder, where clients are told why nobody answers.
        open_listeners: Opens them, or raises ``PortBusy``.
        busy: What it has raised.
        say: Tells whoever watches the process what it waits for.
    """
    began = time.monotonic()
    try:
        while True:
            logger.warning("waiting_for_port", extra={"detail": busy.detail})
            _tell(runtime, busy, say)
            while not any(is_free(port) for port in settings.api_ports):
                time.sleep(LOOK_SECONDS)
            try:
                listeners = open_listeners()
            except PortBusy as error:
                busy = error  # somebody else was faster
            else:
                logger.info("port_freed", extra={"port": listeners.port, "waited": round(time.monotonic() - began)})
                return listeners
    finally:
        discovery.remove_waiting(runtime)


def _tell(runtime: Path, busy: PortBusy, say: Callable[[str], None]) -> None:
    reason = f"The daemon waits for its port, and will answer as soon as it has it. {busy.detail}"
    say(reason)
    with contextlib.suppress(OSError):
        discovery.write_waiting(runtime, discovery.Waiting(pid=os.getpid(), reason=reason))
    # Ready, for all that a service manager can do about it: the login goes on, and is not held up by somebody's server.
    notify("READY=1", f"STATUS=Waiting for its port. {busy.detail}")
