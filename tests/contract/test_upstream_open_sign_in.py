"""The ``GrantServer`` port, against a server that fails in many ways."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import msgspec
import pytest
import trustme

from tests.contract.test_upstream_oauth import jwt
from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Faulty, Flood, Hang, Reset, Step, answer, faulty, unreadable_reason
from upstash_helper.broker.models import Grant, GrantInfo, Registration, Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.storage.registrations import MemoryRegistrations
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.open_sign_in import METADATA_LIFETIME, OpenSignIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.faulty import Request

CODE = Secret("c0de-s3cret")
VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-s3cret")
STATE = Secret("st4te-s3cret")
ACCESS = Secret("at-s3cret")
NAME = "upstash-helper (lovelace)"
GRANTED = {"access_token": "at-s3cret", "refresh_token": "rt-s3cret", "expires_in": 86_400, "token_type": "Bearer"}
INVALID_CLIENT = answer({"error": "invalid_client"}, 401)
BIDI = "\u202e"

UNREADABLE = [
    Answer(200, b"<!DOCTYPE html><title>Sign in</title>", {"Content-Type": "text/html"}),
    Answer(200, b""),
    Answer(200, b"[" * 60_000),
    Answer(200, b"\xff\xfe"),
    Answer(204),
    answer([]),
    answer(None),
    Answer(302, b"", {"Location": "http://evil.test/"}),
    Answer(307, b"", {"Location": "http://evil.test/"}),
    Answer(200, b" " * 10 * 1024 * 1024),
    Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    Bytes(b"220 smtp.example ESMTP\r\n\r\n"),
    Flood(b" " * 65536),
]
unreadable = pytest.mark.parametrize("step", UNREADABLE, ids=lambda step: str(step)[:60])


class Issuer:
    """The server under a script, and an adapter that uses it as the issuer and as the Developer API."""

    def __init__(self, server: Faulty, http: HttpClient, clock: FakeClock, *, path: str = "") -> None:
        self.server = server
        self.url = server.url + path
        self.clock = clock
        self.kept = MemoryRegistrations()
        self.adapter = OpenSignIn(
            http=http,
            issuer_url=self.url,
            api_url=server.url,
            redirect_uri="http://127.0.0.1:3000/callback",
            client_name=NAME,
            registrations=self.kept,
            clock=clock,
            refresh_seconds=0.5,
            metadata_seconds=1.5,
            register_seconds=1.5,
            revoke_seconds=1.5,
        )

    def metadata(self, **changes: Any) -> Answer:
        """Return the metadata with changes; None removes a field."""
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/oauth/authorize",
            "token_endpoint": f"{self.url}/oauth/token",
            "registration_endpoint": f"{self.url}/oauth/register",
            "revocation_endpoint": f"{self.url}/oauth/token/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        changed = {**document, **changes}
        return answer({name: value for name, value in changed.items() if value is not None})

    def play(self, *steps: Step) -> None:
        """Append to the script."""
        self.server.script.extend(steps)

    async def prepared(self) -> OpenSignIn:
        """Return the adapter, which knows its client ID."""
        await self.kept.save(Registration(issuer=self.url, client_id="client-1", client_name=NAME))
        self.play(self.metadata())
        await self.adapter.prepare()
        self.server.requests.clear()
        return self.adapter

    def grant(self, **changes: Any) -> Grant:
        """Return a grant of the issuer."""
        values = {"issuer": self.url, "client_id": "client-1", "client_name": NAME, **changes}
        return Grant(refresh_token=Secret("0ld-s3cret"), **values)


@pytest.fixture(name="issuer")
async def _issuer() -> AsyncIterator[Issuer]:
    async with an_issuer() as issuer:
        yield issuer


@asynccontextmanager
async def an_issuer(
    *, path: str = "", tls: ssl.SSLContext | None = None, trusted: ssl.SSLContext | None = None
) -> AsyncIterator[Issuer]:
    """Run an issuer, with very short retry delays; over TLS with the contexts of the server and of the client."""
    clock = FakeClock()
    http = HttpClient(clock=clock, retry_seconds=0.001, tls=lambda: trusted or ssl.create_default_context())
    async with faulty(tls=tls) as server:
        yield Issuer(server, http, clock, path=path)
        await http.close()


async def failure_of(work: Any) -> AuthorizationFailed:
    """Return the failure, which must have no secret."""
    with pytest.raises(AuthorizationFailed) as caught:
        await work
    assert "s3cret" not in f"{caught.value!r} {caught.value.detail}"
    return caught.value


def form(request: Request) -> dict[str, str]:
    """Return the fields of a request."""
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(request.body.decode()))


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "target"), [("", ""), ("/tenant", "/tenant")])
async def test_metadata_is_read_where_rfc_8414_says(path: str, target: str) -> None:
    """The well-known path is inserted before the issuer's own."""
    async with an_issuer(path=path) as issuer:
        await issuer.prepared()
        issuer.play(issuer.metadata())

        await issuer.adapter.reach(issuer.grant())

        assert [f"GET /.well-known/oauth-authorization-server{target}"] == issuer.server.sends


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://evil.test/token"},
        {"token_endpoint": "http://127.0.0.1.evil.test/token"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"token_endpoint": "//evil.test/token"},
        {"token_endpoint": "https://user@evil.test/token"},
        {"token_endpoint": "https://evil.test:99999999/token"},
        {"token_endpoint": "https://[::1/token"},
        {"token_endpoint": "https://evil.test/to ken\r\nX-Injected: 1"},
        {"token_endpoint": "https://evil.test/" + "x" * 3000},
        {"token_endpoint": 5},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "https:///authorize"},
        {"revocation_endpoint": "http://evil.test/revoke"},
        {"registration_endpoint": "http://evil.test/register"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": []},
    ],
    ids=str,
)
async def test_metadata_that_cannot_be_trusted_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    """Nothing is sent to the endpoints that it names."""
    issuer.play(issuer.metadata(**changes))

    failure = await failure_of(issuer.adapter.prepare())

    assert "invalid_response" == failure.reason
    assert 1 == len(issuer.server.requests)


