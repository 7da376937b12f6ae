"""The result of an attempt, as the page on which the window of the sign-in ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.api.pages.icons import IconName
from upstash_helper.api.pages.page import Fact, Page, Step, Tone
from upstash_helper.api.server.render import ATTEMPT_STATES
from upstash_helper.broker.account.attempts import (
    ConfirmationRequired,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.account.attempts import Attempt
    from upstash_helper.broker.account.connection import ConnectionStatus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.protocol.literals import FailureReason
    from upstash_helper.protocol.messages import Message


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How the page of a failure looks. Its text is in ``protocol.messages``."""

    icon: IconName
    specific: bool = False
    """Whether the failure's own detail is shown in full, since the user needs it, and not folded away."""
    intended: bool = False
    """Whether the user chose it: then there is nothing to read, and the window may close."""


LOOKS: Final[dict[FailureReason, Look]] = {
    "access_denied": Look(icon="cross", intended=True),
    "cancelled": Look(icon="cross", specific=True, intended=True),
    "replacement_declined": Look(icon="cross", specific=True, intended=True),
    "confirmation_timeout": Look(icon="clock"),
    "account_not_confirmed": Look(icon="key", specific=True),
    "login_required": Look(icon="person"),
    "consent_required": Look(icon="person"),
    "unauthorized": Look(icon="shield"),
    "invalid_request": Look(icon="settings"),
    "invalid_client": Look(icon="settings"),
    "registration_lost": Look(icon="settings"),
    "invalid_grant": Look(icon="clock"),
    "rate_limited": Look(icon="pause", specific=True),
    "server_error": Look(icon="warning"),
    "network_error": Look(icon="offline"),
    "timeout": Look(icon="clock"),
    "invalid_response": Look(icon="warning"),
    "issuer_mismatch": Look(icon="shield"),
    "api_key_refused": Look(icon="key", specific=True),
    "api_key_limit": Look(icon="key"),
    "keyring_locked": Look(icon="lock", specific=True),
    "keyring_unavailable": Look(icon="lock", specific=True),
    "internal_error": Look(icon="warning", specific=True),
}


_CLOSE: Final = "You can close this window."
_KEPT: Final = (
    "The helper keeps the credential on this computer. Apps with access use your account through the helper, and none "
    "of them sees the credential."
)
# Long enough to read a line, or to keep the window open.
_CLOSES_AFTER_SECONDS: Final = 3


def outcome(attempt: Attempt, status: ConnectionStatus, requesters: tuple[Caller, ...], *, page: str) -> Page:
    """
    Return the page of an attempt.

    Args:
        attempt: The attempt as it is now.
        status: The connection as it is now.
        requesters: Who requested the attempt, the one who started it first.
        page: The key in the page's address.
    """
    # Imported late: a daemon that starts needs no texts.
    from upstash_helper.protocol import messages

    state = ATTEMPT_STATES[type(attempt)]
    data = {"attempt": attempt.id, "page": page, "state": state, "openers": " ".join(_origins(requesters))}
    closes = {**data, "closes": str(_CLOSES_AFTER_SECONDS)}
    # The way that works comes first. The script makes buttons of them.
    again = {"actions": "connect key overview" if status.can_sign_in else "key overview"}
    facts = _requested_by(requesters)
    match attempt:
        case Pending():
            message = messages.ATTEMPTS[state]
            hint: tuple[str, ...] = ()
            if attempt.hint:
                # The hint ends with the next step. As a step, its command can be copied.
                hint = (attempt.hint.removesuffix(str(messages.FINISH_BY_HAND)).rstrip(),)
                message = message._replace(steps=(messages.FINISH_BY_HAND,))
            return _page(
                message, icon="sign-in", tone="busy", facts=facts, paragraphs=hint, reload_url=_address(page),
                data=data,
            )  # fmt: skip
        case Exchanging() | ConfirmationRequired():
            # A question names no account: an app that may not see which one is connected can get to this page.
            return _page(
                messages.ATTEMPTS[state], icon="key" if isinstance(attempt, Exchanging) else "question", tone="busy",
                facts=facts, reload_url=_address(page), data=data,
            )  # fmt: skip
        case Succeeded(email=None):
            return _page(messages.NEEDS_EMAIL, icon="mail", facts=facts, closing=_CLOSE, data=data)
        case Succeeded():
            account = (Fact("Account", attempt.email),) if attempt.email and _may_see_account(requesters) else ()
            return _page(
                messages.ATTEMPTS[state], lead=_next(requesters), icon="check", tone="good", facts=(*account, *facts),
                closing=_CLOSE, data=closes, paragraphs=(*_read_only(status), _KEPT),
            )  # fmt: skip
        case Failed():
            message, look = messages.of_attempt(state, attempt.reason), LOOKS[attempt.reason]
            specific = (attempt.detail,) if attempt.detail and look.specific else ()
            return _page(
                message, lead=f"Your account was not connected. {message.detail}", icon=look.icon,
                tone="plain" if look.intended else "bad", facts=facts, paragraphs=(*specific, *_unchanged(status)),
                details="" if specific or look.intended else f"{attempt.detail} ({attempt.reason})".strip(),
                closing=_CLOSE, data={**(closes if look.intended else data), **again},
            )  # fmt: skip
        case Expired():
            message = messages.ATTEMPTS[state]
            return _page(
                message, lead=f"Your account was not connected. {message.detail}", icon="clock", tone="bad",
                facts=facts, paragraphs=_unchanged(status), closing=_CLOSE, data={**data, **again},
            )  # fmt: skip


