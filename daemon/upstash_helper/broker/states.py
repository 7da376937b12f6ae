"""What the connection can be, and what passes in and out of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from upstash_helper.broker.account.attempts import Attempt, Exchanging, Pending
from upstash_helper.broker.models import Method
from upstash_helper.broker.secret import Secret

State = Literal[
    "disconnected",
    "connecting",
    "connected",
    "needs_email",
    "reconnect_required",
    "keyring_locked",
    "keyring_unavailable",
    "port_conflict",
]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the connection is now."""

    state: State
    detail: str | None = None
    email: str | None = None
    method: Method | None = None
    since: float | None = None
    key_name: str | None = None
    attempt: Attempt | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a connect that has something to do."""

    attempt: Pending | Exchanging
    joined: bool
    browser_opened: bool


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """What the authorization server sent the browser back with (RFC 6749, section 4.1.2; RFC 9207)."""

    state: str | None
    code: Secret | None
    error: str | None = None
    issuer: str | None = None
