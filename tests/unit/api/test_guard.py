"""
The guard's rules, for values that the matrix of senders and routes (``tests/security/test_matrix.py``) does not have.

Who may call which route is tested there only.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec
import pytest

from upstash_helper.api.guard.policy import Allowed, Denied, RequestFacts, ServerAddress, decide, may_read
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server.routes import Policy
from upstash_helper.broker.identity import OWNER, Caller, Identity

PAGES_HOST = "0123456789abcdef.upstash-helper.localhost:3000"
ADDRESS = ServerAddress(port=3000, pages_name="0123456789abcdef.upstash-helper.localhost")
PAGE_ORIGIN = "https://app.example"
LOCAL_ORIGIN = "http://localhost:5173"
EXTENSION_ORIGIN = "chrome-extension://" + "a" * 32
UNAPPROVED_ORIGIN = "https://unapproved.example"
OWN_ORIGIN = f"http://{PAGES_HOST}"
SHARED_ORIGIN = "http://localhost:3000"

READ = Policy("token", "databases:read")
WRITE = Policy("token", "databases:write", "json", audit="x")
DELETE = Policy("token", "databases:delete", audit="x")
ANY_SCOPE = Policy("token")
READABLE = Policy("token", readable=True)
OWNER_ONLY = Policy("owner")
PAIRING = Policy("pairing")
REQUEST_ACCESS = Policy("pairing", body="json")
PASS_THROUGH = Policy("token", "upstash:read", "any", basic=True)
LANDING = Policy("landing")
OPEN = Policy("open")
PAGE = Policy("page")


def app(name: str, identity: Identity) -> Caller:
    return Caller(kind="app", id=name, name=name, identity=identity, scopes=("databases:read", "upstash:read"))


APPS: Final = {
    "web": app("web", Identity(kind="web", name=PAGE_ORIGIN)),
    "local": app("local", Identity(kind="web", name=LOCAL_ORIGIN)),
    "extension": app("extension", Identity(kind="extension", name=EXTENSION_ORIGIN)),
    "native": app("native", Identity(kind="native", name="/usr/bin/app", pid=1)),
}
CALLERS: Final = {"owner": OWNER, **APPS}


class FakeCallers:
    """The callers, without a ledger."""

    def find(self, token: bytes) -> Caller | None:
        return CALLERS.get(token.decode("utf-8", "replace").removesuffix("-token"))

    def approved(self, origin: str) -> bool:
        return any(one.identity is not None and one.identity.origin == origin for one in APPS.values())


CALLERS_WITH_ACCESS = FakeCallers()

REQUEST = RequestFacts(
    method="GET", target="/v1/databases", hosts=("localhost:3000",), origins=(),
    authorizations=("Bearer owner-token",), policy=READ,
)  # fmt: skip


def decided(**changes: Any) -> Allowed | Denied:
    return decide(msgspec.structs.replace(REQUEST, **changes), ADDRESS, CALLERS_WITH_ACCESS)


def code(**changes: Any) -> tuple[int, str]:
    decision = decided(**changes)
    assert isinstance(decision, Denied)
    return decision.status, decision.code


def outcome(decision: Allowed | Denied) -> str:
    """Return the caller that a decision allows, or the code of the denial."""
    if isinstance(decision, Denied):
        return decision.code
    return "no caller" if decision.caller is None else decision.caller.id


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost", "localhost:3001", "localhost.:3000", "localhost.evil.com:3000", "foo.localhost:3000",
        "127.0.0.2:3000", "0.0.0.0:3000", "[::]:3000", "host.docker.internal:3000", "localhost:3000@evil.com",
        "localhost:3000, evil.com", "localhost:3000.", "2130706433:3000", "ⅼocalhost:3000", "evil.example:3000",
        " localhost:3000", "localhost:03000", "[::1%lo]:3000", "ſocalhost:3000", "LOCALHOſT:3000",
        "fedcba9876543210.upstash-helper.localhost:3000", "x.0123456789abcdef.upstash-helper.localhost:3000",
        "0123456789abcdef.upstash-helper.localhost", "0123456789abcdef.upstash-helper.localhost:3001",
        "0123456789abcdef.upstash-helper.localhost.:3000", "upstash-helper.localhost:3001",
    ],
)  # fmt: skip
def test_t02_other_hosts_are_denied(host: str) -> None:
    """Any other Host is the name of another site that resolves to our address."""
    assert (421, "host_not_allowed") == code(hosts=(host,))


def test_t03_two_hosts_are_denied() -> None:
    """With two Host headers, it would depend on the reader which one counts."""
    assert (400, "invalid_host") == code(hosts=("localhost:3000", "evil.com"))


@pytest.mark.parametrize(
    "target",
    ["http://localhost:3000/v1/databases", "http://evil.com/v1/databases", "*", "localhost:3000", "", "v1/databases"],
)
def test_t04_only_the_origin_form_is_accepted(target: str) -> None:
    """A target that contains a host is denied, whatever Host is."""
    assert (400, "invalid_target") == code(target=target)


@pytest.mark.parametrize(
    "target",
    [
        "/..%2f..%2fetc/passwd", "/v1/%2e%2e/x", "//v1//databases", "/v1/../x", "/v1/./x", "/v1/a%00b", "/v1/a%0d%0ab",
        "/" + "a" * 4096, "/v1/%5c..%5cx", "/v1/databases#x", "/?code=a#b", "/v1/%FF", "/v1/é",
    ],
)  # fmt: skip
def test_t23_suspicious_paths_are_denied(target: str) -> None:
    """Valid paths have no dot segments, empty segments, encoded slashes, or control characters."""
    assert (400, "invalid_target") == code(target=target)


@pytest.mark.parametrize("target", ["/", "/v1/databases", "/v1/databases/", "/?code=a%2fb&state=..%2f", "/v1/a%20b"])
def test_t23_ordinary_paths_are_accepted(target: str) -> None:
    """The query may contain anything, because it is not part of the path."""
    assert isinstance(decided(target=target), Allowed)


@pytest.mark.parametrize("site", ["same-site", "garbage", ""])
@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, LANDING, PAIRING, REQUEST_ACCESS, READABLE, None])
def test_t16_subresource_requests_of_other_ports_are_denied(site: str, policy: Policy | None) -> None:
    """An image of another port of localhost is denied everywhere, and so is an unknown value of Sec-Fetch-Site."""
    assert (403, "cross_site_request") == code(
        fetch_site=site, fetch_mode="no-cors", fetch_dest="image", policy=policy, authorizations=()
    )


def test_cross_site_navigation_to_the_root_is_allowed() -> None:
    """The authorization server's redirect is such a navigation."""
    decision = decided(policy=LANDING, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="document")

    assert isinstance(decision, Allowed)