@pytest.mark.parametrize("field", ["token_endpoint", "authorization_endpoint", "revocation_endpoint"])
async def test_metadata_over_tls_names_no_endpoint_without(field: str) -> None:
    """A program on this machine must not receive the codes and tokens of Upstash."""
    authority = trustme.CA()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    async with an_issuer(tls=context, trusted=trusting) as issuer:
        await issuer.kept.save(Registration(issuer=issuer.url, client_id="client-1", client_name=NAME))
        issuer.play(
            issuer.metadata(**{field: "http://127.0.0.1:3000/x"}),
            issuer.metadata(**{field: "http://localhost/x"}),
            issuer.metadata(**{field: "https://elsewhere.test/x"}),
        )

        failures = [await failure_of(issuer.adapter.prepare()) for _ in range(2)]
        await issuer.adapter.prepare()

    assert all("not an https URL" in failure.detail for failure in failures)


@unreadable
async def test_unreadable_metadata_is_a_failure(issuer: Issuer, step: Step) -> None:
    """HTML, a redirect, or ten megabytes are not read as metadata. A GET is repeated if its connection breaks."""
    issuer.play(step, step, step)

    failure = await failure_of(issuer.adapter.prepare())

    assert failure.reason in {"invalid_response", "network_error"}
    assert failure.detail


@pytest.mark.parametrize(("step", "reason"), [(Answer(500), "server_error"), (Reset(), "network_error")])
async def test_metadata_that_is_missing_is_a_failure(issuer: Issuer, step: Step, reason: str) -> None:
    """With the reason."""
    issuer.play(step, step, step)

    assert reason == (await failure_of(issuer.adapter.prepare())).reason


