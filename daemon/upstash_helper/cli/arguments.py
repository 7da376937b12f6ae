"""What completions share: they ask the daemon, and say nothing if it cannot tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

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
