"""
Waiting for a port that another program uses.

In a terminal, a daemon whose port is taken exits, and its user reads the reason. At login no one would read it, so
there the daemon waits and starts serving once the other program, usually a web developer's server, has released the
port.
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

POLL_SECONDS: Final = 3.0
"""Trying to bind an address takes a few microseconds, and the daemon does nothing else while it waits."""


def wait_for_port(
    settings: Settings,
    runtimes: tuple[Path, ...],
    open_listeners: Callable[[], Listeners],
    busy: PortBusy,
    *,
    report: Callable[[str], None],
) -> Listeners:
    """
    Return the listeners once the port is free, however long that takes. A signal ends the process meanwhile.

    Args:
        settings: The settings with the possible ports.
        runtimes: The profile's runtime folders, where clients find out that the daemon waits.
        open_listeners: Opens the listeners, or raises ``PortBusy``.
        busy: The error that it raised.
        report: Called with the reason for the wait, for the user.
    """
    started = time.monotonic()
    try:
        while True:
            logger.warning("waiting_for_port", extra={"detail": busy.detail})
            _report_wait(runtimes, busy, report)
            while not any(is_free(port) for port in settings.api_ports):
                time.sleep(POLL_SECONDS)
            try:
                listeners = open_listeners()
            except PortBusy as error:
                busy = error  # another program was faster
            else:
                waited = round(time.monotonic() - started)
                logger.info("port_freed", extra={"port": listeners.port, "waited": waited})
                return listeners
    finally:
        for runtime in runtimes:
            discovery.remove_waiting(runtime)


def _report_wait(runtimes: tuple[Path, ...], busy: PortBusy, report: Callable[[str], None]) -> None:
    reason = f"The daemon is waiting for its port, and starts serving when the port is free. {busy.detail}"
    report(reason)
    for runtime in runtimes:
        with contextlib.suppress(OSError):
            discovery.write_waiting(runtime, discovery.Waiting(pid=os.getpid(), reason=reason))
    # Reported as ready, so that the other program does not delay the login.
    notify("READY=1", f"STATUS=Waiting for its port. {busy.detail}")
