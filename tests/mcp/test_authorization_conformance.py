"""The conformance suite's scenarios for authorization servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mcp import conformance
from tests.mcp.user import User

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

WARNED = "client_id_metadata_document_supported"


@pytest.mark.slow
async def test_authorization_server_conforms(world: World, tmp_path: Path) -> None:
    """
    Nothing fails. The one warning is for documents at a client's URL: the daemon fetches nothing that a client names.
    """
    await world.connect()
    user = User(world)

    async with user.present():
        report = await conformance.authorization(f"http://localhost:{world.port}", tmp_path, user)

    assert ([], 0) == (report.failed, report.code), report.text
    assert {"authorization-server-metadata-endpoint", "authorization-code-grant"} == report.passed
    assert [WARNED] == [WARNED for warning in report.by_status("WARNING") if WARNED in warning]
    assert 1 == len(user.requests)
