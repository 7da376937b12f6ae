"""What came of an attempt, as the page on which the window of the sign-in ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.api.failure_words import AGAIN, API_KEY, DASHBOARD, PASTE, WORDS
from upstash_helper.api.pages.page import Fact, Page, Step
from upstash_helper.broker.account.attempts import Exchanging, Expired, Failed, Pending, Succeeded

if TYPE_CHECKING:
    from upstash_helper.broker.account.attempts import Attempt, Status
    from upstash_helper.broker.apps.identity import Caller

_CLOSE: Final = "You can close this window."
_KEPT: Final = (
    "The helper keeps your API key on this computer. Apps that you let in use your account through it, and none of "
    "them gets to see the key."
)
# Long enough to read a line, and to keep the window.
_CLOSES_AFTER_SECONDS: Final = 3

STATES: Final[dict[type[Attempt], str]] = {
    Pending: "pending",
    Exchanging: "exchanging",
    Succeeded: "succeeded",
    Failed: "failed",
    Expired: "expired",
}
"""As the API calls them."""


def outcome(attempt: Attempt, status: Status, askers: tuple[Caller, ...]) -> Page:
    """
    Return the page of an attempt.

    Args:
        attempt: As it is now.
        status: What the connection is now.
        askers: Who wanted it, whoever began it first.
    """
    data = {"attempt": attempt.id, "state": STATES[type(attempt)], "openers": " ".join(_origins(askers))}
    closes = {**data, "closes": str(_CLOSES_AFTER_SECONDS)}
    match attempt:
        case Pending():
            return Page(
                title="Waiting for Upstash", lead="Finish the sign-in in the other window.", sign="waiting",
                tone="busy", facts=_asked_by(askers), paragraphs=(attempt.hint,) if attempt.hint else (),
                steps=(PASTE,), again=_address(attempt), data=data,
            )  # fmt: skip
        case Exchanging():
            return Page(
                title="Connecting your account",
                lead="Upstash has signed you in. The helper is making its API key now; this takes a few seconds.",
                sign="key", tone="busy", facts=_asked_by(askers), again=_address(attempt), data=data,
            )  # fmt: skip
        case Succeeded(needs_email=True):
            return Page(
                title="One thing is missing",
                lead="Your API key is stored, but Upstash did not tell which e-mail it belongs to.",
                sign="mail", facts=_asked_by(askers), closing=_CLOSE, data=data,
                steps=(
                    Step("Say which one it is:", "upstash-helper connect --email you@example.com"),
                    Step("Or do it in the dashboard:", "upstash-helper open"),
                ),
            )  # fmt: skip
        case Succeeded():
            account = (Fact("Account", status.email),) if status.email else ()
            return Page(
                title="Your account has been connected", lead=_next(askers), sign="done",
                tone="good", facts=(*account, *_asked_by(askers)), closing=_CLOSE, data=closes,
                paragraphs=(_KEPT,),
            )  # fmt: skip
        case Failed():
            words = WORDS[attempt.reason]
            return Page(
                title=words.title, lead=f"Your account was not connected, {words.lead}", sign=words.sign,
                tone="plain" if words.wanted else "bad", facts=_asked_by(askers),
                paragraphs=(*((attempt.detail,) if words.telling else ()), *_still(status)), steps=words.steps,
                details="" if words.telling or words.wanted else f"{attempt.detail} ({attempt.reason})",
                closing=_CLOSE, data=closes if words.wanted else data,
            )  # fmt: skip
        case Expired():
            return Page(
                title="The sign-in took too long",
                lead="Your account was not connected, because a sign-in is good for ten minutes.", sign="late",
                tone="bad", facts=_asked_by(askers), paragraphs=_still(status), steps=(AGAIN, API_KEY, DASHBOARD),
                closing=_CLOSE, data=data,
            )  # fmt: skip


def noise() -> Page:
    """Return the page for an arrival that belongs to no attempt: constant, and the one that may be running goes on."""
    return Page(
        title="Nothing to do here",
        lead="This address belongs to no sign-in that is waiting: it may be old, used already, or not from Upstash. "
        "Nothing was changed.",
        sign="lost", steps=(AGAIN, PASTE, DASHBOARD), closing=_CLOSE,
    )  # fmt: skip


def over(detail: str) -> Page:
    """Return the page for an attempt that is not known, or no longer."""
    return Page(
        title="This sign-in is over", lead=detail, sign="lost", steps=(AGAIN, DASHBOARD), closing=_CLOSE
    )  # fmt: skip


def _address(attempt: Attempt) -> str:
    return f"/?attempt={attempt.id}"


def _origins(askers: tuple[Caller, ...]) -> list[str]:
    """Return whose pages may be told by the window that they opened."""
    return [caller.identity.origin for caller in askers if caller.identity and caller.identity.origin]


def _next(askers: tuple[Caller, ...]) -> str:
    """Say what happens now: to whom the user came for this."""
    if all(caller.is_owner for caller in askers):
        return "The apps that you let in can use it now."
    return "Go back to the app: it goes on by itself."


def _still(status: Status) -> tuple[str, ...]:
    """
    Whoever was connected before still is. As whom, is not said: an app that may connect, and may not see the account,
    can start a sign-in, end it, and read this page.
    """
    return ("The account that was connected before still is.",) if status.state == "connected" else ()


def _asked_by(askers: tuple[Caller, ...]) -> tuple[Fact, ...]:
    """Say who wanted it: who they verifiably are, and then what they call themselves."""
    if not askers:
        return ()
    first, others = askers[0], len(askers) - 1
    if first.is_owner:
        shown, note = ("You, in the dashboard" if first.page else "You, with the helper's own tools"), ""
    else:
        shown, note = first.shown, f"calls itself “{first.name}”"
    if others:
        note = ", ".join(filter(None, (note, f"and {others} other{'s' if others > 1 else ''}")))
    return (Fact("Asked for by", shown, note),)
