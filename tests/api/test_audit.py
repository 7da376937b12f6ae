"""The audit entries of requests that end in an unusual way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import World
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.broker.models import Credential


class BrokenStore(MemoryStore):
    """A store with a bug."""

    async def load(self, *, prompt: bool = True) -> Credential | None:
        """Raise an error that the port does not allow."""
        raise RuntimeError


async def test_failed_change_is_recorded_with_its_target(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """
    If the helper fails during a change, the audit shows what the change was about, since it may have been made.
    """
    async with World.running(tmp_path, sandbox, daemon_port, store=BrokenStore()) as world:
        failed = await world.call("POST", "/v1/databases/d-1/reset-password")
        entries = (await world.get("/v1/audit")).json["entries"]

    assert (500, "internal_error") == (failed.status, failed.code)
    assert [("database.reset_password", "d-1", "internal_error")] == [
        (entry["action"], entry["target"], entry["result"]) for entry in entries
    ]
