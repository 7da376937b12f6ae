"""What a check of ``doctor`` finds, and how several of them are made at once, each within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

State = Literal["ok", "warning", "error"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found."""

    name: str
    state: State
    """``warning``: it works, but may surprise. ``error``: something does not work."""
    detail: str
    fix: str = ""
    """What to do about it; of an error there is always something."""


def ok(name: str, detail: str) -> CheckResult:
    """Return that all is well."""
    return CheckResult(name=name, state="ok", detail=detail)


def warning(name: str, detail: str, fix: str = "") -> CheckResult:
    """Return that something may surprise."""
    return CheckResult(name=name, state="warning", detail=detail, fix=fix)


def error(name: str, detail: str, fix: str) -> CheckResult:
    """Return that something does not work."""
    return CheckResult(name=name, state="error", detail=detail, fix=fix)


class Check(NamedTuple):
    """A check."""

    name: str
    find: Callable[[], Iterable[CheckResult]]
    seconds: float = 10.0
    """After which it is given up. What it waits for by itself has shorter limits; this is for what has none."""


def run_checks(looks: Iterable[Check]) -> Iterator[CheckResult]:
    """Make all checks at once, and yield what they find in their order, each as soon as it is known."""
    for running in [_Running(look) for look in looks]:
        yield from running.results()


class _Running:
    """A check in a thread of its own. One that hangs is left behind, and holds up neither the others nor the exit."""

    def __init__(self, look: Check) -> None:
        self._look: Final = look
        self._until = time.monotonic() + look.seconds
        self._found: tuple[CheckResult, ...] | None = None
        self._thread = threading.Thread(target=self._run, name=f"check-{look.name}", daemon=True)
        self._thread.start()

    def results(self) -> tuple[CheckResult, ...]:
        """Wait for what it found, or for the end of its time."""
        self._thread.join(max(self._until - time.monotonic(), 0.0))
        if self._found is not None:
            return self._found
        detail = f"this could not be looked at within {self._look.seconds:g} s"
        return (error(self._look.name, detail, "See whether the disk, the network or a service of the system hangs."),)

    def _run(self) -> None:
        try:
            self._found = tuple(self._look.find())
        except Exception as failure:  # noqa: BLE001 - a check that fails must not keep the others from being shown
            # Without the error's own words, which may quote anything.
            detail = f"the check itself failed ({type(failure).__name__}), so nothing is known"
            self._found = (error(self._look.name, detail, "Please report it: upstash-helper doctor --report"),)
