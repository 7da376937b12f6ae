"""
The checks of ``doctor``, in the order in which they are shown.

Each looks at one thing and says in a sentence what it saw and, if need be, what to do. None changes anything (the one
of the keyring removes what it writes), none depends on another having gone well, and each has its time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from upstash_helper.cli import (
    checks_daemon,
    checks_desktop,
    checks_files,
    checks_machine,
    checks_network,
    checks_service,
)
from upstash_helper.cli.finding import Finding, Look, findings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from upstash_helper.cli.facts import Facts

_SLOW: Final = 20.0
"""Seconds for what talks to other machines, or to a keyring; several limits of its own add up to less."""

_CHECKS: Final[tuple[tuple[str, Callable[[Facts], Iterable[Finding]], float], ...]] = (
    ("Python", checks_machine.python, 10.0),
    ("System", checks_machine.system, 10.0),
    ("Extras", checks_machine.extras, 10.0),
    ("Settings file", checks_machine.settings_file, 10.0),
    ("Settings", checks_machine.settings, 10.0),
    ("Folders", checks_files.folders, 10.0),
    ("Files", checks_files.files, 10.0),
    ("Disk", checks_files.disk, 10.0),
    ("Ledger", checks_files.ledger, _SLOW),
    ("Daemon", checks_daemon.daemon, _SLOW),
    ("Port", checks_daemon.ports, _SLOW),
    ("Connection", checks_daemon.connection, _SLOW),
    ("Keyring", checks_desktop.keyring, _SLOW),
    ("Session bus", checks_desktop.session_bus, 10.0),
    ("Notifications", checks_desktop.notifications, 10.0),
    ("Tray", checks_desktop.tray, _SLOW),
    ("Browser", checks_desktop.browser, 10.0),
    ("Service", checks_service.service, _SLOW),
    ("Session", checks_service.session, 10.0),
    ("Sign-in", checks_network.sign_in, _SLOW),
    ("Developer API", checks_network.developer_api, _SLOW),
    ("Clock", checks_network.clock, _SLOW),
)


def examine(facts: Facts) -> Iterator[Finding]:
    """Make every check; yield what they find, in order."""
    return findings_of(Look(name, partial(find, facts), seconds) for name, find, seconds in _CHECKS)