@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, None])
def test_cross_site_navigation_elsewhere_is_denied(policy: Policy | None) -> None:
    """A link on a foreign page cannot open other addresses of the daemon."""
    assert (403, "cross_site_request") == code(
        policy=policy, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="document"
    )


def test_cross_site_frame_of_the_root_is_denied() -> None:
    """In a frame, a foreign page would surround ours."""
    assert (403, "cross_site_request") == code(
        policy=LANDING, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="iframe"
    )


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Prefetch"])
def test_t31_prefetching_is_denied(purpose: str) -> None:
    """A browser that prefetches the redirect would use up the code before the user arrives."""
    assert (403, "prefetch_not_allowed") == code(policy=LANDING, purpose=purpose)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong", "Bearer owner-tokenX", "Bearer owner-tokeX", "owner-token", "", "Bearer", "Bearer ",
        "Bearer öwner-token", "Bearer \udcff\udcfe",
        "Bearer " + "x" * 8192, "Basic b3duZXItdG9rZW4=", "Bearer owner token",
    ],
)  # fmt: skip
def test_t06_invalid_token_is_denied(authorization: str) -> None:
    """Whatever is wrong with the token, the response is 401."""
    decision = decided(authorizations=(authorization,))

    assert isinstance(decision, Denied)
    assert 401 == decision.status


def test_unknown_path_is_not_found() -> None:
    """The 404 comes before any check of tokens, since there is nothing to protect."""
    assert (404, "not_found") == code(policy=None, authorizations=())


