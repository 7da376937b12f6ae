"""
The output of ``python -m upstash_helper.storage.credentials.delete_credential``, which ``uninstall --purge`` reads.

It is here because neither side may import the other: the command knows the keyring, and the installer must not.
"""

from __future__ import annotations

import msgspec


class DeletedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted."""

    entries: tuple[str, ...] = ()
    """The keyring entries that were deleted."""
    kept: tuple[str, ...] = ()
    """The entries that may still be there."""
    key_name: str | None = None
    """The API key's name in the Upstash console, if the daemon created the key."""
    grant_name: str | None = None
    """The sign-in's name in the Upstash console, if an account was connected by the open sign-in."""
    email: str | None = None
    problem: str | None = None
    """Why the keyring could not be used."""