async def test_earlier_metadata_is_used_while_there_is_no_other(issuer: Issuer) -> None:
    """A server that has answered once is not forgotten because of a 500."""
    adapter = await issuer.prepared()
    issuer.clock.advance(METADATA_LIFETIME + 1)
    issuer.play(Answer(500), answer(GRANTED))

    tokens = await adapter.refresh(issuer.grant())

    assert ACCESS == tokens.access_token


async def test_grants_do_not_need_a_registration_endpoint(issuer: Issuer) -> None:
    """If Upstash accepts no new programs, those that are connected stay so."""
    issuer.play(issuer.metadata(registration_endpoint=None), answer(GRANTED))

    tokens = await issuer.adapter.refresh(issuer.grant())
    failure = await failure_of(issuer.adapter.prepare())

    assert ACCESS == tokens.access_token
    assert ("invalid_response", True) == (failure.reason, "API key" in failure.detail)


async def test_issuer_may_end_with_a_slash(issuer: Issuer) -> None:
    """The setting does not decide about it, and ``iss`` must be as in the metadata."""
    await issuer.kept.save(Registration(issuer=issuer.url, client_id="client-1", client_name=NAME))
    issuer.play(issuer.metadata(issuer=f"{issuer.url}/"))

    await issuer.adapter.prepare()

    found = [issuer.adapter.is_issuer(issuer.url + end) for end in ("/", "")]
    assert [True, False] == found


@pytest.mark.parametrize(("announced", "expected"), [(True, False), (False, True), (None, True)])
async def test_iss_may_be_missing_only_if_it_is_not_announced(
    issuer: Issuer, *, announced: bool | None, expected: bool
) -> None:
    """RFC 9207, section 2.4. Another one is always refused, in any spelling."""
    await issuer.kept.save(Registration(issuer=issuer.url, client_id="client-1", client_name=NAME))
    issuer.play(issuer.metadata(authorization_response_iss_parameter_supported=announced))
    await issuer.adapter.prepare()

    assert expected is issuer.adapter.is_issuer(None)
    assert issuer.adapter.is_issuer(issuer.url)
    others = ("", "https://evil.test", issuer.url.upper(), f"{issuer.url}/", f"{issuer.url}.evil.test")
    assert not any(map(issuer.adapter.is_issuer, others))


# --- registration -----------------------------------------------------------------------------------------------------


async def test_client_registers_once(issuer: Issuer) -> None:
    """As a public client with a loopback redirect without a port. The registration is kept."""
    issuer.play(issuer.metadata(), answer({"client_id": "new-1", "client_name": NAME}, 201))

    await issuer.adapter.prepare()
    await issuer.adapter.prepare()

    (request,) = issuer.server.requests[1:]
    assert {
        "client_name": NAME,
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "openid email offline_access",
    } == json.loads(request.body)
    expected = Registration(issuer=issuer.url, client_id="new-1", client_name=NAME)
    assert expected == issuer.adapter.registration == await issuer.kept.load(issuer.url)


@unreadable
async def test_unreadable_registration_is_a_failure(issuer: Issuer, step: Step) -> None:
    """It is requested once, since each request that the server receives makes another client; nothing is kept."""
    issuer.play(issuer.metadata(), step)

    failure = await failure_of(issuer.adapter.prepare())

    assert failure.reason in {"invalid_response", "network_error"}
    assert 2 == len(issuer.server.requests)
    assert None is await issuer.kept.load(issuer.url)


@pytest.mark.parametrize(
    "client_id", [None, 5, "", "a\r\nb", f"a{BIDI}b", "x" * 2000], ids=lambda value: str(value)[:9]
)
async def test_unusable_client_id_is_a_failure(issuer: Issuer, client_id: object) -> None:
    """One that is too long would not fit into the keyring with the grant."""
    issuer.play(issuer.metadata(), answer({"client_id": client_id}, 201))

    failure = await failure_of(issuer.adapter.prepare())

    assert "invalid_response" == failure.reason
    assert None is issuer.adapter.registration


