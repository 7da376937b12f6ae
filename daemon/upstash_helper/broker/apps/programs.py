"""Whether two connections come from the same program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upstash_helper.broker.identity import Identity

# A folder or file that is named after a version, such as "2.1.317", "v22.3.0", or "app-1.0.9". An agent that has
# updated itself is at another path: "~/.local/share/claude/versions/2.1.317".
_VERSION: Final = re.compile(r"(?:[A-Za-z]+-)?v?[0-9]+(?:\.[0-9]+)+(?:[-+_][A-Za-z0-9.+-]+)?|[0-9]+")
# All processes of a macOS application are one program: it has helpers, each with its own executable.
_BUNDLE: Final = re.compile(r"(.*?\.app)/Contents/.*")


def is_same_program(registered: Identity, sender: Identity) -> bool:
    """
    Return whether a connection comes from the program that registered a client. If the system did not report that
    program, every sender matches. If it does not report the sender, which can prevent this, the sender does not match.

    A path that differs only in the version is the same program, so that the user is not asked again because an agent
    has updated itself. A program in a container or sandbox differs from one at the same path outside.
    """
    if not registered.name:
        return True
    return bool(sender.name) and _normal(registered) == _normal(sender)


def _normal(identity: Identity) -> tuple[str, tuple[str, ...]]:
    path = identity.name.replace("\\", "/")
    bundle = _BUNDLE.fullmatch(path)
    parts = (bundle[1] if bundle else path).split("/")
    return "/".join("*" if _VERSION.fullmatch(part) else part for part in parts), identity.lasting.warnings
