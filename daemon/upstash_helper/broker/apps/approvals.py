"""The user's side of letting apps in: what waits, and yes, no, or never again."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.pairing_queue import LIFETIME
from upstash_helper.broker.identity import ordered
from upstash_helper.broker.ledger import Approved, Block, Delivered, Denied, Grant, Pairing, Waiting, Withdrawn
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.apps.rate_limits import PairingRateLimiter
    from upstash_helper.broker.ports import Clock


class Approvals:
    """Decides in the user's name; whoever calls this has seen to it that it is the user."""

    def __init__(self, *, queue: PairingQueue, rate_limiter: PairingRateLimiter, clock: Clock) -> None:
        self._queue = queue
        self._rate_limiter = rate_limiter
        self._clock = clock

    async def waiting(self) -> tuple[Pairing, ...]:
        """
        Return the requests that the user has not decided about, the oldest first.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.turn:
            await self._queue.open()
            return self._queue.waiting

    async def approve(
        self, pairing_id: str, *, scopes: tuple[Scope, ...] | None, all_databases: bool, once: bool
    ) -> Pairing:
        """
        Say yes; a second yes changes nothing.

        Args:
            pairing_id: Which one.
            scopes: Fewer than were wished for; None: all of them.
            all_databases: Let it read the credentials of databases that it did not create, too.
            once: Let it in for an hour.

        Raises:
            PairingNotFound: If there is none of that id.
            InvalidRequest: If a scope was not wished for, or none is left.
            PairingExpired: If it took too long.
            PairingDecided: If it was decided otherwise.
            LedgerUnavailable: Then nothing is decided.
            LedgerFull: As LedgerUnavailable.
        """
        async with self._queue.turn:
            pairing = await self._decidable(pairing_id, yes=True)
            granted = _granted(pairing, scopes)
            if not isinstance(pairing.decision, Waiting):
                return pairing
            grant = Grant(scopes=granted, all_databases=all_databases, once=once)
            expires_at = self._clock.time() + LIFETIME
            approved = msgspec.structs.replace(pairing, decision=Approved(grant=grant), expires_at=expires_at)
            await self._queue.put(approved, lasts=LIFETIME)
            self._rate_limiter.forgive(pairing.identity)
        return approved

    async def deny(self, pairing_id: str) -> Pairing:
        """
        Say no; a second no changes nothing, and a yes is taken back as long as the app has not fetched its token. The
        app may not ask again at once.

        Raises:
            PairingNotFound: If there is none of that id.
            PairingExpired: If it took too long.
            PairingDecided: If it was decided otherwise.
            LedgerUnavailable: Then nothing is decided.
            LedgerFull: As LedgerUnavailable.
        """
        async with self._queue.turn:
            return await self._deny(await self._decidable(pairing_id, yes=False))

    async def block(self, pairing_id: str) -> Block:
        """
        Say no, and never be asked by this identity again. An app that is let in already stays so.

        Raises:
            PairingNotFound: If there is none of that id.
            LedgerUnavailable: Then nothing is decided.
            LedgerFull: As LedgerUnavailable.
        """
        async with self._queue.turn:
            pairing = await self._there(pairing_id)
            block = Block(id=secrets.token_hex(8), identity=pairing.identity, blocked_at=self._clock.time())
            await self._queue.block(block)
            for one in self._queue.open_of(pairing.identity.key):
                await self._deny(one)  # a yes whose token was not fetched, too
        return block

    async def blocks(self) -> tuple[Block, ...]:
        """
        Return who may not ask.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.turn:
            await self._queue.open()
            return self._queue.blocks

    async def unblock(self, block_id: str) -> Block:
        """
        Let an identity ask again.

        Raises:
            BlockNotFound: If there is none of that id.
            LedgerUnavailable: Then it stays.
            LedgerFull: As LedgerUnavailable.
        """
        async with self._queue.turn:
            await self._queue.open()
            for block in self._queue.blocks:
                if block.id == block_id:
                    await self._queue.unblock(block)
                    return block
        raise errors.BlockNotFound("There is no such block. See: upstash-helper approvals blocked")

    async def _there(self, pairing_id: str) -> Pairing:
        await self._queue.open()
        pairing = self._queue.get(pairing_id)
        if pairing is None:
            raise errors.PairingNotFound("There is no such request. See: upstash-helper approvals list")
        return pairing

    async def _decidable(self, pairing_id: str, *, yes: bool) -> Pairing:
        pairing = await self._there(pairing_id)
        match pairing.decision:
            case Denied() if yes:
                raise errors.PairingDecided("It was denied already. The app can ask again after a while.")
            case Delivered() if not yes:
                raise errors.PairingDecided("It was approved already. Revoke it with: upstash-helper apps revoke")
            case Withdrawn():
                raise errors.PairingExpired("The app has withdrawn its request.")
            case _:
                pass
        if self._queue.is_expired(pairing):
            raise errors.PairingExpired("It was not decided in time. The app can ask again.")
        return pairing

    async def _deny(self, pairing: Pairing) -> Pairing:
        if isinstance(pairing.decision, Denied):
            return pairing
        denied = msgspec.structs.replace(pairing, decision=Denied(at=self._clock.time()))
        await self._queue.put(denied)
        self._rate_limiter.denied(pairing.identity)
        return denied


def _granted(pairing: Pairing, scopes: tuple[Scope, ...] | None) -> tuple[Scope, ...]:
    granted = pairing.scopes if scopes is None else ordered(scopes)
    if not granted or not set(granted) <= set(pairing.scopes):
        wished = ", ".join(pairing.scopes)
        raise errors.InvalidRequest(f"Grant one at least of what it wishes for: {wished}.", pointer="/scopes")
    return granted
