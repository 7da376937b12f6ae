"""Completing arguments from the daemon's answers, and finding items by id or by the beginning of an id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from upstash_helper.protocol.wire_apps import Identity

_Item = TypeVar("_Item")

# Shells insert a completion unquoted, and Enter runs the line. A name chosen by an app is offered only if every shell
# reads it as a single word.
_WORD: Final = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*")


def fetch_for_completion(ctx: click.Context, fetch: Callable[[Session], Iterable[_Item]]) -> list[_Item]:
    """Return what the daemon answers, or nothing on an error: a completion cannot show one."""
    from upstash_helper.protocol.errors import ClientError
    from upstash_helper.settings.profiles import SettingsError

    profile = ctx.find_root().params.get("profile")
    try:
        return list(fetch(Session(profile=profile)))
    except (ClientError, SettingsError):
        return []


def is_word(text: str) -> bool:
    """Return whether ``text``, which an app may have chosen, is safe to offer as a completion."""
    return _WORD.fullmatch(text) is not None


MIN_PREFIX: Final = 4
"""Characters of an id. A shorter prefix would too easily match another item than the intended one."""


class HasId(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""


_HasId = TypeVar("_HasId", bound=HasId)


def match_id(items: Iterable[_HasId], text: str) -> list[_HasId]:
    """Return the item with the id ``text``; if there is none, every item whose id starts with it."""
    candidates = list(items)
    exact = [item for item in candidates if item.id == text]
    return exact or [item for item in candidates if len(text) >= MIN_PREFIX and item.id.startswith(text.lower())]


def stored_name(identity: Identity) -> str:
    """Return an app's identity without its process id, which may belong to another process by now."""
    from upstash_helper.protocol.messages import UNKNOWN_PROGRAM

    return (identity.shown_without_process or identity.name) if identity.name else UNKNOWN_PROGRAM
