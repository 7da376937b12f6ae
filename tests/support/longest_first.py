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
    "tests/security/test_schemathesis.py",
    "tests/browser/test_dashboard.py",
    "tests/browser/test_dashboard_accessibility.py",
    "tests/browser/test_t61_clicks.py",
    "tests/cli/test_install.py",
    "tests/mcp/test_real_clients.py",
    "tests/bench/test_bench.py",
    "tests/cli/test_approvals.py",
    "tests/install/test_readme.py",
    "tests/cli/test_connect.py",
    "tests/cli/test_sandbox_up.py",
    "tests/browser/test_dev_server.py",
    "tests/cli/test_typed_lines.py",
    "tests/install/test_upgrade.py",
    "tests/browser/test_hostile_pages.py",
    "tests/unit/runtime/test_nothing_lost.py",
    "tests/sandbox/test_restart.py",
    "tests/cli/test_demo.py",
    "tests/install/test_installed.py",
    "tests/security/test_matrix.py",
    "tests/install/test_windows_job.py",
    "tests/cli/test_databases.py",
    "tests/unit/runtime/test_socket_activated.py",
    "tests/security/test_t79_output.py",
    "tests/browser/test_connect_js.py",
    "tests/testing/test_pytest_plugin.py",
    "tests/install/test_install_script.py",
    "tests/cli/test_mcp_access.py",
    "tests/install/test_workflow.py",
    "tests/security/test_t78_kills.py",
    "tests/browser/test_sandbox_issuer.py",
    "tests/sandbox/test_described_api.py",
    "tests/browser/test_sandbox_console.py",
    "tests/security/test_refused_navigations.py",
    "tests/security/test_t46_kills.py",
    "tests/browser/test_t67_shared_stream.py",
    "tests/browser/test_every_surface.py",
    "tests/browser/test_open_sign_in.py",
    "tests/browser/test_firefox.py",
    "tests/api/test_upstash_cli.py",
    "tests/sandbox/clients/test_upstash_cli.py",
    "tests/browser/test_result_pages.py",
    "tests/browser/test_bridge.py",
    "tests/cli/test_main_job.py",
    "tests/browser/test_connect_button.py",
    "tests/cli/test_without_daemon.py",
    "tests/browser/test_oauth_progress.py",
    "tests/sandbox/test_database_server.py",
    "tests/testing/test_node_module.py",
    "tests/browser/test_local_network.py",
    "tests/browser/test_oauth_pages.py",
    "tests/browser/test_oauth_waiting_page.py",
    "tests/security/test_oauth_attacks.py",
    "tests/security/test_t66_floods.py",
    "tests/unit/storage/test_oversized_ledger.py",
    "tests/security/test_t80_meeting_place.py",
    "tests/security/test_t59_sign_in_ownership.py",
)
"""The files that take longest, roughly in that order."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move the tests of the longest files to the front. Every process does the same, as pytest-xdist requires."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.path, config.rootpath))


def _rank(path: Path, root: Path) -> int:
    name = path.relative_to(root).as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)
