"""
The checks of ``doctor``, in the order in which they are shown.

Each check looks at one thing, and reports what it saw and how to fix it. Checks change nothing (the one of the keyring
removes its own test entry), do not depend on each other, and have a time limit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.doctor import agents, daemon, desktop, files, machine, network, service
from upstash_helper.cli.doctor.check import Check, CheckResult, run_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

_SLOW_SECONDS: Final = 20.0
"""For checks that use the network or the keyring. Their own time limits add up to less."""

_CHECKS: Final[tuple[tuple[str, Callable[[DoctorContext], Iterable[CheckResult]], float], ...]] = (
    ("Python", machine.python, 10.0),
    ("System", machine.system, 10.0),
    ("Extras", machine.extras, 10.0),
    ("Settings file", machine.settings_file, 10.0),
    ("Settings", machine.settings, 10.0),
    ("Folders", files.folders, 10.0),
    ("Files", files.files, 10.0),
    ("Disk", files.disk, 10.0),
    ("Ledger", files.ledger, _SLOW_SECONDS),
    ("Daemon", daemon.daemon, _SLOW_SECONDS),
    ("Port", daemon.ports, _SLOW_SECONDS),
    ("Connection", daemon.connection, _SLOW_SECONDS),
    ("Keyring", desktop.keyring, _SLOW_SECONDS),
    ("Session bus", desktop.session_bus, 10.0),
    ("Notifications", desktop.notifications, 10.0),
    ("Tray", desktop.tray, _SLOW_SECONDS),
    ("Browser", desktop.browser, 10.0),
    ("Service", service.service, _SLOW_SECONDS),
    ("Session", service.session, 10.0),
    ("Agents", agents.agents, 10.0),
    ("Proxy", network.proxy, _SLOW_SECONDS),
    ("Sign-in", network.sign_in, _SLOW_SECONDS),
    ("Developer API", network.developer_api, _SLOW_SECONDS),
    ("Clock", network.clock, _SLOW_SECONDS),
)


def run_all(context: DoctorContext) -> Iterator[CheckResult]:
    """Run every check, and yield the results in order."""
    return run_checks(Check(name, partial(find, context), seconds) for name, find, seconds in _CHECKS)
