"""The upstream ports together, against the sandbox: a complete Upstash with real databases."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from redis.asyncio import Redis

from tests.support.sandbox import Sandbox
from upstash_helper.broker import models
from upstash_helper.broker.errors import DatabaseNotFound, ReconnectRequired, UpstreamRejected
from upstash_helper.broker.models import Change, Credential, Database, DatabaseSecrets, NewDatabase, Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.system.clock import SystemClock
from upstash_helper.upstream.api_keys import ApiKeyIssuer
from upstash_helper.upstream.developer_api import DeveloperApi
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.oauth import OAuth

PASSWORD = "correct horse battery staple"
VERIFIER = Secret(secrets.token_urlsafe(48))


@dataclass(frozen=True)
class Account:
    """The adapters, and an account for one test."""

    email: str
    sandbox: Sandbox
    server: OAuth
    keys: ApiKeyIssuer
    api: DeveloperApi

    async def code(self) -> Secret:
        """Sign up or in, like a user in a browser, and return the authorization code."""
        url = self.server.authorization_url(state=Secret("st4te"), code_verifier=VERIFIER)
        redirect = parse_qs(urlsplit(await self.sandbox.authorize(url, self.email, PASSWORD)).query)
        assert ["st4te"] == redirect["state"]
        return Secret(redirect["code"][0])

    async def tokens(self) -> TokenSet:
        """Return the tokens of a sign-in."""
        return await self.server.exchange(code=await self.code(), code_verifier=VERIFIER)

    async def credential(self) -> Credential:
        """Return a credential as after a sign-in."""
        tokens = await self.tokens()
        issued = await self.keys.issue(access_token=tokens.access_token, name="UPSTASH_HELPER_API_KEY_1")
        return Credential(email=self.email, api_key=issued.api_key, method="oauth", since=0.0)


@pytest.fixture
async def account(sandbox: Sandbox) -> AsyncIterator[Account]:
    """A new account."""
    http = HttpClient(clock=SystemClock())
    yield Account(
        email=f"ada-{secrets.token_hex(4)}@example.com",
        sandbox=sandbox,
        server=OAuth(
            http=http,
            auth_url=sandbox.auth_url,
            client_id=sandbox.client_id,
            redirect_uri=sandbox.ready.redirect_uris[0],
        ),
        keys=ApiKeyIssuer(http=http, api_url=sandbox.api_url),
        api=DeveloperApi(http=http, api_url=sandbox.api_url, rest_url=sandbox.rest_url),
    )
    await http.close()


async def ping(database: Database, keys: DatabaseSecrets) -> bool:
    """Return whether the database accepts its password; raise the client's error otherwise."""
    async with Redis(host=database.host, port=database.port, password=keys.password.reveal()) as redis:
        return bool(await redis.ping())


async def test_sign_in_returns_tokens_email_and_key(account: Account) -> None:
    """
    The flow works from the authorization request to an API key that the Developer API accepts.
    """
    tokens = await account.tokens()

    emails = await account.server.email_of(tokens)
    issued = await account.keys.issue(access_token=tokens.access_token, name="UPSTASH_HELPER_API_KEY_1")
    credential = Credential(email=emails[0], api_key=issued.api_key, method="oauth", since=0.0)

    assert (account.email,) == emails
    assert tokens.refresh_token is not None
    assert () == await account.api.list(credential)


async def test_code_can_be_exchanged_once(account: Account) -> None:
    """
    A code that was redeemed is rejected with a reason.
    """
    code = await account.code()
    await account.server.exchange(code=code, code_verifier=VERIFIER)

    with pytest.raises(AuthorizationFailed) as caught:
        await account.server.exchange(code=code, code_verifier=VERIFIER)

    assert "invalid_grant" == caught.value.reason


async def test_code_requires_its_verifier(account: Account) -> None:
    """
    PKCE: the code alone cannot be redeemed.
    """
    code = await account.code()

    with pytest.raises(AuthorizationFailed) as caught:
        await account.server.exchange(code=code, code_verifier=Secret("x" * 64))

    assert "invalid_grant" == caught.value.reason


async def test_revoked_tokens_cannot_create_a_key(account: Account) -> None:
    """
    Revoked tokens are useless.
    """
    tokens = await account.tokens()

    await account.server.revoke(tokens)

    with pytest.raises(AuthorizationFailed) as caught:
        await account.keys.issue(access_token=tokens.access_token, name="UPSTASH_HELPER_API_KEY_1")
    assert "api_key_refused" == caught.value.reason


async def test_taken_key_name_is_rejected(account: Account) -> None:
    """
    Key names are unique in an account.
    """
    tokens = await account.tokens()
    await account.keys.issue(access_token=tokens.access_token, name="TWICE")

    with pytest.raises(AuthorizationFailed) as caught:
        await account.keys.issue(access_token=tokens.access_token, name="TWICE")

    assert "api_key_refused" == caught.value.reason


