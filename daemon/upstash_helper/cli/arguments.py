"""What completions share: they ask the daemon, and say nothing if it cannot tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from upstash_helper.protocol.wire_apps import Identity

_Thing = TypeVar("_Thing")

# A completion lands in the command line as it is, unquoted, and Enter runs it. So a name that somebody else chose is
# offered only if no shell sees more in it than a word.
_WORD: Final = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*")


def quietly(ctx: click.Context, ask: Callable[[Session], Iterable[_Thing]]) -> list[_Thing]:
    """Return what the daemon answers, or nothing: a completion has no place for an error."""
    from upstash_helper.protocol.errors import ClientError
    from upstash_helper.settings.profiles import SettingsError

    profile = ctx.find_root().params.get("profile")
    try:
        return list(ask(Session(profile=profile)))
    except (ClientError, SettingsError):
        return []


def is_word(text: str) -> bool:
    """Return whether ``text`` can be offered although somebody else chose it."""
    return _WORD.fullmatch(text) is not None


SHORTEST: Final = 4
"""Characters of an id. Fewer would soon name another thing than the one that was meant."""


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""


_Identified = TypeVar("_Identified", bound=Identified)


def with_id(known: Iterable[_Identified], named: str) -> list[_Identified]:
    """Return what has the id ``named``; if nothing has, all whose ids begin with it."""
    things = list(known)
    exact = [one for one in things if one.id == named]
    return exact or [one for one in things if len(named) >= SHORTEST and one.id.startswith(named.lower())]


def lasting(identity: Identity) -> str:
    """Return who an app is without the process that it was when it asked, which is long gone or another's by now."""
    return identity.name or "a program that the system cannot name"
