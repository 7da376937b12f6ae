"""The bridge's token, when several processes of an agent look for it at the same moment."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from upstash_helper.cli.mcp.access import Access
from upstash_helper.client.token_store import MemoryTokens
from upstash_helper.protocol.lock import AlreadyHeld, InstanceLock

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30.0
OURS = "uha_" + "a" * 43
THEIRS = "uha_" + "b" * 43


class SharedTokens(MemoryTokens):
    """
    A store to which another process of the agent saves its token, just after it has been read, and as soon as it has
    the lock, which it needs for that.
    """

    def __init__(self, token: str | None, folder: Path, *, saves_after: int) -> None:
        """
        Args:
            token: What is in it.
            folder: Where the lock is.
            saves_after: After how many reads the other process saves.
        """
        super().__init__()
        self._lock = InstanceLock(folder, file="mcp-agent.lock", timeout=0.0)
        if token is not None:
            self.save(token)
        self._left = saves_after

    def load(self) -> str | None:
        """Return the token as it was before the other process."""
        token = super().load()
        self._left -= 1
        if self._left <= 0 and super().load() != THEIRS:
            with contextlib.suppress(AlreadyHeld):
                self._lock.acquire()
                self.save(THEIRS)
                self._lock.release()
        return token


def access_with(store: MemoryTokens, folder: Path) -> Access:
    """Return an access whose daemon cannot be reached, so that no token can be requested."""
    access = Access(
        cast("Any", SimpleNamespace(folders=SimpleNamespace(runtime=folder))),
        lambda: store,
        file_name="mcp-agent",
        fallback_name="agent",
        scopes=("databases:read",),
        warn=lambda _: None,
    )
    access.name_client("agent")
    return access


def test_token_that_another_process_has_just_saved_is_used(tmp_path: Path) -> None:
    """The store is read again once nobody else can be asking, so that the user is not asked a second time."""
    access = access_with(SharedTokens(None, tmp_path, saves_after=1), tmp_path)

    access.begin()
    token = access.wait(SECONDS, canceled=threading.Event())

    assert (THEIRS, "approved") == (token, access.state)


@pytest.mark.parametrize("saves_after", [2, 3])
def test_token_that_another_process_has_just_saved_is_not_deleted(tmp_path: Path, saves_after: int) -> None:
    """A rejected token is deleted only if it is still the stored one."""
    store = SharedTokens(OURS, tmp_path, saves_after=saves_after)
    access = access_with(store, tmp_path)
    access.begin()
    assert OURS == access.wait(SECONDS, canceled=threading.Event())

    access.renounce(OURS)
    token = access.wait(SECONDS, canceled=threading.Event())

    assert (THEIRS, THEIRS) == (token, store.load())