@pytest.mark.parametrize(
    "name", [None, 5, "", "x" * 5000, f"helper{BIDI}", "a\x1b[2Jb", "a\nb"], ids=lambda value: repr(value)[:12]
)
async def test_unusable_name_is_replaced_by_our_own(issuer: Issuer, name: object) -> None:
    """It is stored with the grant, and shown on pages and terminals."""
    issuer.play(issuer.metadata(), answer({"client_id": "new-1", "client_name": name}, 201))

    await issuer.adapter.prepare()

    assert Registration(issuer=issuer.url, client_id="new-1", client_name=NAME) == issuer.adapter.registration


@pytest.mark.parametrize(
    ("client_id", "name"), [("", NAME), ("a\nb", NAME), ("x" * 2000, NAME), ("old", "x" * 2000), ("old", f"a{BIDI}")]
)
async def test_unusable_registration_that_was_kept_is_replaced(issuer: Issuer, client_id: str, name: str) -> None:
    """As after another program has written the file."""
    await issuer.kept.save(Registration(issuer=issuer.url, client_id=client_id, client_name=name))
    issuer.play(issuer.metadata(), answer({"client_id": "new-1"}, 201))

    await issuer.adapter.prepare()

    assert issuer.adapter.registration is not None
    assert "new-1" == issuer.adapter.registration.client_id


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answer({"error": "invalid_client_metadata", "error_description": "no"}, 400), "invalid_response"),
        (Answer(429), "rate_limited"),
        (Answer(500), "server_error"),
        (Hang(), "timeout"),
    ],
    ids=str,
)
async def test_refused_registration_has_a_reason(issuer: Issuer, step: Step, reason: str) -> None:
    """And a later sign-in tries again."""
    issuer.play(issuer.metadata(), step)

    failure = await failure_of(issuer.adapter.prepare())
    issuer.play(answer({"client_id": "new-1"}, 201))
    await issuer.adapter.prepare()

    assert reason == failure.reason
    assert issuer.adapter.registration is not None


async def test_client_that_the_server_forgot_is_registered_again(issuer: Issuer) -> None:
    """The server then shows an error to the user and sends no redirect, so the next sign-in asks it."""
    adapter = await issuer.prepared()
    adapter.authorization_url(state=STATE, code_verifier=VERIFIER)
    issuer.play(INVALID_CLIENT, answer({"client_id": "new-1"}, 201))

    await adapter.prepare()

    assert ["POST /oauth/token", "POST /oauth/register"] == issuer.server.sends
    assert "client-1" == form(issuer.server.requests[0])["client_id"]
    kept = await issuer.kept.load(issuer.url)
    assert kept is not None
    assert "new-1" == kept.client_id
    assert kept == adapter.registration


@pytest.mark.parametrize(
    "step", [answer({"error": "invalid_grant"}, 400), Answer(401), Answer(500), Reset(), answer(GRANTED)], ids=str
)
async def test_client_is_kept_unless_the_server_says_otherwise(issuer: Issuer, step: Step) -> None:
    """The user has closed the window, or the server cannot be reached."""
    adapter = await issuer.prepared()
    adapter.authorization_url(state=STATE, code_verifier=VERIFIER)
    issuer.play(*[step] * 3)

    await adapter.prepare()

    assert adapter.registration is not None
    assert "client-1" == adapter.registration.client_id


async def test_client_is_not_asked_about_after_a_redirect(issuer: Issuer) -> None:
    """Only an authorization request without any answer leaves a doubt."""
    adapter = await issuer.prepared()
    adapter.authorization_url(state=STATE, code_verifier=VERIFIER)
    adapter.is_issuer(issuer.url)

    await adapter.prepare()

    assert [] == issuer.server.sends


# --- the authorization request ----------------------------------------------------------------------------------------


