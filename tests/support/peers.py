"""The ``Peers`` port without the operating system, which takes a while to look up a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.broker.ports import PeerProgram


class UnknownPeers:
    """Knows no program, and counts how often it was asked for one."""

    def __init__(self) -> None:
        self.lookups = 0

    def is_other_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """Return False: every peer is this user."""
        return False

    def is_this_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """Return True, for the same reason."""
        return True

    def identifies_users(self) -> bool:
        """Return True."""
        return True

    def is_running(self, pid: int) -> bool:
        """Return True: the system does not report it."""
        return True

    async def program(self, local: tuple[str, int], remote: tuple[str, int]) -> PeerProgram | None:
        """Return None."""
        self.lookups += 1
        return None

    async def starter(self, local: tuple[str, int], remote: tuple[str, int]) -> PeerProgram | None:
        """Return None."""
        return await self.program(local, remote)
