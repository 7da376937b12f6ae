"""A pytest plugin: names the static checks that failed before the tests, next to the result of the tests."""

from __future__ import annotations

import os

import pytest

from install.suite import FAILED_CHECKS

_failed = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Take the variable out of the environment: the helper, which tests start, takes it for a setting of its own."""
    config.stash[_failed] = os.environ.pop(FAILED_CHECKS, "")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where it is looked for: just before pytest's last line."""
    failed = terminalreporter.config.stash[_failed]
    if failed:
        terminalreporter.section("static checks", red=True)
        terminalreporter.write_line(f"failed, see the top: {failed}")
