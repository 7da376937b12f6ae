"""A backend of the ``keyring`` library that hangs and fails on demand, for what no real keyring does to order."""

from __future__ import annotations

import threading
from typing import ClassVar

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

NAME = "tests.support.stubborn.Stubborn"


class Stubborn(KeyringBackend):
    """Keeps its entries in memory. What is set on the class is its behavior."""

    priority = 1.0  # the base has a property of the class, which this stands for

    entries: ClassVar[dict[tuple[str, str], str]] = {}
    fails: ClassVar[dict[str, BaseException]] = {}
    """What to raise: by ``get``, ``set`` (after it has written) and ``delete`` (before it has)."""
    entered: ClassVar[threading.Event] = threading.Event()
    """Is set when the slow call has begun."""
    go_on: ClassVar[threading.Event] = threading.Event()
    """The slow call waits for it."""
    slow: ClassVar[str] = "set"
    """Which call is the slow one."""
    writes: ClassVar[int] = 0
    """How many entries were written."""
    keeps: ClassVar[bool] = True
    """Whether deleting leaves everything as it is."""

    @classmethod
    def reset(cls) -> None:
        """Be an ordinary keyring, and empty."""
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
