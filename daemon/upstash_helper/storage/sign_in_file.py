"""The sign-in that is awaited, in a file of the user's runtime folder, which many systems empty at logout."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from upstash_helper.broker.account.kept_sign_in import KeptSignIn
from upstash_helper.broker.apps.identity import Caller
from upstash_helper.broker.models import Secret
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

logger = logging.getLogger(__name__)

FILE: Final = "sign-in.json"
_FORMAT: Final = 1
_LIMIT: Final = 65_536
_SECONDS: Final = 2.0
"""What a disk has for it; a sign-in does not wait longer."""

_FAULTS: Final = (OSError, private_files.NotPrivate, msgspec.MsgspecError, TimeoutError)


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    id: str
    authorization_url: str
    expires_at: float
    state: str
    code_verifier: str
    askers: tuple[Caller, ...]

    def __repr__(self) -> str:
        return "_Record(…)"


class SignInFile:
    """The ``SignInStore`` port."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: The file, in a folder that is the user's alone.
        """
        self._path = path

    async def save(self, kept: KeptSignIn) -> None:
        """Put ``kept`` in place of the file, whole or not at all."""
        record = _Record(
            format=_FORMAT,
            id=kept.id,
            authorization_url=kept.authorization_url,
            expires_at=kept.expires_at,
            state=kept.state.reveal(),
            code_verifier=kept.code_verifier.reveal(),
            askers=kept.askers,
        )
        try:
            await _soon(lambda: private_files.write_durably(self._path, msgspec.json.encode(record)))
        except _FAULTS as error:
            # A crash ends this sign-in; nothing else is the worse for it.
            logger.warning("sign_in_not_kept", extra={"error": type(error).__name__})

    async def load(self) -> KeptSignIn | None:
        """Return what is in the file; None if there is none, or none that this version knows."""
        try:
            data = await _soon(lambda: private_files.read(self._path, limit=_LIMIT, fix_mode=True))
            if data is None:
                return None
            record = msgspec.json.decode(data, type=_Record)
        except _FAULTS as error:
            logger.warning("kept_sign_in_not_read", extra={"error": type(error).__name__})
            return None
        if record.format != _FORMAT:
            return None
        return KeptSignIn(
            id=record.id,
            authorization_url=record.authorization_url,
            expires_at=record.expires_at,
            state=Secret(record.state),
            code_verifier=Secret(record.code_verifier),
            askers=record.askers,
        )

    async def forget(self) -> None:
        """Remove the file."""
        try:
            await _soon(lambda: private_files.remove(self._path))
        except _FAULTS as error:
            logger.warning("kept_sign_in_not_removed", extra={"error": type(error).__name__})


async def _soon(job: Callable[[], T]) -> T:
    async with asyncio.timeout(_SECONDS):
        return await asyncio.to_thread(job)
