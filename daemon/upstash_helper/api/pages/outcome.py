"""The result page of a sign-in attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.api.pages.page import Fact, Page, Sign, Step
from upstash_helper.broker.account.attempts import Exchanging, Expired, Failed, Pending, Succeeded
from upstash_helper.broker.ports import FailureReason

if TYPE_CHECKING:
    from upstash_helper.broker.account.attempts import Attempt, Status
    from upstash_helper.broker.apps.identity import Caller

AGAIN: Final = Step("Try again: go back to the app and connect once more, or start here:", "upstash-helper connect")
API_KEY: Final = Step(
    "Do without the sign-in: make an API key in the Upstash console (Account > Management API) and give it here:",
    "upstash-helper connect --api-key",
)
PASTE: Final = Step(
    "If you have just signed in: copy the whole address from the address bar, and paste it when this asks for it:",
    "upstash-helper connect --paste",
)
DASHBOARD: Final = Step("See how the connection is, in the dashboard:", "upstash-helper open")
DOCTOR: Final = Step("Find out what is wrong, and how to mend it:", "upstash-helper doctor")
SETTINGS: Final = Step("Look at the settings, and where they come from:", "upstash-helper config")


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one reason."""

    title: str
    lead: str
    """Goes on from *Your account was not connected*."""
    sign: Sign
    steps: tuple[Step, ...] = (AGAIN, DASHBOARD)
    telling: bool = False
    """Whether the detail of the failure says what the user must know, and is no mere detail."""
    wanted: bool = False
    """Whether the user chose it: then there is nothing to read, and the window may go."""


WORDS: Final[dict[FailureReason, Words]] = {
    "access_denied": Words(
        title="The sign-in was cancelled",
        lead="as you wished. Nothing was changed.",
        sign="cancelled",
        steps=(AGAIN,),
        wanted=True,
    ),
    "cancelled": Words(
        title="This sign-in was given up", lead="because this sign-in was ended before it was done.",
        sign="cancelled", steps=(AGAIN,), telling=True, wanted=True,
    ),
    "login_required": Words(
        title="Upstash wants you to sign in", lead="because Upstash did not know who you are.", sign="person"
    ),
    "consent_required": Words(
        title="Upstash wants your consent",
        lead="because Upstash must ask you first whether the helper may connect. Say yes there next time.",
        sign="person",
    ),
    "unauthorized": Words(
        title="This account may not sign in here",
        lead="because Upstash does not let it. Another account may do, or an API key.",
        sign="shield",
        steps=(AGAIN, API_KEY),
    ),
    "invalid_request": Words(
        title="Upstash refused the sign-in",
        lead="because something in the helper's settings does not fit what Upstash knows of it.",
        sign="settings",
        steps=(SETTINGS, AGAIN, API_KEY),
    ),
    "invalid_client": Words(
        title="Upstash does not know this client id",
        lead="because the setting client_id is not one that Upstash gave out. Correct it and restart the helper.",
        sign="settings",
        steps=(SETTINGS, API_KEY),
    ),
    "invalid_grant": Words(
        title="The sign-in has expired",
        lead="because what Upstash sent back was too old, or was used before.",
        sign="late",
    ),
    "rate_limited": Words(
        title="Upstash asks for a pause",
        lead="because there were too many requests in a short time. Wait a minute first.",
        sign="pause",
        telling=True,
    ),
    "server_error": Words(
        title="Upstash has a fault",
        lead="because something failed at Upstash. It is nothing that you did; try again in a minute.",
        sign="fault",
        steps=(AGAIN, API_KEY),
    ),
    "network_error": Words(
        title="Upstash could not be reached",
        lead="because no answer came. Look at this computer's network, its VPN and its proxy.",
        sign="offline",
        steps=(AGAIN, DOCTOR),
    ),
    "timeout": Words(
        title="Upstash took too long",
        lead="because no answer came in time. The network may be slow, or Upstash is.",
        sign="late",
        steps=(AGAIN, DOCTOR),
    ),
    "invalid_response": Words(
        title="Upstash's answer made no sense",
        lead="because it could not be read. A proxy or the sign-in page of a Wi-Fi may have put itself in between.",
        sign="fault",
        steps=(AGAIN, API_KEY, DOCTOR),
    ),
    "issuer_mismatch": Words(
        title="The answer was not from Upstash",
        lead="to keep it safe: another server than Upstash's sign-in sent you here.",
        sign="shield",
        steps=(Step("Try again, and sign in only in the window that opens then:", "upstash-helper connect"), API_KEY),
    ),
    "api_key_refused": Words(
        title="Upstash made no API key",
        lead="although you are signed in: the helper needs an API key of its own, and Upstash refused it.",
        sign="key",
        steps=(AGAIN, API_KEY),
        telling=True,
    ),
    "api_key_limit": Words(
        title="Your account has too many API keys",
        lead="because Upstash makes no further one. Delete one in the console (Account > Management API) first.",
        sign="key",
        steps=(AGAIN, API_KEY),
    ),
    "keyring_locked": Words(
        title="Your keyring is locked",
        lead="because the API key could not be stored. Unlock the keyring first: signing in to the desktop does.",
        sign="lock",
        steps=(AGAIN, DOCTOR),
        telling=True,
    ),
    "keyring_unavailable": Words(
        title="There is no keyring to use",
        lead="because the API key could not be stored safely on this computer.",
        sign="lock",
        steps=(DOCTOR, AGAIN),
        telling=True,
    ),
    "internal_error": Words(
        title="The helper has a fault",
        lead="because the helper was stopped, or failed, while it stored the key.",
        sign="fault",
        steps=(DOCTOR, AGAIN),
        telling=True,
    ),
}  # fmt: skip


