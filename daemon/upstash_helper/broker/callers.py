"""Who calls: the user's own tools, or an app that was let in."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from upstash_helper.broker.apps.identity import Identity
from upstash_helper.broker.scopes import Scope


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a token is, and what that lets it do."""

    kind: Literal["owner", "app"]
    id: str
    name: str
    identity: Identity | None = None
    """None for the owner, who is known by a file that only this user can read."""
    scopes: tuple[Scope, ...] = ()
    all_databases: bool = False
    page: str | None = None
    """The origin of the daemon's own page in which the owner calls; None for a program of the owner's."""
    owns_as: str | None = None
    """By what the databases that it creates are known as its own; None for the owner, to whom all belong."""

    @property
    def is_owner(self) -> bool:
        """Whether this is the user's own tools."""
        return self.kind == "owner"

    def has(self, scope: Scope) -> bool:
        """Return whether the caller was granted ``scope``; the owner has every one."""
        return self.is_owner or scope in self.scopes

    @property
    def shown(self) -> str:
        """The verified identity, for a person."""
        return "this user's own tools" if self.identity is None else self.identity.lasting


OWNER: Final = Caller(kind="owner", id="owner", name="owner")
