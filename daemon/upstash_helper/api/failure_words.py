"""Why a sign-in came to nothing, in plain words, and what the user can do then."""

from __future__ import annotations

from typing import Final

import msgspec

from upstash_helper.api.pages.page import Step
from upstash_helper.api.signs import Sign
from upstash_helper.broker.ports import FailureReason

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