_CLOSE: Final = "You can close this window."
_KEPT: Final = (
    "The helper keeps your API key on this computer. Apps that you let in use your account through it, and none of "
    "them gets to see the key."
)
# Long enough to read a line, or to keep the window open.
_CLOSES_AFTER_SECONDS: Final = 3

STATES: Final[dict[type[Attempt], str]] = {
    Pending: "pending",
    Exchanging: "exchanging",
    Succeeded: "succeeded",
    Failed: "failed",
    Expired: "expired",
}
"""The API's names of the states."""


def outcome(attempt: Attempt, status: Status, askers: tuple[Caller, ...]) -> Page:
    """
    Return the page of an attempt.

    Args:
        attempt: The attempt.
        status: The connection's state.
        askers: The callers that requested the attempt, the one that started it first.
    """
    data = {"attempt": attempt.id, "state": STATES[type(attempt)], "openers": " ".join(_origins(askers))}
    closes = {**data, "closes": str(_CLOSES_AFTER_SECONDS)}
    match attempt:
        case Pending():
            return Page(
                title="Waiting for Upstash", lead="Finish the sign-in in the other window.", sign="waiting",
                tone="busy", facts=_asked_by(askers), paragraphs=(attempt.hint,) if attempt.hint else (),
                steps=(PASTE,), reload_url=_address(attempt), data=data,
            )  # fmt: skip
        case Exchanging():
            return Page(
                title="Connecting your account",
                lead="Upstash has signed you in. The helper is making its API key now; this takes a few seconds.",
                sign="key", tone="busy", facts=_asked_by(askers), reload_url=_address(attempt), data=data,
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
    """Return the page for a redirect that matches no attempt. It is constant, and a pending attempt stays pending."""
    return Page(
        title="Nothing to do here",
        lead="This address belongs to no sign-in that is waiting: it may be old, used already, or not from Upstash. "
        "Nothing was changed.",
        sign="lost", steps=(AGAIN, PASTE, DASHBOARD), closing=_CLOSE,
    )  # fmt: skip


def over(detail: str) -> Page:
    """Return the page for an unknown or forgotten attempt."""
    return Page(
        title="This sign-in is over", lead=detail, sign="lost", steps=(AGAIN, DASHBOARD), closing=_CLOSE
    )  # fmt: skip


def _address(attempt: Attempt) -> str:
    return f"/?attempt={attempt.id}"


def _origins(askers: tuple[Caller, ...]) -> list[str]:
    """Return the origins of the pages that may receive the result from the window they opened."""
    return [caller.identity.origin for caller in askers if caller.identity and caller.identity.origin]


def _next(askers: tuple[Caller, ...]) -> str:
    """Return what the user should do next."""
    if all(caller.is_owner for caller in askers):
        return "The apps that you let in can use it now."
    return "Go back to the app: it goes on by itself."


def _still(status: Status) -> tuple[str, ...]:
    """
    Return a note if the previous account is still connected.

    It does not name the account: an app with permission to connect, but not to see the account, can start a sign-in,
    end it, and read this page.
    """
    return ("The account that was connected before still is.",) if status.state == "connected" else ()


def _asked_by(askers: tuple[Caller, ...]) -> tuple[Fact, ...]:
    """Return who requested the attempt: the verified identity first, then the name that the app claims."""
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
