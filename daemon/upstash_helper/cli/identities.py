"""Who an app is, once it no longer matters which of its processes asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Identity


def lasting(identity: Identity) -> str:
    """Return who an app is without the process that it was when it asked, which is long gone or another's by now."""
    return identity.name or "a program that the system cannot name"
