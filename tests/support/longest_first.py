"""
A pytest plugin: with several processes, the files that take longest run first.

Otherwise a long file that starts last keeps one process busy while the others have nothing left to do. The order has no
other effect, so a list that is out of date costs only time. `--durations=0` shows what to list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LONGEST: Final = (
    "tests/unit/runtime/test_nothing_lost.py",
    "tests/security/test_matrix.py",
    "tests/security/test_schemathesis.py",
    "tests/browser/test_dashboard_accessibility.py",
    "tests/cli/test_install.py",
    "tests/install/test_readme.py",
    "tests/unit/runtime/test_socket_activated.py",
    "tests/install/test_upgrade.py",
    "tests/install/test_installed.py",
    "tests/browser/test_dev_server.py",
    "tests/security/test_t46_kills.py",
    "tests/browser/test_connect_button.py",
    "tests/browser/test_oauth_pages.py",
    "tests/browser/test_result_pages.py",
    "tests/browser/test_connect_js.py",
    "tests/bench/test_bench.py",
    "tests/install/test_install_script.py",
    "tests/unit/cli/test_doctor_check.py",
    "tests/security/test_pairing_attacks.py",
)
"""The files that take more than ten seconds, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front. Every process does the same, as pytest-xdist requires."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.path, config.rootpath))


def _rank(path: Path, root: Path) -> int:
    name = path.relative_to(root).as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)