async def test_authorization_url_is_complete(issuer: Issuer) -> None:
    """PKCE, a state, and the redirect's exact URI. The verifier is not in it."""
    adapter = await issuer.prepared()

    url = adapter.authorization_url(state=STATE, code_verifier=VERIFIER)

    digest = hashlib.sha256(VERIFIER.reveal().encode()).digest()
    assert f"{issuer.url}/oauth/authorize" == url.partition("?")[0]
    assert {
        "response_type": ["code"],
        "client_id": ["client-1"],
        "redirect_uri": ["http://127.0.0.1:3000/callback"],
        "scope": ["openid email offline_access"],
        "state": [STATE.reveal()],
        "code_challenge": [base64.urlsafe_b64encode(digest).decode().rstrip("=")],
        "code_challenge_method": ["S256"],
    } == parse_qs(urlsplit(url).query)


# --- exchange and refresh ---------------------------------------------------------------------------------------------


async def test_code_is_exchanged_for_tokens(issuer: Issuer) -> None:
    """With the verifier, and without a client secret."""
    adapter = await issuer.prepared()
    issuer.play(answer(GRANTED))

    tokens = await adapter.exchange(code=CODE, code_verifier=VERIFIER)

    assert TokenSet(access_token=ACCESS, refresh_token=Secret("rt-s3cret"), expires_in=86_400.0) == tokens
    assert {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "code": CODE.reveal(),
        "code_verifier": VERIFIER.reveal(),
        "redirect_uri": "http://127.0.0.1:3000/callback",
    } == form(issuer.server.requests[0])


async def test_refresh_token_is_exchanged(issuer: Issuer) -> None:
    """For the client that the grant was issued to, whichever is registered now."""
    adapter = await issuer.prepared()
    issuer.play(answer(GRANTED))

    tokens = await adapter.refresh(issuer.grant(client_id="earlier"))

    assert Secret("rt-s3cret") == tokens.refresh_token
    assert {"grant_type": "refresh_token", "client_id": "earlier", "refresh_token": "0ld-s3cret"} == form(
        issuer.server.requests[0]
    )


async def test_refresh_token_is_never_sent_to_another_issuer(issuer: Issuer) -> None:
    """Nor to be revoked. The failure names both."""
    adapter = await issuer.prepared()
    grant = issuer.grant(issuer="https://clerk.upstash.com")

    failures = [await failure_of(adapter.refresh(grant)), await failure_of(adapter.reach(grant))]
    await adapter.revoke_grant(grant)

    assert ["issuer_mismatch"] * 2 == [failure.reason for failure in failures]
    assert "https://clerk.upstash.com" in failures[0].detail
    assert issuer.url in failures[0].detail
    assert [] == issuer.server.sends


both = pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda issuer: issuer.adapter.exchange(code=CODE, code_verifier=VERIFIER), id="exchange"),
        pytest.param(lambda issuer: issuer.adapter.refresh(issuer.grant()), id="refresh"),
    ],
)


@both
@pytest.mark.parametrize(
    "lifetime",
    [None, 0, -5, "soon", "NaN", "Infinity", "9" * 400, True, [], {"a": 1}],
    ids=lambda value: str(value)[:9],
)
async def test_strange_lifetime_costs_no_token(issuer: Issuer, call: Callable[[Issuer], Any], lifetime: object) -> None:
    """At a refresh, the old token is used up: without the answer, the grant is lost."""
    await issuer.prepared()
    issuer.play(answer({**GRANTED, "expires_in": lifetime, "expires_at": lifetime}))

    tokens = await call(issuer)

    assert (ACCESS, Secret("rt-s3cret"), None) == (tokens.access_token, tokens.refresh_token, tokens.expires_in)


@both
@unreadable
async def test_unreadable_tokens_are_a_failure(issuer: Issuer, call: Callable[[Issuer], Any], step: Step) -> None:
    """After one request."""
    await issuer.prepared()
    issuer.play(step, answer(GRANTED))

    failure = await failure_of(call(issuer))

    assert unreadable_reason(step) == failure.reason
    assert 1 == len(issuer.server.requests)
    assert issuer.adapter.registration is not None


