"""Single checks of ``doctor``, run in this process on a temporary profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.cli.doctor.context import DoctorContext
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pytest

    from upstash_helper.cli.doctor.check import CheckResult

_ORDER = ("error", "warning", "ok")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


class Examined:
    """A user's environment, as ``doctor`` sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("UPSTASH_HELPER_HOME", str(home))
        monkeypatch.delenv("UPSTASH_HELPER_PROFILE", raising=False)
        for name in _PROXIES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    def settings(self, **settings: object) -> None:
        """Set settings through environment variables."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"UPSTASH_HELPER_{name.upper()}", str(value))

    @property
    def context(self) -> DoctorContext:
        """A new context for the checks."""
        return DoctorContext(Session())

    def all(self, check: Callable[[DoctorContext], Iterable[CheckResult]]) -> list[CheckResult]:
        """Return all results of a check."""
        return list(check(self.context))

    def worst(self, check: Callable[[DoctorContext], Iterable[CheckResult]], name: str = "") -> CheckResult:
        """Return the worst result of a check, optionally of those with a name."""
        found = [one for one in self.all(check) if name in {"", one.name}]
        return min(found, key=lambda one: _ORDER.index(one.state))
