"""A pytest plugin: repeats what failed before, checks or tests in their first run, next to the result."""

from __future__ import annotations

import os

import pytest

from install.suite import FAILED_AT_FIRST, FAILED_CHECKS

SECTIONS = {FAILED_CHECKS: "failed checks", FAILED_AT_FIRST: "tests that are run for the second time"}
_failed = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Take the variables out of the environment: the helper, which tests start, takes them for settings of its own."""
    config.stash[_failed] = {title: os.environ.pop(name, "") for name, title in SECTIONS.items()}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where it is looked for: just before pytest's last line."""
    for title, failed in terminalreporter.config.stash[_failed].items():
        if failed:
            terminalreporter.section(title, red=True)
            terminalreporter.write_line(failed)