@both
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answer({"error": "invalid_grant", "error_description": "no"}, 400), "invalid_grant"),
        (answer({"error": "invalid_grant"}, 200), "invalid_grant"),
        (answer({"error": "invalid_grant"}, 502), "server_error"),
        (answer({"error": "invalid_client"}, 502), "server_error"),
        (answer({"error": "unauthorized_client"}, 400), "invalid_response"),
        (answer({"error": "access_denied"}, 401), "invalid_response"),
        (Answer(401), "invalid_response"),
        (Answer(401, b"<html>Proxy</html>", {"Content-Type": "text/html"}), "invalid_response"),
        (Answer(429), "rate_limited"),
        (Answer(503), "server_error"),
        (answer({**GRANTED, "access_token": "a\r\nX-Injected: 1"}), "invalid_response"),
        (answer({**GRANTED, "token_type": "mac"}), "invalid_response"),
        (answer({**GRANTED, "access_token": None}), "invalid_response"),
    ],
    ids=str,
)
async def test_refused_tokens_have_a_reason(
    issuer: Issuer, call: Callable[[Issuer], Any], step: Step, reason: str
) -> None:
    """Only the server's word ends the grant or the registration: no gateway's, and no 5xx."""
    await issuer.prepared()
    issuer.play(step, answer(GRANTED))

    failure = await failure_of(call(issuer))

    assert reason == failure.reason
    assert "client_id" not in failure.detail  # that setting is the partner sign-in's
    assert 1 == len(issuer.server.requests)
    assert None is not await issuer.kept.load(issuer.url)


@both
async def test_message_that_quotes_what_was_sent_is_cleaned(issuer: Issuer, call: Callable[[Issuer], Any]) -> None:
    """The server repeats the whole request, as some do in a debug mode."""
    await issuer.prepared()
    issuer.play(answer({"error": "invalid_grant"}, 400))
    await failure_of(call(issuer))
    sent = [text for text in form(issuer.server.requests[0]).values() if "s3cret" in text]
    issuer.play(answer({"error": "invalid_grant", "error_description": f"bad: {' '.join(sent)}"}, 400))

    failure = await failure_of(call(issuer))

    assert "bad: …" in failure.detail


@both
async def test_lost_registration_is_forgotten(issuer: Issuer, call: Callable[[Issuer], Any]) -> None:
    """And the next sign-in registers again. Until then, a redirect fails with the same reason."""
    await issuer.prepared()
    issuer.play(INVALID_CLIENT)

    failure = await failure_of(call(issuer))
    late = await failure_of(issuer.adapter.exchange(code=CODE, code_verifier=VERIFIER))
    issuer.play(answer({"client_id": "new-1"}, 201))
    await issuer.adapter.prepare()

    assert ["registration_lost"] * 2 == [failure.reason, late.reason]
    assert issuer.adapter.registration is not None
    assert "new-1" == issuer.adapter.registration.client_id


async def test_grant_of_an_earlier_client_costs_no_registration(issuer: Issuer) -> None:
    """The one in use now is another."""
    adapter = await issuer.prepared()
    issuer.play(INVALID_CLIENT)

    failure = await failure_of(adapter.refresh(issuer.grant(client_id="earlier")))

    assert "registration_lost" == failure.reason
    assert adapter.registration is not None
    assert None is not await issuer.kept.load(issuer.url)


@pytest.mark.parametrize(("step", "reason"), [(Reset(), "network_error"), (Hang(), "timeout"), (Answer(500), "")])
async def test_refresh_token_is_sent_only_once(issuer: Issuer, step: Step, reason: str) -> None:
    """A second use would end the login, if the server has seen the first."""
    adapter = await issuer.prepared()
    issuer.play(step, answer(GRANTED))

    failure = await failure_of(adapter.refresh(issuer.grant()))

    assert (reason or "server_error") == failure.reason
    assert 1 == len(issuer.server.requests)


