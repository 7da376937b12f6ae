"""
Asking the user to let the app in, and waiting for the answer.

In the manner of RFC 8628: no request waits for a person; the app looks again and again, as often as the daemon says.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from upstash_helper.client.errors import PairingPending, TooManyPairings, WaitTimedOut
from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from upstash_helper.client.app_calls import AppClient
    from upstash_helper.client.deadline import Deadline
    from upstash_helper.protocol.wire_apps import AskPairing, NewToken, StartedPairing

OnCode = Callable[[str, datetime], object]
"""Is called with the code that the user sees in the prompt too, and with the time (UTC) at which the request ends."""


def print_code(user_code: str, expires_at: datetime) -> None:
    """Show the code on stderr, with what to do."""
    until = expires_at.astimezone().strftime("%H:%M:%S")
    sys.stderr.write(
        f"This program asks to be let in, with the code {user_code}. Decide until {until}:"
        " upstash-helper approvals approve\n"
    )


def ask_user(
    wish: AskPairing, *, connect: Callable[[str | None], AppClient], on_code: OnCode, deadline: Deadline
) -> NewToken:
    """
    Ask the user, show the code, and wait until there is a decision. Return the token.

    Args:
        wish: What the app asks for.
        connect: Makes a client with a token, or with none.
        on_code: Shows the code.
        deadline: For all of it.

    Raises:
        PairingRefused: As its subclasses say.
        WaitTimedOut: If the user has not decided at the deadline.
        ClientError: As ``DaemonClient``.
    """
    started = _asked(wish, connect(None), deadline)
    on_code(started.user_code, datetime.fromisoformat(started.expires_at))
    client = connect(started.poll_secret)
    try:
        while client.pairing(started.id).state == "pending":
            if not deadline.wait(started.interval):
                raise WaitTimedOut(
                    f"You have not decided in time about the request with the code {started.user_code}. Start this"
                    " program again, and decide: upstash-helper approvals list"
                )
    except (KeyboardInterrupt, WaitTimedOut):
        # Nobody is there any more to take the token: the prompt goes, and the next run may ask at once.
        with contextlib.suppress(ClientError):
            client.withdraw_pairing(started.id)
        raise
    return client.fetch_token(started.id)  # which says why, if there is none


def _asked(wish: AskPairing, client: AppClient, deadline: Deadline) -> StartedPairing:
    while True:
        try:
            return client.ask_pairing(wish)
        except (PairingPending, TooManyPairings) as refusal:
            # Whoever set no time does not expect minutes of silence: the error says how long it would be.
            if refusal.retry_after is None or deadline.left is None or not deadline.wait(refusal.retry_after):
                raise
