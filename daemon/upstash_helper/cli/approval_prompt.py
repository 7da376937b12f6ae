"""
How a request to be let in is shown, and how the user is asked.

First comes what somebody other than the app vouches for: the browser for an origin, the operating system for a
program. What the app says of itself comes after it, in quotes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.output import note, quoted, sheet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.protocol.wire_apps import Identity, Pairing, Scope

_KINDS: Final = {"web": "Web page", "extension": "Browser extension", "native": "Program"}

_NATIVE: Final = "(its file, as the system tells it; a script shows as its interpreter)"
_PAGE: Final = "(your browser? Only a browser can vouch for a page)"
_NATIVE_UNKNOWN: Final = "(the system does not tell which)"


def described(pairing: Pairing) -> str:
    """Return a request in some lines."""
    rows = [
        *_identity(pairing.identity),
        ("Calls itself", f"{quoted(pairing.claimed_name)} (nobody vouches for this name)"),
        ("Code", f"{pairing.user_code} (the app must show the same)"),
        *_rows("Would like to", (f"{one.meaning} ({one.scope})" for one in pairing.scopes)),
    ]
    if pairing.reason:
        rows.append(("Says why", quoted(pairing.reason)))
    rows += [("Time left", f"{seconds_left(pairing)} s"), ("Id", pairing.id)]
    return sheet(rows)


def granted(pairing: Pairing, *, scopes: tuple[Scope, ...] | None, all_databases: bool, once: bool) -> str:
    """Return what a yes would grant, where that is not just what the app wishes for; else nothing."""
    rows: list[tuple[str, str]] = []
    if scopes is not None:
        rows += _rows(
            "You grant only", (f"{one.meaning} ({one.scope})" for one in pairing.scopes if one.scope in scopes)
        )
    if all_databases:
        rows.append(("You grant also", pairing.all_databases_meaning or ""))
    if once:
        rows.append(("Until", "an hour from now"))
    return sheet(rows)


def seconds_left(pairing: Pairing) -> int:
    """Return how long a request waits from now on."""
    from datetime import UTC, datetime

    return max(0, round((datetime.fromisoformat(pairing.expires_at) - datetime.now(UTC)).total_seconds()))


def present(*texts: str) -> None:
    """Show what there is to decide about, on stderr, and forget what was typed before: it was no answer to this."""
    for text in texts:
        if text:
            note(text)
    note("")
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _identity(identity: Identity) -> list[tuple[str, str]]:
    rows = [(_KINDS[identity.kind], identity.shown)]
    if identity.kind != "native":
        rows.append(("Sent by", f"{identity.program or _NATIVE_UNKNOWN} {_PAGE}".strip()))
    if identity.kind == "native":
        rows.append(("", _NATIVE if identity.name else _NATIVE_UNKNOWN))
    return rows


def _rows(name: str, values: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if number else name, value) for number, value in enumerate(values)]