@pytest.mark.parametrize("step", [Reset(), Hang()])
async def test_server_is_reached_before_a_refresh(issuer: Issuer, step: Step) -> None:
    """Without a network, the token is not sent, although earlier metadata is known."""
    adapter = await issuer.prepared()
    issuer.play(step, step, step)

    failure = await failure_of(adapter.reach(issuer.grant()))

    assert failure.reason in {"network_error", "timeout"}
    assert {"GET /.well-known/oauth-authorization-server"} == set(issuer.server.sends)


async def test_sign_in_without_a_refresh_token_is_a_failure(issuer: Issuer) -> None:
    """The same as with one that no header or form could carry."""
    adapter = await issuer.prepared()
    for refresh_token in (None, "", 5, "a\nb", "x" * 20_000):
        issuer.play(answer({**GRANTED, "refresh_token": refresh_token}))

        failure = await failure_of(adapter.exchange(code=CODE, code_verifier=VERIFIER))

        assert "invalid_response" == failure.reason


# --- whose tokens they are --------------------------------------------------------------------------------------------


async def test_developer_api_says_whose_the_token_is(issuer: Issuer) -> None:
    """By the access token."""
    issuer.play(
        answer({"email": "ada@example.com", "team_id": "t-1", "team_role": "dev", "read_only": True, "more": [1]})
    )

    info = await issuer.adapter.info_of(ACCESS)

    assert GrantInfo(email="ada@example.com", team_id="t-1", team_role="dev", read_only=True) == info
    (request,) = issuer.server.requests
    assert "GET /v2/account/oauth/token-info" == issuer.server.sends[0]
    assert "Bearer at-s3cret" == request.headers["authorization"]


@pytest.mark.parametrize("absent", [None, ""])
async def test_personal_account_has_no_team(issuer: Issuer, absent: str | None) -> None:
    """However the absence is written."""
    issuer.play(answer({"email": "ada@example.com", "team_id": absent, "team_role": absent, "read_only": None}))

    assert GrantInfo(email="ada@example.com") == await issuer.adapter.info_of(ACCESS)


@pytest.mark.parametrize(
    "team_id",
    [5, ["t-1"], "<b>t</b>", f"t{BIDI}1", "t 1", "t\x1b[2J", "t" * 500, "t\u200b1"],
    ids=lambda v: repr(v)[:12],
)
async def test_team_that_cannot_be_shown_is_a_failure(issuer: Issuer, team_id: object) -> None:
    """It is part of titles on pages, in the tray, and on terminals. The personal account would be the wrong one."""
    issuer.play(answer({"email": "ada@example.com", "team_id": team_id}))

    assert "invalid_response" == (await failure_of(issuer.adapter.info_of(ACCESS))).reason


@pytest.mark.parametrize("role", [5, "<b>", f"owner{BIDI}", "x" * 500], ids=lambda value: repr(value)[:9])
async def test_role_that_cannot_be_shown_is_left_out(issuer: Issuer, role: object) -> None:
    """Nothing depends on it."""
    issuer.play(answer({"email": "ada@example.com", "team_id": "t-1", "team_role": role}))

    assert GrantInfo(email="ada@example.com", team_id="t-1") == await issuer.adapter.info_of(ACCESS)


