"""
The checks of ``doctor``, in the order in which they are shown.

Each looks at one thing and says in a sentence what it saw and, if need be, what to do. None changes anything (the one
of the keyring removes what it writes), none depends on another having gone well, and each has its time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.doctor import daemon, desktop, files, machine, network, service
from upstash_helper.cli.doctor.check import Check, CheckResult, run_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

_SLOW: Final = 20.0
"""Seconds for what talks to other machines, or to a keyring; several limits of its own add up to less."""

_CHECKS: Final[tuple[tuple[str, Callable[[DoctorContext], Iterable[CheckResult]], float], ...]] = (
    ("Python", machine.python, 10.0),
    ("System", machine.system, 10.0),
    ("Extras", machine.extras, 10.0),
    ("Settings file", machine.settings_file, 10.0),
    ("Settings", machine.settings, 10.0),
    ("Folders", files.folders, 10.0),
    ("Files", files.files, 10.0),
    ("Disk", files.disk, 10.0),
    ("Ledger", files.ledger, _SLOW),
    ("Daemon", daemon.daemon, _SLOW),
    ("Port", daemon.ports, _SLOW),
    ("Connection", daemon.connection, _SLOW),
    ("Keyring", desktop.keyring, _SLOW),
    ("Session bus", desktop.session_bus, 10.0),
    ("Notifications", desktop.notifications, 10.0),
    ("Tray", desktop.tray, _SLOW),
    ("Browser", desktop.browser, 10.0),
    ("Service", service.service, _SLOW),
    ("Session", service.session, 10.0),
    ("Sign-in", network.sign_in, _SLOW),
    ("Developer API", network.developer_api, _SLOW),
    ("Clock", network.clock, _SLOW),
)


def examine(context: DoctorContext) -> Iterator[CheckResult]:
    """Make every check; yield what they find, in order."""
    return run_checks(Check(name, partial(find, context), seconds) for name, find, seconds in _CHECKS)
