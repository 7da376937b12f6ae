"""The result pages of a sign-in."""

from __future__ import annotations

import pytest

from upstash_helper.api.pages.outcome import outcome
from upstash_helper.broker.account.attempts import Pending, no_callback
from upstash_helper.broker.account.connection import ConnectionStatus
from upstash_helper.broker.models import Secret


@pytest.mark.parametrize("tls_hellos", [None, 0, 2])
def test_waiting_page_shows_the_paste_command_once(tls_hellos: int | None) -> None:
    """
    The page that waits for the sign-in has one instruction to paste the address, with a hint and without. Its command
    can be copied.
    """
    hint = None if tls_hellos is None else no_callback(tls_hellos)
    attempt = Pending(
        id="a", authorization_url="https://auth.example", expires_at=0.0, began=0.0, tls_before=0,
        state=Secret("s"), code_verifier=Secret("v"), hint=hint,
    )  # fmt: skip

    page = outcome(attempt, ConnectionStatus(state="disconnected"), (), page="p").response()

    assert page.text is not None
    assert 1 == page.text.count("upstash-helper connect --paste")
    assert "<code>upstash-helper connect --paste</code>" in page.text