@pytest.mark.parametrize(
    "email", [None, 5, "", "ada", "a:b@example.com", f"ada{BIDI}@example.com", "ada\x9b2J@example.com", "a\u200bb@c.de"]
)
async def test_email_address_that_cannot_be_shown_is_none(issuer: Issuer, email: object) -> None:
    """The tokens may name another."""
    issuer.play(answer({"email": email, "read_only": True}))

    assert GrantInfo(email=None, read_only=True) == await issuer.adapter.info_of(ACCESS)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        *[(step, unreadable_reason(step)) for step in UNREADABLE if not isinstance(step, Bytes | Flood)],
        (answer({"email": "ada@example.com", "read_only": "no"}), "invalid_response"),
        (answer({"error": "Unauthorized at-s3cret"}, 401), "invalid_response"),
        (answer({"error": "Forbidden"}, 403), "invalid_response"),
        (Answer(429), "rate_limited"),
        (Answer(500), "server_error"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_missing_information_is_a_failure(issuer: Issuer, step: Step, reason: str) -> None:
    """Access is never guessed."""
    issuer.play(*[step] * 3)

    assert reason == (await failure_of(issuer.adapter.info_of(ACCESS))).reason


async def test_email_address_is_in_the_token_without_that_endpoint(issuer: Issuer) -> None:
    """If Upstash takes the endpoint away."""
    issuer.play(Answer(404), Answer(404))

    known = await issuer.adapter.info_of(jwt({"email": "ada@example.com"}))
    unknown = await issuer.adapter.info_of(ACCESS)

    assert ("ada@example.com", None) == (known.email, unknown.email)


async def test_email_addresses_of_the_tokens_have_an_order(issuer: Issuer) -> None:
    """The ID token's first, each once."""
    tokens = TokenSet(access_token=jwt({"email": "b@example.com"}), id_token=jwt({"email": "a@example.com"}))

    assert ("a@example.com", "b@example.com") == await issuer.adapter.email_of(tokens)


# --- revoking ---------------------------------------------------------------------------------------------------------


async def test_grant_is_revoked(issuer: Issuer) -> None:
    """With its own client, as RFC 7009 says."""
    adapter = await issuer.prepared()
    issuer.play(Answer(200), Answer(200))

    await adapter.revoke_grant(issuer.grant(client_id="earlier"))
    await adapter.revoke(TokenSet(access_token=ACCESS, refresh_token=Secret("rt-s3cret")))

    assert ["POST /oauth/token/revoke"] * 2 == issuer.server.sends
    first, second = map(form, issuer.server.requests)
    assert {"token": "0ld-s3cret", "token_type_hint": "refresh_token", "client_id": "earlier"} == first
    assert ("rt-s3cret", "client-1") == (second["token"], second["client_id"])


@pytest.mark.parametrize("step", [Answer(500), Answer(302, b"", {"Location": "http://evil.test/"}), Reset(), Hang()])
async def test_revoking_never_fails(issuer: Issuer, step: Step) -> None:
    """It is best effort, and ends in time."""
    adapter = await issuer.prepared()
    issuer.play(*[step] * 3)

    await adapter.revoke_grant(issuer.grant())

    assert {"POST /oauth/token/revoke"} == set(issuer.server.sends)


async def test_nothing_is_revoked_without_an_endpoint(issuer: Issuer) -> None:
    """Nor guessed where it might be."""
    issuer.play(issuer.metadata(revocation_endpoint=None))

    await issuer.adapter.revoke_grant(issuer.grant())

    assert 1 == len(issuer.server.requests)


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_secret_is_logged_or_shown(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """At the finest level, with all that can go wrong."""
    caplog.set_level(logging.DEBUG)
    adapter = await issuer.prepared()
    issuer.play(answer(GRANTED), answer({"email": "ada@example.com"}), Reset(), Answer(500), Answer(200))

    tokens = await adapter.exchange(code=CODE, code_verifier=VERIFIER)
    await adapter.info_of(tokens.access_token)
    grant = msgspec.structs.replace(issuer.grant(), refresh_token=Secret("rt-s3cret"))
    for _ in range(2):
        await failure_of(adapter.refresh(grant))
    await adapter.revoke_grant(grant)
    await asyncio.sleep(0)

    assert 5 <= len(issuer.server.requests)
    assert "s3cret" not in caplog.text + repr((tokens, grant, adapter.registration))
