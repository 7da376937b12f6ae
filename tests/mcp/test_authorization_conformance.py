"""The conformance suite's scenarios for authorization servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mcp import conformance
from tests.mcp.user import User
from tests.support.world import free_port

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
    port, issuer = free_port(), f"http://localhost:{world.port}"
    wanted = {"client_name": "Conformance", "redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
    registered = await world.call("POST", "/oauth/register", wanted, token=None)
    assert 201 == registered.status, registered.text
    user = User(world)

    async with user.present():
        report = await conformance.authorization(issuer, registered.json["client_id"], port, folder=tmp_path, user=user)

    assert ([], 0) == (report.failed, report.code), report.text
    assert {"authorization-server-metadata-endpoint", "authorization-code-grant"} == report.passed
    assert [WARNED] == [WARNED for warning in report.by_status("WARNING") if WARNED in warning]
    assert 1 == len(user.requests)
