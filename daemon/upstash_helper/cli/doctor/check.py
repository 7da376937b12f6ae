"""The results of ``doctor``'s checks, and running several checks at once, each with a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

State = Literal["ok", "warning", "error"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One result of a check."""

    name: str
    state: State
    """``warning``: it works, but may surprise. ``error``: something does not work."""
    detail: str
    fix: str = ""
    """What to do about it. An error always has a fix."""


def ok(name: str, detail: str) -> CheckResult:
    """Return a result without a problem."""
    return CheckResult(name=name, state="ok", detail=detail)


def warning(name: str, detail: str, fix: str = "") -> CheckResult:
    """Return a result that may surprise the user."""
    return CheckResult(name=name, state="warning", detail=detail, fix=fix)


def error(name: str, detail: str, fix: str) -> CheckResult:
    """Return a result that needs to be fixed."""
    return CheckResult(name=name, state="error", detail=detail, fix=fix)


class Check(NamedTuple):
    """A check."""

    name: str
    run: Callable[[], Iterable[CheckResult]]
    seconds: float = 10.0
    """The time limit. It is for steps that have no shorter limit themselves."""


def run_checks(checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Run all checks at once, and yield their results in the order of the checks, each as soon as possible."""
    for running in [_RunningCheck(check) for check in checks]:
        yield from running.results()


class _RunningCheck:
    """A check in a daemon thread. If it hangs, it holds up neither the other checks nor the exit of the process."""

    def __init__(self, check: Check) -> None:
        self._check: Final = check
        self._deadline = time.monotonic() + check.seconds
        self._results: tuple[CheckResult, ...] | None = None
        self._thread = threading.Thread(target=self._run, name=f"check-{check.name}", daemon=True)
        self._thread.start()

    def results(self) -> tuple[CheckResult, ...]:
        """Wait for the results, or until the time limit."""
        self._thread.join(max(self._deadline - time.monotonic(), 0.0))
        if self._results is not None:
            return self._results
        detail = f"the check did not finish within {self._check.seconds:g} s"
        return (error(self._check.name, detail, "Find out whether the disk, the network, or a system service hangs."),)

    def _run(self) -> None:
        try:
            self._results = tuple(self._check.run())
        except Exception as failure:  # noqa: BLE001 - one failing check must not hide the results of the others
            # Without str(failure), which may contain anything.
            detail = f"the check itself failed ({type(failure).__name__})"
            self._results = (error(self._check.name, detail, "Please report this: upstash-helper doctor --report"),)
