"""How a thing is named on the command line: by its id, or by as much of it as tells it from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST: Final = 4
"""Characters of an id. Fewer would soon name another thing than the one that was meant."""


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""


_Thing = TypeVar("_Thing", bound=Identified)


def with_id(known: Iterable[_Thing], named: str) -> list[_Thing]:
    """Return what has the id ``named``; if nothing has, all whose ids begin with it."""
    things = list(known)
    exact = [one for one in things if one.id == named]
    return exact or [one for one in things if len(named) >= SHORTEST and one.id.startswith(named.lower())]