@pytest.mark.parametrize(
    "kinds",
    [
        ("text/plain",), ("application/x-www-form-urlencoded",), ("multipart/form-data; boundary=x",), (), ("",),
        ("application/json", "text/plain"), ("application/jsonp",), ("text/json",),
    ],
)  # fmt: skip
def test_t14_only_json_is_accepted(kinds: tuple[str, ...]) -> None:
    """The types that a form can send are never accepted as JSON."""
    assert (415, "unsupported_media_type") == code(method="POST", policy=WRITE, content_types=kinds, has_body=True)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_content_type_is_case_insensitive_and_may_have_parameters(kind: str) -> None:
    """The media type is accepted in any case, and with parameters."""
    assert isinstance(decided(method="POST", policy=WRITE, content_types=(kind,), has_body=True), Allowed)


def test_t14_unexpected_body_is_denied() -> None:
    """A form that is posted to a route without a body is denied as well."""
    assert (415, "unsupported_media_type") == code(
        method="POST", policy=READ, content_types=("text/plain",), has_body=True
    )


def test_bearer_scheme_is_case_insensitive() -> None:
    """RFC 9110, section 11.1: the scheme is case-insensitive."""
    assert b"abc" == token_of(("bEaReR abc",))


def test_default_port_may_be_omitted_in_host() -> None:
    """On port 80 clients send Host without a port."""
    assert "localhost" in ServerAddress(port=80).hosts
    assert "localhost" not in ServerAddress(port=3000).hosts


# --- apps: which token, from where ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.evil.com", "https://app.example:8443", "http://app.example", "https://APP.example",
     "https://app.example/", "https://app.example.", "https://xapp.example", "https://app.example:443", "", " "],
)  # fmt: skip
def test_t07_origin_is_compared_exactly(origin: str) -> None:
    """An origin with the same prefix, the same suffix, or an equivalent spelling is not the origin of the token."""
    decision = decided(authorizations=("Bearer web-token",), origins=(origin,))

    assert isinstance(decision, Denied)
    assert (403, "origin_mismatch", "web") == (
        decision.status, decision.code, decision.misused.id if decision.misused else None
    )  # fmt: skip


