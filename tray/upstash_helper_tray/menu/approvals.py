"""
The apps that wait to be let in, near the top of the menu.

First comes what somebody other than the app vouches for: the browser for an origin, the operating system for a
program. What the app says of itself comes after it, in quotation marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper_tray.actions import Approve, Block, Deny, OpenDashboard
from upstash_helper_tray.menu.entries import MOST, Entry, choice, confirmed, grouped, named, rest, said, submenu
from upstash_helper_tray.status import asking
from upstash_helper_tray.text import lines, quoted, short, whole

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Identity, Pairing
    from upstash_helper_tray.menu.entries import Menu

_KINDS: Final = {"web": "Web page", "extension": "Browser extension", "native": "Program"}
_LONGEST_CODE: Final = 12
_LONGEST_REASON: Final = 200


def approvals(pairings: tuple[Pairing, ...]) -> Menu:
    """Return who waits; a lone one without a menu on the way to it."""
    if not pairings:
        return ()
    shown = tuple(_pairing(one) for one in pairings[:MOST])
    if len(pairings) == 1:
        return (*said(asking(1)), *shown)
    return submenu(asking(len(pairings)), (*shown, *rest(len(pairings), OpenDashboard())))


def _pairing(pairing: Pairing) -> Entry:
    code = short(pairing.user_code, _LONGEST_CODE)
    return Entry(
        text=f"{named(pairing.identity.shown)} · {code}",
        entries=grouped(
            (*_identity(pairing.identity), *_claims(pairing), *said(f"It must show the code {code}")),
            _wishes(pairing),
            _answers(pairing),
            _block(pairing),
        ),
    )


def _identity(identity: Identity) -> Menu:
    words = said(_verified(identity))
    if identity.kind == "native":
        return words
    process = "" if identity.pid is None else f" (process {identity.pid})"
    return (*words, *said(f"Sent by {identity.program or 'a program that the system does not name'}{process}"))


def _verified(identity: Identity) -> str:
    return f"{_KINDS[identity.kind]}: {identity.shown}"


def _claims(pairing: Pairing) -> Menu:
    reason = said(f"It says: {quoted(pairing.reason, _LONGEST_REASON)}") if pairing.reason else ()
    return (*said(f"It calls itself {quoted(pairing.claimed_name)}"), *reason)


def _wishes(pairing: Pairing) -> Menu:
    wishes = tuple(entry for one in pairing.scopes[:MOST] for entry in said(one.meaning, first="• "))
    return (*said("It would like to:"), *wishes, *rest(len(pairing.scopes), OpenDashboard()))


def _answers(pairing: Pairing) -> Menu:
    return (
        *choice("Deny", Deny(pairing.id)),
        *(_yes(pairing) if _told_in_full(pairing) else said("There is more to see before you can allow it.")),
        *choice("Choose what it may do…", OpenDashboard()),
    )


def _yes(pairing: Pairing) -> Menu:
    return (
        *choice("Allow", Approve(pairing.id)),
        *choice("Allow once, for one hour", Approve(pairing.id, once=True)),
    )


def _told_in_full(pairing: Pairing) -> bool:
    """Return whether all that the user says yes to can be read here: nobody allows what had to be cut."""
    texts = [_verified(pairing.identity), *(one.meaning for one in pairing.scopes)]
    return 0 < len(pairing.scopes) <= MOST and all(whole(text, lines(text, first="• ")) for text in texts)


def _block(pairing: Pairing) -> Menu:
    meaning = "It is denied, and cannot ask again until you lift the block under Apps in the dashboard."
    return confirmed("Block", meaning, f"Block {named(pairing.identity.shown)}", Block(pairing.id))
