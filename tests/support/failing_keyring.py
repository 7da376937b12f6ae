"""A backend of the ``keyring`` library that hangs and fails on demand, which no real keyring does."""

from __future__ import annotations

import threading
from typing import ClassVar

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

NAME = "tests.support.failing_keyring.FailingKeyring"


class FailingKeyring(KeyringBackend):
    """Keeps its entries in memory. The class's attributes control its behavior."""

    priority = 1.0  # replaces a class property of the base

    entries: ClassVar[dict[tuple[str, str], str]] = {}
    fails: ClassVar[dict[str, BaseException]] = {}
    """Errors to raise in ``get``, in ``set`` (after writing), and in ``delete`` (before deleting)."""
    entered: ClassVar[threading.Event] = threading.Event()
    """Set when the slow call has started."""
    go_on: ClassVar[threading.Event] = threading.Event()
    """The slow call waits for this."""
    slow: ClassVar[str] = "set"
    """Which call is slow: ``get`` or ``set``."""
    writes: ClassVar[int] = 0
    """The number of writes."""
    keeps: ClassVar[bool] = True
    """Whether deleting has no effect."""

    @classmethod
    def reset(cls) -> None:
        """Become an empty keyring that works."""
        cls.entries, cls.fails = {}, {}
        cls.entered, cls.go_on = threading.Event(), threading.Event()
        cls.go_on.set()
        cls.keeps, cls.slow, cls.writes = False, "set", 0

    def get_password(self, service: str, username: str) -> str | None:
        """Return the entry."""
        self._wait("get")
        self._fail("get")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write the entry."""
        self._wait("set")
        type(self).writes += 1
        self.entries[service, username] = password
        self._fail("set")

    def delete_password(self, service: str, username: str) -> None:
        """Remove the entry."""
        self._fail("delete")
        if (service, username) not in self.entries:
            message = "no such entry"
            raise PasswordDeleteError(message)
        if not self.keeps:
            del self.entries[service, username]

    def _wait(self, call: str) -> None:
        if call == self.slow:
            self.entered.set()
            self.go_on.wait(20)

    def _fail(self, call: str) -> None:
        if call in self.fails:
            raise self.fails[call]