@pytest.mark.parametrize("who", [*APPS])
def test_t29_missing_scope_is_named(who: str) -> None:
    """RFC 6750, section 3.1: 403 with the scope in the challenge. The token itself is valid and not misused."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    decision = decided(authorizations=(f"Bearer {who}-token",), origins=origins, method="DELETE", policy=DELETE)

    assert isinstance(decision, Denied)
    assert (403, "insufficient_scope", None) == (decision.status, decision.code, decision.misused)
    assert any('scope="databases:delete"' in text for _, text in decision.headers)


# --- another user of the machine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [READ, OWNER_ONLY, OPEN, PAGE, LANDING, PAIRING, PASS_THROUGH, None])
def test_t50_other_user_is_denied_everywhere(policy: Policy | None) -> None:
    """Another user is denied even with a valid token, and before anything about routes is disclosed."""
    decisions = [
        decided(other_user=True, policy=policy),
        decided(other_user=True, policy=policy, hosts=("evil.example",)),
    ]

    for decision in decisions:
        assert isinstance(decision, Denied)
        assert (403, "wrong_user", True) == (decision.status, decision.code, decision.close)


def test_t50_token_sent_by_another_user_is_not_a_misuse_by_its_app() -> None:
    """The app is not revoked for a request that was denied because of its user."""
    decision = decided(other_user=True, authorizations=("Bearer web-token",))

    assert isinstance(decision, Denied)
    assert decision.misused is None


# --- requesting access ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["http://192.168.1.2", "http://example.com", "file://", "https://USER@app.example", "https://APP.example", ""],
)
def test_t09_unsupported_origin_cannot_request_access(origin: str) -> None:
    """A page without a verifiable name cannot request access."""
    assert (403, "origin_not_allowed") == code(
        method="POST", origins=(origin,), authorizations=(), policy=REQUEST_ACCESS, content_types=("application/json",)
    )


@pytest.mark.parametrize(
    "origin",
    [
        *(f"http://{host}" for host in ADDRESS.hosts), "http://app.localhost:3000", "http://a.b.localhost:3000",
        "https://localhost:3000", "https://127.0.0.1:3000", "https://[::1]:3000", "https://app.localhost:3000",
        "https://localhost.:3000", "https://a_b.localhost:3000",
    ],
)  # fmt: skip
def test_t57_page_left_at_the_port_cannot_request_access(origin: str) -> None:
    """The daemon has the port, so an earlier program has left the page, whatever name of this computer it has."""
    asked = {
        "method": "POST", "authorizations": (), "policy": REQUEST_ACCESS, "content_types": ("application/json",),
    }  # fmt: skip
    elsewhere = origin.replace(":3000", ":3001")

    assert (403, "origin_not_allowed") == code(**asked, origins=(origin,))
    assert not may_read(
        msgspec.structs.replace(REQUEST, origins=(origin,), policy=PAIRING), ADDRESS, CALLERS_WITH_ACCESS
    )
    if "upstash-helper" not in origin:
        assert "no caller" == outcome(decided(**asked, origins=(elsewhere,)))


@pytest.mark.parametrize("port", [80, 443])
def test_t57_default_port_is_recognized(port: int) -> None:
    """Browsers leave it out."""
    address, scheme = ServerAddress(port=port), "http" if port == 80 else "https"

    assert address.is_here(f"{scheme}://localhost")
    assert not address.is_here(f"{scheme}://localhost:3000")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_t14_access_requests_must_be_json(kind: str | None) -> None:
    """A form post, which needs no preflight, cannot request access."""
    kinds = () if kind is None else (kind,)

    assert (415, "unsupported_media_type") == code(
        method="POST", policy=REQUEST_ACCESS, authorizations=(), content_types=kinds, has_body=True
    )


# --- preflights -------------------------------------------------------------------------------------------------------


def test_t11_preflight_of_an_unsupported_origin_is_denied() -> None:
    """It is denied even on the routes for requesting access, which other origins may use."""
    assert (403, "origin_not_allowed") == code(
        method="OPTIONS", preflight=True, origins=("http://example.com",), authorizations=(), policy=REQUEST_ACCESS
    )


# --- which responses a page may read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origins", [("http://example.com",), ("*",), ("",), (PAGE_ORIGIN, PAGE_ORIGIN), (PAGE_ORIGIN, UNAPPROVED_ORIGIN)]
)
@pytest.mark.parametrize("policy", [READ, PAIRING, READABLE, None])
def test_t13_unsupported_or_ambiguous_origin_may_read_nothing(origins: tuple[str, ...], policy: Policy | None) -> None:
    """Neither a value that names no site, nor two values, allow a page to read a response."""
    facts = msgspec.structs.replace(REQUEST, origins=origins, policy=policy)

    assert not may_read(facts, ADDRESS, CALLERS_WITH_ACCESS)


# --- HTTP Basic -------------------------------------------------------------------------------------------------------


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize("user", [b"", b"ada@example.com", "\N{SNOWMAN}".encode(), b"native-token"])
def test_basic_password_is_the_token(user: bytes) -> None:
    """An existing Upstash client needs a new URL and a new password. Its user name does not matter."""
    decision = decided(authorizations=(basic(user + b":native-token"),), policy=PASS_THROUGH)

    assert "native" == outcome(decision)


@pytest.mark.parametrize(
    "authorization",
    [
        basic(b"native-token"), basic(b"native-token:"), basic(b":"), basic(b""), "Basic ", "Basic !!!!",
        "Basic bmF0aXZl", basic(b"a:native-token:"), basic(b"a:b:native-token"), "Basic bmF0aXZl\udcff",
        "Digest x", "Basic " + "A" * 8000,
    ],
)  # fmt: skip
def test_t06_invalid_basic_password_is_denied(authorization: str) -> None:
    """The response is 401, not an error."""
    decision = decided(authorizations=(authorization,), policy=PASS_THROUGH)

    assert isinstance(decision, Denied)
    assert 401 == decision.status


def test_basic_is_only_accepted_for_the_pass_through() -> None:
    """Browsers send Basic credentials automatically, so it is only accepted where existing clients need it."""
    assert (401, "token_required") == code(authorizations=(basic(b"x:native-token"),), policy=READ)


@pytest.mark.parametrize(("who", "expected"), [("web", "origin_mismatch"), ("owner", "owner"), ("native", "native")])
def test_basic_token_is_bound_like_a_bearer_token(who: str, expected: str) -> None:
    """The authentication scheme does not change where a token is valid."""
    assert expected == outcome(decided(authorizations=(basic(f"x:{who}-token".encode()),), policy=PASS_THROUGH))
