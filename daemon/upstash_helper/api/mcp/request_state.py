"""
The state of a call that waits for its user: what the client sends back with the answer.

The endpoint keeps nothing about such a call. The client repeats it with the answer and this state, which binds the
answer to the question: to the caller, the tool, and the arguments. The state is signed, valid for a few minutes, and
works once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

LIFETIME_SECONDS: Final = 300.0
MAX_USED: Final = 4096
"""How many used states are kept until they expire. Beyond that, no state is accepted, and questions are repeated."""
_MAX_LENGTH: Final = 8192


class StateInvalid(Exception):
    """The state was not issued here, is for another call, has expired, or was used before."""


class State(msgspec.Struct, frozen=True):
    """What a state contains."""

    subject: str
    """The digest of the call that it is for."""
    nonce: str
    expires_at: float
    """In monotonic time, which is valid only in this process, as is the key."""
    asked: tuple[str, ...]
    """The keys of the questions that were asked."""
    answers: dict[str, Any]
    """The client's answers to earlier questions of the same call."""


def subject_of(caller_id: str, method: str, name: str, arguments: object) -> str:
    """Return the digest of the call that a state is for."""
    text = json.dumps([caller_id, method, name, arguments], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class RequestStates:
    """Issues states, and accepts each once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._key: Final = secrets.token_bytes(32)
        self._used: dict[str, float] = {}

    def issue(self, subject: str, asked: tuple[str, ...], answers: dict[str, Any]) -> str:
        """Return a new state."""
        state = State(
            subject=subject,
            nonce=secrets.token_urlsafe(16),
            expires_at=self._clock.monotonic() + LIFETIME_SECONDS,
            asked=asked,
            answers=answers,
        )
        payload = msgspec.json.encode(state)
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode()

    def accept(self, text: str, subject: str) -> State:
        """
        Use up a state.

        Raises:
            StateInvalid: If it cannot be accepted.
        """
        state = self._read(text)
        now = self._clock.monotonic()
        self._used = {nonce: end for nonce, end in self._used.items() if end > now}
        if not hmac.compare_digest(state.subject, subject) or state.expires_at <= now or state.nonce in self._used:
            raise StateInvalid
        if len(self._used) >= MAX_USED:
            raise StateInvalid
        self._used[state.nonce] = state.expires_at
        return state

    def _read(self, text: str) -> State:
        if len(text) > _MAX_LENGTH:
            raise StateInvalid
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise StateInvalid from None
        signature, payload = data[:32], data[32:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise StateInvalid
        return msgspec.json.decode(payload, type=State)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")
