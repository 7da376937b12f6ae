"""The user's side of access requests: list, approve, deny, and block them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.pairing_limits import LIFETIME
from upstash_helper.broker.apps.sites import kind_of
from upstash_helper.broker.identity import ordered
from upstash_helper.broker.ledger import Approved, Block, Delivered, Denied, Grant, Pairing, Waiting, Withdrawn
from upstash_helper.protocol.literals import BlockScope, Scope

if TYPE_CHECKING:
    from upstash_helper.broker.apps.pairing_limits import PairingRateLimiter
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.ports import Clock


class Approvals:
    """Decides access requests for the user. Callers must have verified that the request comes from the user."""

    def __init__(self, *, queue: PairingQueue, rate_limiter: PairingRateLimiter, clock: Clock) -> None:
        self._queue = queue
        self._rate_limiter = rate_limiter
        self._clock = clock

    async def waiting(self) -> tuple[Pairing, ...]:
        """
        Return the pending requests, the oldest first.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.lock:
            await self._queue.load()
            return self._queue.waiting

    async def approve(
        self, pairing_id: str, *, scopes: tuple[Scope, ...] | None, all_databases: bool, once: bool
    ) -> Pairing:
        """
        Approve a request. Approving it again changes nothing.

        Args:
            pairing_id: The request.
            scopes: A subset of the requested scopes; None for all of them.
            all_databases: Extend its scopes to databases that it did not create: their credentials, and commands.
            once: Grant access for one hour only.

        Raises:
            PairingNotFound: If there is none with this ID.
            InvalidRequest: If a scope was not requested, or no scope is granted.
            PairingExpired: If it was not decided in time.
            PairingReplaced: If the app has sent a new request, which the user must decide on instead.
            PairingDecided: If it was decided differently.
            LedgerUnavailable: Nothing is decided then.
            LedgerFull: Like LedgerUnavailable.
        """
        async with self._queue.lock:
            pairing = await self._decidable(pairing_id, approve=True)
            granted = _granted(pairing, scopes)
            if not isinstance(pairing.decision, Waiting):
                return pairing
            grant = Grant(scopes=granted, all_databases=all_databases, once=once)
            expires_at = self._clock.time() + LIFETIME
            approved = msgspec.structs.replace(pairing, decision=Approved(grant=grant), expires_at=expires_at)
            await self._queue.put(approved, before=pairing, lasts=LIFETIME)
            self._rate_limiter.approved(approved)
        return approved

    async def deny(self, pairing_id: str) -> Pairing:
        """
        Deny a request. Denying it again changes nothing. An approval is withdrawn if the app has not fetched its token
        yet. The app cannot request access again immediately. This takes effect at once, and is written later if the
        ledger cannot be written now.

        Raises:
            PairingNotFound: If there is none with this ID.
            PairingExpired: If it was not decided in time.
            PairingReplaced: If the app has sent a new request, which the user must decide on instead.
            PairingDecided: If it was decided differently.
            LedgerUnavailable: If the ledger has not been read yet and cannot be read.
            LedgerFull: Like LedgerUnavailable.
        """
        denied = self._deny(await self._decidable(pairing_id, approve=False))
        await self._queue.written()
        return denied

    async def block(self, pairing_id: str, *, scope: BlockScope = "identity") -> Block:
        """
        Deny a request and block further requests from its identity, or from its whole site. Access that an app has
        already is not revoked. This takes effect at once, like ``deny``.

        Args:
            pairing_id: The request.
            scope: What to block. An extension is its own site.

        Raises:
            PairingNotFound: If there is none with this ID.
            LedgerUnavailable: If the ledger has not been read yet and cannot be read.
            LedgerFull: Like LedgerUnavailable.
        """
        pairing = await self._find(pairing_id)
        block = Block(
            id=secrets.token_hex(8),
            identity=pairing.identity.lasting,
            site=pairing.site if scope == "site" and kind_of(pairing.site) is not None else "",
            blocked_at=self._clock.time(),
        )
        self._queue.block(block, because_of=pairing_id)
        for one in self._queue.open_of(block):
            self._deny(one)  # includes approved requests without a fetched token
        await self._queue.written()
        return block

    async def blocks(self) -> tuple[Block, ...]:
        """
        Return the blocks.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.lock:
            await self._queue.load()
            return self._queue.blocks

    async def unblock(self, block_id: str) -> Block:
        """
        Remove a block.

        Raises:
            BlockNotFound: If there is none with this ID.
            LedgerUnavailable: The block stays then.
            LedgerFull: Like LedgerUnavailable.
        """
        async with self._queue.lock:
            await self._queue.load()
            for block in self._queue.blocks:
                if block.id == block_id:
                    await self._queue.unblock(block)
                    return block
        raise errors.BlockNotFound

    async def _find(self, pairing_id: str) -> Pairing:
        await self._queue.load()
        pairing = self._queue.get(pairing_id)
        if pairing is None:
            raise errors.PairingNotFound(
                "There is no such request. List the pending requests: upstash-helper approvals list"
            )
        return pairing

    async def _decidable(self, pairing_id: str, *, approve: bool) -> Pairing:
        pairing = await self._find(pairing_id)
        match pairing.decision:
            case Denied() if approve:
                raise errors.PairingDecided("The request was already denied. The app can request access again later.")
            case Delivered() if not approve:
                raise errors.PairingDecided(
                    "The request was already approved. Revoke the app's access: upstash-helper apps revoke"
                )
            case Withdrawn(replaced_by=new) if new:
                raise errors.PairingReplaced(
                    "The app has sent a new request, which replaces this one. No decision was made. Review the new"
                    " request: upstash-helper approvals list"
                )
            case Withdrawn():
                raise errors.PairingExpired("The app withdrew its request.")
            case _:
                pass
        if self._queue.is_expired(pairing):
            raise errors.PairingExpired("The request was not decided in time. The app can request access again.")
        return pairing

    def _deny(self, pairing: Pairing) -> Pairing:
        if isinstance(pairing.decision, Denied):
            return pairing
        denied = msgspec.structs.replace(pairing, decision=Denied(at=self._clock.time()))
        self._queue.end(denied)
        self._rate_limiter.denied(denied)
        return denied


def _granted(pairing: Pairing, scopes: tuple[Scope, ...] | None) -> tuple[Scope, ...]:
    granted = pairing.scopes if scopes is None else ordered(scopes)
    if not granted or not set(granted) <= set(pairing.scopes):
        requested = ", ".join(pairing.scopes)
        raise errors.InvalidRequest(f"Grant at least one of the requested scopes: {requested}.", pointer="/scopes")
    return granted
