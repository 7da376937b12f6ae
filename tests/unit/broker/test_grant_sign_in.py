"""The open sign-in's end: what is stored, and what is revoked, with which client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contract.test_upstream_open_sign_in import CODE, GRANTED, VERIFIER, Issuer, an_issuer, form
from tests.support.faulty import Answer, answer
from upstash_helper.broker.account.credential_cache import CredentialCache
from upstash_helper.broker.account.grant_sign_in import GrantSignIn
from upstash_helper.broker.account.grants import Grants
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.broker.models import Credential
from upstash_helper.broker.ports import AuthorizationFailed, CredentialStore
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INFO = {"email": "ada@example.com", "team_id": "t-1", "read_only": True}


class LockedStore(MemoryStore):
    """A store that cannot be written."""

    async def save(self, credential: Credential) -> None:
        """Refuse it."""
        raise StoreLocked("The keyring is locked.")


class SigningIn:
    """The parts of the open sign-in, at an issuer under a script."""

    def __init__(self, issuer: Issuer, store: CredentialStore) -> None:
        self.issuer = issuer
        self.store = store
        self.background = Background()
        credentials = CredentialCache(store=store, clock=issuer.clock)
        self.grants = Grants(
            server=issuer.adapter,
            credentials=credentials,
            turn=asyncio.Lock(),
            background=self.background,
            clock=issuer.clock,
        )
        self.sign_in = GrantSignIn(
            server=issuer.adapter,
            credentials=credentials,
            grants=self.grants,
            background=self.background,
            clock=issuer.clock,
        )

    async def revoked(self) -> list[tuple[str, str]]:
        """Return the refresh tokens that were revoked, and the client of each."""
        await self.background.drain(20)
        requests = [request for request in self.issuer.server.requests if request.target == "/oauth/token/revoke"]
        return [(form(request)["token"], form(request)["client_id"]) for request in requests]


@pytest.fixture(name="signing_in")
async def _signing_in() -> AsyncIterator[SigningIn]:
    async with an_issuer() as issuer:
        yield SigningIn(issuer, MemoryStore())


async def test_grant_is_stored_as_upstash_describes_it(signing_in: SigningIn) -> None:
    """And nothing is revoked."""
    await signing_in.issuer.prepared()
    signing_in.issuer.play(answer(GRANTED), answer(INFO))

    signed_in = await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)
    credential = await signing_in.sign_in.finish(signed_in)

    assert credential == await signing_in.store.load()
    assert credential.grant is not None
    assert ("ada@example.com", "t-1", True) == (credential.email, credential.team_id, credential.is_read_only)
    assert ("rt-s3cret", "client-1", "live") == (
        credential.grant.refresh_token.reveal(),
        credential.grant.client_id,
        credential.grant.state,
    )
    assert [] == await signing_in.revoked()


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (answer({**INFO, "blocked": True}), "unauthorized"),
        (answer({}), "invalid_response"),
        (Answer(404), "invalid_response"),
        (Answer(403), "invalid_response"),
    ],
)
async def test_grant_of_an_unknown_account_is_revoked(signing_in: SigningIn, info: Answer, reason: str) -> None:
    """Nothing is stored, and nothing is left at Upstash."""
    await signing_in.issuer.prepared()
    signing_in.issuer.play(answer(GRANTED), info, Answer(200))

    with pytest.raises(AuthorizationFailed) as failed:
        await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)

    assert reason == failed.value.reason
    assert None is await signing_in.store.load()
    assert [("rt-s3cret", "client-1")] == await signing_in.revoked()


async def test_grant_that_cannot_be_stored_is_revoked() -> None:
    """The reason is the keyring's."""
    async with an_issuer() as issuer:
        signing_in = SigningIn(issuer, LockedStore())
        await issuer.prepared()
        issuer.play(answer(GRANTED), answer(INFO), Answer(200))
        signed_in = await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)

        with pytest.raises(AuthorizationFailed) as failed:
            await signing_in.sign_in.finish(signed_in)

        assert ("keyring_locked", True) == (failed.value.reason, "was ended" in failed.value.detail)
        assert [("rt-s3cret", "client-1")] == await signing_in.revoked()


async def test_grant_of_another_account_than_expected_is_revoked(signing_in: SigningIn) -> None:
    """As for an app's sign-in, which may not replace the account."""
    await signing_in.issuer.prepared()
    signing_in.issuer.play(answer(GRANTED), answer(INFO), Answer(200))
    signed_in = await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)

    with pytest.raises(AuthorizationFailed) as failed:
        await signing_in.sign_in.finish(signed_in, email="grace@example.com")

    assert "account_not_confirmed" == failed.value.reason
    assert [("rt-s3cret", "client-1")] == await signing_in.revoked()


async def test_grant_is_revoked_although_its_registration_was_lost_meanwhile(signing_in: SigningIn) -> None:
    """While the user was asked, another sign-in was told that the client is unknown."""
    await signing_in.issuer.prepared()
    signing_in.issuer.play(answer(GRANTED), answer(INFO), answer({"error": "invalid_client"}, 401), Answer(200))
    signed_in = await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)
    with pytest.raises(AuthorizationFailed):
        await signing_in.sign_in.exchange(code=CODE, code_verifier=VERIFIER)

    signing_in.sign_in.discard(signed_in)

    assert [("rt-s3cret", "client-1")] == await signing_in.revoked()
