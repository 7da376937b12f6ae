"""A refresh whose keyring does not answer in time, and then writes nevertheless."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.contract.test_upstream_open_sign_in import CODE, GRANTED, VERIFIER, an_issuer
from tests.support.failing_keyring import NAME, FailingKeyring
from tests.support.faulty import answer
from tests.unit.broker.test_grant_sign_in import INFO, SigningIn
from upstash_helper.broker.account.grants import PAUSE_SECONDS
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.broker.models import Credential
from upstash_helper.storage.credentials.keyring_store import KeyringStore

DAY = 86_400


class HangingStore(KeyringStore):
    """A keyring that hangs at the next save of a grant in a certain state."""

    hangs_at = ""

    async def save(self, credential: Credential) -> None:
        """Hang at most once."""
        if credential.grant is not None and credential.grant.state == self.hangs_at:
            self.hangs_at = ""
            FailingKeyring.go_on.clear()
        await super().save(credential)


@pytest.fixture(autouse=True)
def _an_empty_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NAME)
    FailingKeyring.reset()


async def late_call_ended() -> None:
    """Release the call that hangs, and wait until it has ended."""
    FailingKeyring.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            await asyncio.to_thread(thread.join, 20)


@pytest.mark.parametrize(("hangs_at", "sent"), [("refreshing", 0), ("live", 1)])
async def test_late_write_costs_no_grant(hangs_at: str, sent: int) -> None:
    """The mark that is written late is undone, and a new token is stored at the next call; it is sent once."""
    async with an_issuer() as issuer:
        store = HangingStore("upstash-helper", "default", deadline=0.5, trusted={NAME: "failing keyring"})
        parts = SigningIn(issuer, store)
        await issuer.prepared()
        issuer.play(answer(GRANTED), answer(INFO))
        signed_in = await parts.sign_in.exchange(code=CODE, code_verifier=VERIFIER)
        credential = await parts.sign_in.finish(signed_in)
        issuer.server.requests.clear()
        issuer.clock.advance(DAY)
        renewed = answer({**GRANTED, "access_token": "new", "refresh_token": "new-rt"})
        issuer.play(*[issuer.metadata(), renewed] if sent else [issuer.metadata(), issuer.metadata(), renewed])
        store.hangs_at = hangs_at

        with pytest.raises(StoreLocked):
            await parts.grants.authorize(credential)
        before = issuer.server.sends.count("POST /oauth/token")
        await late_call_ended()
        issuer.clock.advance(PAUSE_SECONDS)
        authorized = await parts.grants.authorize(credential)

        kept = await store.load()
        assert sent == before
        assert 1 == issuer.server.sends.count("POST /oauth/token")
        assert authorized.access_token is not None
        assert "new" == authorized.access_token.reveal()
        assert kept is not None
        assert kept.grant is not None
        assert ("new-rt", "live") == (kept.grant.refresh_token.reveal(), kept.grant.state)
        assert None is parts.grants.ended(kept)
