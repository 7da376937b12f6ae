"""
The apps that request access, near the top of the menu.

The verified identity comes first: the browser vouches for an origin, the operating system for a program. What the app
claims about itself comes after it, in quotation marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.messages import IDENTITY_KINDS, VIA_BRIDGE
from upstash_helper_tray.menu.actions import Approve, Block, Deny, OpenDashboard
from upstash_helper_tray.menu.entries import (
    MAX_ENTRIES,
    Entry,
    confirmed,
    display_name,
    grouped,
    item,
    label,
    show_all,
    submenu,
)
from upstash_helper_tray.presentation.status import access_requests
from upstash_helper_tray.presentation.text import is_complete, quoted, shorten, wrapped

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Identity, Pairing
    from upstash_helper_tray.menu.entries import Menu

_MAX_CODE: Final = 12
_MAX_REASON: Final = 200


def approvals(pairings: tuple[Pairing, ...]) -> Menu:
    """Return the pending requests: a single one directly, several in a submenu."""
    if not pairings:
        return ()
    shown = tuple(_pairing(pairing) for pairing in pairings[:MAX_ENTRIES])
    if len(pairings) == 1:
        return (*label(access_requests(1)), *shown)
    return submenu(access_requests(len(pairings)), (*shown, *show_all(len(pairings), OpenDashboard())))


def _pairing(pairing: Pairing) -> Entry:
    code = shorten(pairing.user_code, _MAX_CODE)
    return Entry(
        text=f"{display_name(pairing.identity.shown)} · {code}",
        entries=grouped(
            (
                *_identity(pairing.identity),
                *_bridge(pairing),
                *(label(pairing.same_program) if pairing.same_program else ()),
                *_claims(pairing),
                *label(f"The app must show the code {code}"),
            ),
            _scopes(pairing),
            _decisions(pairing),
            _block(pairing),
        ),
    )


def _identity(identity: Identity) -> Menu:
    lines = label(_verified(identity))
    if identity.kind != "native":
        sender = (identity.sent_by or identity.program) if identity.program else "an unknown program"
        lines += label(f"Sent by {sender}")
    elif identity.sent_by:
        lines += label(f"Through {identity.sent_by}, which it started")
    for other in identity.others:
        lines += label(f"Connection shared with {other}")
    for warning in identity.warnings:
        lines += label(f"Warning: {warning.text}")
    return lines


def _verified(identity: Identity) -> str:
    return f"{IDENTITY_KINDS[identity.kind]}: {identity.shown}"


def _bridge(pairing: Pairing) -> Menu:
    return label(VIA_BRIDGE) if pairing.via_bridge else ()


def _claims(pairing: Pairing) -> Menu:
    reason = label(f"Reason given: {quoted(pairing.reason, _MAX_REASON)}") if pairing.reason else ()
    return (*label(f"It calls itself {quoted(pairing.claimed_name)}"), *reason)


def _scopes(pairing: Pairing) -> Menu:
    scopes = tuple(entry for scope in pairing.scopes[:MAX_ENTRIES] for entry in label(scope.meaning, first="• "))
    return (*label("It requests permission to:"), *scopes, *show_all(len(pairing.scopes), OpenDashboard()))


def _decisions(pairing: Pairing) -> Menu:
    return (*item("Deny", Deny(pairing.id)), *_allow(pairing), *item("Choose permissions…", OpenDashboard()))


def _allow(pairing: Pairing) -> Menu:
    if not _is_shown_in_full(pairing):
        return label("Too long for this menu. Review it in the dashboard.")
    once = item("Allow for one hour only", Approve(pairing.id, once=True))
    strong = tuple(scope.meaning for scope in pairing.scopes if scope.strong)
    if not strong:
        return (*item("Allow", Approve(pairing.id)), *once)
    name = display_name(pairing.identity.shown)
    consequence = (*label(f"{name} will be able to:"), *(line for text in strong for line in label(text, first="• ")))
    return submenu("Allow", (*consequence, *item(f"Allow {name}", Approve(pairing.id)), *once))


def _is_shown_in_full(pairing: Pairing) -> bool:
    """Return whether all that the user would approve can be read in the menu. Nothing elided can be approved here."""
    texts = [_verified(pairing.identity), *(scope.meaning for scope in pairing.scopes)]
    fits = 0 < len(pairing.scopes) <= MAX_ENTRIES
    return fits and all(is_complete(text, wrapped(text, first="• ")) for text in texts)


def _block(pairing: Pairing) -> Menu:
    consequence = "This denies the request. The app cannot request access again until you unblock it in the dashboard."
    app = confirmed("Block", consequence, f"Block {display_name(pairing.identity.shown)}", Block(pairing.id))
    if pairing.site is None:
        return app
    site = f"Block {display_name(pairing.site.shown)}"
    consequence = f"This blocks {pairing.site.shown} until you unblock it in the dashboard. {pairing.site.detail}"
    return (*app, *confirmed(site, consequence, site, Block(pairing.id, site=True)))