def no_attempt() -> Page:
    """Return the page for a redirect that matches no attempt. It is constant, and a pending attempt is unaffected."""
    from upstash_helper.protocol.messages import NO_ATTEMPT

    return _page(NO_ATTEMPT, icon="question", closing=_CLOSE)


def cut_off() -> Page:
    """Return the page for a redirect without its end. A pending attempt is unaffected."""
    from upstash_helper.protocol.messages import CUT_OFF_PAGE

    return _page(CUT_OFF_PAGE, icon="warning", closing=_CLOSE)


def _page(
    message: Message,
    *,
    icon: IconName,
    lead: str = "",
    tone: Tone = "plain",
    facts: tuple[Fact, ...] = (),
    paragraphs: tuple[str, ...] = (),
    details: str = "",
    closing: str = "",
    reload_url: str = "",
    data: Mapping[str, str] | None = None,
) -> Page:
    return Page(
        title=message.title, lead=lead or message.detail, icon=icon, tone=tone, facts=facts, paragraphs=paragraphs,
        steps=tuple(Step(f"{step.text}{':' if step.command else '.'}", step.command) for step in message.steps),
        details=details, closing=closing, reload_url=reload_url, data=data or {},
    )  # fmt: skip


def _address(page: str) -> str:
    return f"/?attempt={page}"


def _read_only(status: ConnectionStatus) -> tuple[str, ...]:
    from upstash_helper.protocol.messages import READ_ONLY

    return (READ_ONLY.detail,) if status.access == "read_only" else ()


def _may_see_account(requesters: tuple[Caller, ...]) -> bool:
    """Return whether who started the attempt may know the account. An app that did can open the page, too."""
    return all(caller.has("connection:read") for caller in requesters[:1])


def _origins(requesters: tuple[Caller, ...]) -> list[str]:
    """Return the origins whose pages may be notified by the window that they opened."""
    return [caller.identity.origin for caller in requesters if caller.identity and caller.identity.origin]


def _next(requesters: tuple[Caller, ...]) -> str:
    """Return what the user can do now, which depends on where the sign-in was started."""
    if all(caller.is_owner for caller in requesters):
        return "Apps with access can use it now."
    return "Go back to the app. It continues automatically."


def _unchanged(status: ConnectionStatus) -> tuple[str, ...]:
    """
    Return a note that an account that was connected before still is, without naming it: an app that may connect an
    account, but not see which one is connected, can start a sign-in, end it, and read this page.
    """
    return ("The account that was connected before is still connected.",) if status.state == "connected" else ()


def _requested_by(requesters: tuple[Caller, ...]) -> tuple[Fact, ...]:
    """Return who requested the sign-in: the verified identity first, then the name the app gives itself."""
    if not requesters:
        return ()
    first, others = requesters[0], len(requesters) - 1
    if first.is_owner:
        shown, note = ("You, in the dashboard" if first.page else "You, with the helper's own tools"), ""
    else:
        shown, note = first.shown, f"calls itself “{first.name}”"
    if others:
        note = ", ".join(filter(None, (note, f"and {others} other{'s' if others > 1 else ''}")))
    return (Fact("Requested by", shown, note),)
