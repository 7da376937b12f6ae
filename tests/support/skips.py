"""
A pytest plugin: in CI, a test that could run there and was skipped makes the run fail.

CI is where the variable ``CI`` is ``true``. A reason that begins with ``platform:`` is taken: such a test needs another
operating system. Any other one means that something is missing which CI should have had.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

TAKEN: Final = "platform:"
SKIPPED: Final = 16
"""The exit code, which pytest does not use."""
_RUN_TO_THE_END: Final = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


class SkipsAreFailures:
    """Collects what was skipped, and why."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that was skipped; one that is expected to fail has a state of its own."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that was skipped whole."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn the result into a failure that running failed tests again does not undo (``install/suite.py``)."""
        if self.skipped and session.exitstatus in _RUN_TO_THE_END:
            session.exitstatus = SKIPPED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which tests did it."""
        if self.skipped:
            terminalreporter.section("skipped in CI, where nothing may be missing", red=True)
            for line in self.skipped:
                terminalreporter.write_line(line)

    def _note(self, nodeid: str, longrepr: object) -> None:
        reason = str(longrepr[-1] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")
        if not reason.startswith(TAKEN):
            self.skipped.append(f"{nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Take part in CI alone."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(SkipsAreFailures(), "skips-are-failures")