async def test_key_limit_has_its_own_reason(account: Account) -> None:
    """
    An account that has reached its limit of keys is told apart from other errors.
    """
    tokens = await account.tokens()
    for number in range(37):
        await account.sandbox.api_key(account.email, f"KEY_{number}")

    with pytest.raises(AuthorizationFailed) as caught:
        await account.keys.issue(access_token=tokens.access_token, name="ONE_MORE")

    assert "api_key_limit" == caught.value.reason


async def test_database_lifecycle(account: Account) -> None:
    """
    A Redis client confirms what the adapter reports about a database.
    """
    credential = await account.credential()

    made = await account.api.create(credential, NewDatabase(name="cache", primary_region="us-east-1", eviction=True))
    got, keys = await account.api.get(credential, made.id)
    listed = await account.api.list(credential)
    alive = await ping(got, keys)
    await account.api.delete(credential, made.id)

    assert ("cache", "us-east-1", True) == (made.name, made.primary_region, made.eviction)
    assert made == got
    assert (made,) == listed
    assert alive
    assert () == await account.api.list(credential)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (models.Rename("other"), {"name": "other"}),
        (models.SetEviction(True), {"eviction": True}),
        (models.SetAutoUpgrade(True), {"auto_upgrade": True}),
        (models.SetDailyBackup(True), {"daily_backup": True}),
        (models.SetReadRegions(("us-west-1",)), {"read_regions": ("us-west-1",)}),
        (models.SetBudget(20), {"budget": 20}),
        (models.EnableTls(), {"tls": True}),
    ],
    ids=str,
)
async def test_each_change_takes_effect(account: Account, change: Change, expected: dict[str, object]) -> None:
    """
    A change is there when the database is fetched again.
    """
    credential = await account.credential()
    made = await account.api.create(credential, NewDatabase(name="cache", primary_region="us-east-1", plan="payg"))

    await account.api.change(credential, made.id, change)

    database, _ = await account.api.get(credential, made.id)
    fields = msgspec.structs.asdict(database)
    await account.api.delete(credential, made.id)
    assert expected == {name: fields[name] for name in expected}


@pytest.mark.parametrize(
    ("on", "off", "field"),
    [
        (models.SetEviction(True), models.SetEviction(False), "eviction"),
        (models.SetAutoUpgrade(True), models.SetAutoUpgrade(False), "auto_upgrade"),
        (models.SetDailyBackup(True), models.SetDailyBackup(False), "daily_backup"),
    ],
    ids=str,
)
async def test_switches_can_be_turned_off(account: Account, on: Change, off: Change, field: str) -> None:
    """
    A switch works in both directions.
    """
    credential = await account.credential()
    made = await account.api.create(credential, NewDatabase(name="cache", primary_region="us-east-1", plan="payg"))

    await account.api.change(credential, made.id, on)
    await account.api.change(credential, made.id, off)

    database, _ = await account.api.get(credential, made.id)
    await account.api.delete(credential, made.id)
    assert getattr(database, field) is False


async def test_plan_change_takes_effect(account: Account) -> None:
    """
    A database that was moved to another plan is on that plan.
    """
    credential = await account.credential()
    made = await account.api.create(credential, NewDatabase(name="cache", primary_region="us-east-1", plan="free"))

    await account.api.change(credential, made.id, models.SetPlan("payg"))

    database, _ = await account.api.get(credential, made.id)
    await account.api.delete(credential, made.id)
    assert made.plan != database.plan


async def test_password_reset_replaces_all_secrets(account: Account) -> None:
    """
    After a reset all credentials of the database are new.
    """
    credential = await account.credential()
    made = await account.api.create(credential, NewDatabase(name="cache", primary_region="us-east-1"))
    _, before = await account.api.get(credential, made.id)

    await account.api.change(credential, made.id, models.ResetPassword())

    database, after = await account.api.get(credential, made.id)
    alive = await ping(database, after)
    await account.api.delete(credential, made.id)
    assert alive
    assert before.password != after.password
    assert before.rest_token != after.rest_token


async def test_deleted_key_requires_reconnecting(account: Account) -> None:
    """
    If the user deletes the key in the console, calls ask to connect again.
    """
    credential = await account.credential()

    await account.sandbox.revoke_api_key(account.email, "UPSTASH_HELPER_API_KEY_1")

    with pytest.raises(ReconnectRequired):
        await account.api.list(credential)


@pytest.mark.parametrize("database_id", ["96ad0856-03b1-4ee7-9666-e81abd0349e1", "nothing"])
async def test_missing_database_is_not_found(account: Account, database_id: str) -> None:
    """
    All calls with the id of a deleted database fail in the same way.
    """
    credential = await account.credential()

    for call in (
        account.api.get(credential, database_id),
        account.api.change(credential, database_id, models.EnableTls()),
        account.api.delete(credential, database_id),
    ):
        with pytest.raises(DatabaseNotFound):
            await call


async def test_unknown_region_is_rejected_with_a_reason(account: Account) -> None:
    """
    The user reads why Upstash did not create the database.
    """
    credential = await account.credential()

    with pytest.raises(UpstreamRejected, match="Upstash says: "):
        await account.api.create(credential, NewDatabase(name="cache", primary_region="mars-north-1"))
