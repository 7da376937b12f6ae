"""The guard's decisions: each row is a request and the decision about it."""

from __future__ import annotations

import base64
from itertools import product
from typing import Any, Final

import msgspec
import pytest

from upstash_helper.api.guard.policy import Allowed, Denied, RequestFacts, ServerAddress, decide, may_read
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server.routes import Policy
from upstash_helper.broker.identity import OWNER, Caller, Identity

ADDRESS = ServerAddress(port=3000)
PAGE_ORIGIN = "https://app.example"
LOCAL_ORIGIN = "http://localhost:5173"
EXTENSION_ORIGIN = "chrome-extension://" + "a" * 32
UNAPPROVED_ORIGIN = "https://unapproved.example"
OWN_ORIGIN = "http://localhost:3000"

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


def test_owner_token_is_accepted() -> None:
    """A request that complies with all rules reaches its handler with its caller."""
    decision = decided()

    assert Allowed(OWNER) == decision


@pytest.mark.parametrize("host", ["localhost:3000", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000"])
def test_t02_own_hosts_are_accepted(host: str) -> None:
    """The daemon accepts exactly the names of its loopback addresses, in any case."""
    assert Allowed(OWNER) == decided(hosts=(host,))


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost", "localhost:3001", "localhost.:3000", "localhost.evil.com:3000", "foo.localhost:3000",
        "127.0.0.2:3000", "0.0.0.0:3000", "[::]:3000", "host.docker.internal:3000", "localhost:3000@evil.com",
        "localhost:3000, evil.com", "localhost:3000.", "2130706433:3000", "ⅼocalhost:3000", "evil.example:3000",
        " localhost:3000", "localhost:03000", "[::1%lo]:3000", "ſocalhost:3000", "LOCALHOſT:3000",
    ],
)  # fmt: skip
def test_t02_other_hosts_are_denied(host: str) -> None:
    """Any other Host is the name of another site that resolves to our address."""
    assert (421, "host_not_allowed") == code(hosts=(host,))


def test_t01_denial_names_the_sent_and_the_allowed_hosts() -> None:
    """With a proxy in between, the response shows which host arrived and which ones are allowed."""
    decision = decided(hosts=("evil.example:3000",))

    assert isinstance(decision, Denied)
    assert "evil.example:3000" in decision.detail
    assert all(host in decision.detail for host in ADDRESS.hosts)


def test_t02_request_without_host_is_denied() -> None:
    """HTTP/1.0 allows a request without Host; the daemon does not."""
    assert (421, "host_not_allowed") == code(hosts=())


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


def test_t10_two_origins_are_denied() -> None:
    """With two Origin headers, it would depend on the reader which one counts."""
    assert (400, "invalid_origin") == code(origins=("https://a.example", "https://b.example"))


@pytest.mark.parametrize("policy", [READ, WRITE, OPEN, PAGE, LANDING, PAIRING, REQUEST_ACCESS, READABLE, None])
def test_t09_null_origin_is_denied_everywhere(policy: Policy | None) -> None:
    """Sandboxed frames send ``null``, which does not identify a site."""
    assert (403, "origin_not_allowed") == code(origins=("null",), policy=policy)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "garbage"])
@pytest.mark.parametrize("dest", ["image", "script", "iframe", "object", "empty"])
@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, LANDING, PAIRING, REQUEST_ACCESS, READABLE, None])
def test_t15_t16_subresource_requests_of_other_sites_are_denied(site: str, dest: str, policy: Policy | None) -> None:
    """An image, script, or frame of another site, or of another port of localhost, is denied everywhere."""
    assert (403, "cross_site_request") == code(
        fetch_site=site, fetch_mode="no-cors", fetch_dest=dest, policy=policy, authorizations=()
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


def test_t05_missing_token_gets_a_challenge() -> None:
    """The 401 has the challenge that RFC 6750 requires, and a link to request access."""
    decision = decided(authorizations=())

    assert isinstance(decision, Denied)
    assert (401, "token_required") == (decision.status, decision.code)
    assert ("WWW-Authenticate", 'Bearer realm="upstash-helper"') in decision.headers
    assert ("Link", '</v1/pairings>; rel="pair"') in decision.headers
    assert (("pair", "/v1/pairings"),) == decision.links


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


def test_t06_token_in_the_query_is_ignored() -> None:
    """URLs end up in logs and histories, so they cannot contain a token."""
    assert (401, "token_required") == code(target="/v1/databases?token=owner-token", authorizations=())


def test_two_authorization_headers_count_as_none() -> None:
    """With two Authorization headers, it would depend on the reader which one counts."""
    assert (401, "token_required") == code(authorizations=("Bearer owner-token", "Bearer owner-token"))


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:5173", "http://localhost:3000"])
def test_t08_owner_token_from_a_page_is_a_mismatch(origin: str) -> None:
    """The owner's token is for programs. With an Origin it has leaked."""
    assert (403, "origin_mismatch") == code(origins=(origin,))


@pytest.mark.parametrize("origin", [UNAPPROVED_ORIGIN, "http://localhost:8080", "http://localhost:3000.evil.com"])
def test_unapproved_origin_without_a_token_is_denied(origin: str) -> None:
    """A page without access is denied for its origin, before anything about tokens is disclosed."""
    assert (403, "origin_not_allowed") == code(origins=(origin,), authorizations=())


def test_t55_any_page_may_request_open_routes() -> None:
    """It gets a constant, and cannot even read that without CORS headers."""
    decision = decided(
        policy=OPEN, origins=("https://app.example",), fetch_site="cross-site", fetch_mode="cors", authorizations=()
    )

    assert Allowed(None) == decision


def test_t17_unknown_method_gets_the_allowed_ones() -> None:
    """The 405 lists the allowed methods."""
    decision = decided(method="TRACE", policy=None, allowed_methods=("POST", "GET"))

    assert isinstance(decision, Denied)
    assert (405, ("Allow", "GET, POST")) == (decision.status, decision.headers[0])


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

# Fetch Metadata as browsers send it; "absent" is a program, or an old browser.
FETCH: Final[dict[str, dict[str, str]]] = {
    "absent": {},
    "none": {"fetch_site": "none", "fetch_mode": "cors", "fetch_dest": "empty"},
    "same-origin": {"fetch_site": "same-origin", "fetch_mode": "cors", "fetch_dest": "empty"},
    "cross-site fetch": {"fetch_site": "cross-site", "fetch_mode": "cors", "fetch_dest": "empty"},
    "same-site fetch": {"fetch_site": "same-site", "fetch_mode": "cors", "fetch_dest": "empty"},
    "cross-site image": {"fetch_site": "cross-site", "fetch_mode": "no-cors", "fetch_dest": "image"},
    "same-site image": {"fetch_site": "same-site", "fetch_mode": "no-cors", "fetch_dest": "image"},
    "navigation": {"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "document"},
}
ORIGINS: Final = {
    "no origin": (),
    "its own": ("(its own)",),
    "an approved one": ("(another approved one)",),
    "an unapproved one": (UNAPPROVED_ORIGIN,),
    "own_page": (OWN_ORIGIN,),
}

# The origins from which each token is accepted. All other combinations are a mismatch.
ACCEPTED: Final = {
    ("owner", "no origin"),
    ("native", "no origin"),
    ("extension", "no origin"),
    ("extension", "its own"),
    ("web", "its own"),
    ("local", "its own"),
}


def origins_of(who: str, where: str) -> tuple[str, ...]:
    identity = CALLERS[who].identity
    own = (identity.origin if identity else None) or UNAPPROVED_ORIGIN
    other = LOCAL_ORIGIN if own == PAGE_ORIGIN else PAGE_ORIGIN
    return tuple(origin.replace("(its own)", own).replace("(another approved one)", other) for origin in ORIGINS[where])


def possible(who: str, where: str, _: str) -> bool:
    """Return whether the combination exists: programs have no origin of their own."""
    return where != "its own" or origins_of(who, where) != (UNAPPROVED_ORIGIN,)


def expected_of(who: str, where: str, fetch: str) -> str:
    if fetch.endswith("image") or fetch == "navigation":
        return "cross_site_request"
    if where == "no origin" and fetch.endswith("fetch"):
        return "cross_site_request"
    if where == "no origin" and fetch == "same-origin":
        return "origin_mismatch"  # one of our own pages sent it, and none of these tokens is bound to one
    return who if (who, where) in ACCEPTED else "origin_mismatch"


@pytest.mark.parametrize(("who", "where", "fetch"), [row for row in product(CALLERS, ORIGINS, FETCH) if possible(*row)])
def test_t07_t08_token_is_only_valid_where_it_is_bound_to(who: str, where: str, fetch: str) -> None:
    """
    A page's token is valid in that page, an extension's in that extension, and a program's and the owner's outside
    of pages. Anywhere else it has been stolen, and subresource requests of other sites are always denied.
    """
    decision = decided(authorizations=(f"Bearer {who}-token",), origins=origins_of(who, where), **FETCH[fetch])

    assert expected_of(who, where, fetch) == outcome(decision)


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


@pytest.mark.parametrize(("who", "policy"), [*product(APPS, [ANY_SCOPE, READABLE])])
def test_route_without_scope_accepts_any_token(who: str, policy: Policy) -> None:
    """Every app can find out what its token grants."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    assert who == outcome(decided(authorizations=(f"Bearer {who}-token",), origins=origins, policy=policy))


@pytest.mark.parametrize("who", [*APPS])
def test_owner_routes_deny_app_tokens(who: str) -> None:
    """No app can manage apps, whatever scopes it has."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    assert "owner_only" == outcome(decided(authorizations=(f"Bearer {who}-token",), origins=origins, policy=OWNER_ONLY))


def test_owner_routes_accept_the_owner_token() -> None:
    """Approving apps is for the user's own tools."""
    assert "owner" == outcome(decided(policy=OWNER_ONLY))


@pytest.mark.parametrize("policy", [READ, WRITE, DELETE, ANY_SCOPE, READABLE])
def test_owner_has_every_scope(policy: Policy) -> None:
    """The owner's scopes do not depend on a list that could be incomplete."""
    assert "owner" == outcome(decided(policy=policy, content_types=("application/json",)))


@pytest.mark.parametrize("origin", [PAGE_ORIGIN, LOCAL_ORIGIN, EXTENSION_ORIGIN])
@pytest.mark.parametrize(("sent", "expected"), [((), "token_required"), (("Bearer gone",), "invalid_token")])
def test_t13_approved_page_learns_that_its_token_is_invalid(origin: str, sent: tuple[str, ...], expected: str) -> None:
    """Unlike other pages, it learns that its token is missing or invalid."""
    assert (401, expected) == code(origins=(origin,), authorizations=sent)


@pytest.mark.parametrize("origin", [UNAPPROVED_ORIGIN, "https://app.example:8443", "http://evil.localhost"])
def test_revoked_page_learns_it_at_one_address(origin: str) -> None:
    """On other routes its origin is denied like any unapproved one."""
    elsewhere = code(origins=(origin,), authorizations=("Bearer gone",))
    there = code(origins=(origin,), authorizations=("Bearer gone",), policy=READABLE)

    assert [(403, "origin_not_allowed"), (401, "invalid_token")] == [elsewhere, there]


# --- another user of the machine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [READ, OWNER_ONLY, OPEN, PAGE, LANDING, PAIRING, PASS_THROUGH, None])
def test_t50_other_user_is_denied_everywhere(policy: Policy | None) -> None:
    """Another user is denied even with a valid token, and before anything about routes is disclosed."""
    decision = decided(other_user=True, policy=policy)

    assert isinstance(decision, Denied)
    assert (403, "wrong_user", True) == (decision.status, decision.code, decision.close)


def test_t50_token_sent_by_another_user_is_not_a_misuse_by_its_app() -> None:
    """The app is not revoked for a request that was denied because of its user."""
    decision = decided(other_user=True, authorizations=("Bearer web-token",))

    assert isinstance(decision, Denied)
    assert decision.misused is None


# --- requesting access ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "origins", "fetch", "expected"),
    [
        ("POST", (), "absent", "no caller"),
        ("POST", (UNAPPROVED_ORIGIN,), "cross-site fetch", "no caller"),
        ("POST", (LOCAL_ORIGIN,), "same-site fetch", "no caller"),
        ("POST", (EXTENSION_ORIGIN,), "none", "no caller"),
        ("GET", (), "none", "no caller"),  # an extension's GET has no Origin; the handler checks the poll secret
        ("GET", (UNAPPROVED_ORIGIN,), "cross-site fetch", "no caller"),
        ("POST", (), "none", "cross_site_request"),  # a browser that withholds the origin
        ("POST", (), "same-origin", "cross_site_request"),
        ("POST", (), "cross-site image", "cross_site_request"),
        (
            "POST",
            (UNAPPROVED_ORIGIN,),
            "cross-site image",
            "cross_site_request",
        ),  # a form
        ("POST", (UNAPPROVED_ORIGIN,), "navigation", "cross_site_request"),
        ("GET", (), "cross-site image", "cross_site_request"),
        ("POST", ("null",), "cross-site fetch", "origin_not_allowed"),
        ("POST", (OWN_ORIGIN,), "same-origin", "origin_not_allowed"),
        ("POST", ("http://192.168.1.2",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("http://example.com",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("file://",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("https://USER@app.example",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("",), "absent", "origin_not_allowed"),
    ],
)
def test_t09_which_senders_may_request_access(method: str, origins: tuple[str, ...], fetch: str, expected: str) -> None:
    """
    A page with a verifiable name, an extension, or a program of this user may request access. A page that hides its
    origin may not.
    """
    decision = decided(
        method=method, origins=origins, authorizations=(), policy=REQUEST_ACCESS if method == "POST" else PAIRING,
        content_types=("application/json",) if method == "POST" else (), **FETCH[fetch],
    )  # fmt: skip

    assert expected == outcome(decision)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_t14_access_requests_must_be_json(kind: str | None) -> None:
    """A form post, which needs no preflight, cannot request access."""
    kinds = () if kind is None else (kind,)

    assert (415, "unsupported_media_type") == code(
        method="POST", policy=REQUEST_ACCESS, authorizations=(), content_types=kinds, has_body=True
    )


# --- preflights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "policy", "expected"),
    [
        (PAGE_ORIGIN, READ, "no caller"),
        (PAGE_ORIGIN, OWNER_ONLY, "no caller"),
        (LOCAL_ORIGIN, DELETE, "no caller"),
        (EXTENSION_ORIGIN, PASS_THROUGH, "no caller"),
        (UNAPPROVED_ORIGIN, REQUEST_ACCESS, "no caller"),
        (UNAPPROVED_ORIGIN, READABLE, "no caller"),
        (UNAPPROVED_ORIGIN, READ, "origin_not_allowed"),
        (UNAPPROVED_ORIGIN, OPEN, "origin_not_allowed"),
        (UNAPPROVED_ORIGIN, PAGE, "origin_not_allowed"),
        (UNAPPROVED_ORIGIN, LANDING, "origin_not_allowed"),
        (UNAPPROVED_ORIGIN, PASS_THROUGH, "origin_not_allowed"),
        ("https://app.example:8443", READ, "origin_not_allowed"),
        ("http://example.com", REQUEST_ACCESS, "origin_not_allowed"),
        (OWN_ORIGIN, READ, "origin_not_allowed"),
        (OWN_ORIGIN, REQUEST_ACCESS, "origin_not_allowed"),
        ("null", REQUEST_ACCESS, "origin_not_allowed"),
        (PAGE_ORIGIN, None, "not_found"),
    ],
)
def test_t11_t12_which_preflights_are_allowed(origin: str, policy: Policy | None, expected: str) -> None:
    """
    Preflights are allowed for approved origins, and for others on the routes that they need for requesting access.
    """
    decision = decided(
        method="OPTIONS", preflight=True, origins=(origin,), authorizations=(), policy=policy,
        **FETCH["cross-site fetch"],
    )  # fmt: skip

    assert expected == outcome(decision)


def test_preflight_ignores_tokens() -> None:
    """A token in a preflight is ignored, so that it cannot be used to test tokens."""
    decision = decided(method="OPTIONS", preflight=True, origins=(PAGE_ORIGIN,), authorizations=("Bearer web-token",))

    assert Allowed(None) == decision


# --- which responses a page may read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origins", "policy", "expected"),
    [
        ((PAGE_ORIGIN,), READ, True),
        ((PAGE_ORIGIN,), OWNER_ONLY, True),
        ((PAGE_ORIGIN,), OPEN, True),
        ((PAGE_ORIGIN,), None, True),
        ((UNAPPROVED_ORIGIN,), PAIRING, True),
        ((UNAPPROVED_ORIGIN,), READABLE, True),
        ((UNAPPROVED_ORIGIN,), READ, False),
        ((UNAPPROVED_ORIGIN,), OPEN, False),
        ((UNAPPROVED_ORIGIN,), OWNER_ONLY, False),
        ((UNAPPROVED_ORIGIN,), None, False),
        ((), PAIRING, False),
        (("null",), PAIRING, False),
        (("http://example.com",), PAIRING, False),
        ((OWN_ORIGIN,), PAIRING, False),
        ((PAGE_ORIGIN, PAGE_ORIGIN), READ, False),
        (("*",), PAIRING, False),
        (("",), PAIRING, False),
    ],
)
def test_t13_t55_pages_that_may_read_a_response(
    origins: tuple[str, ...],
    policy: Policy | None,
    expected: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    """
    Approved origins may read all responses; others may read what they need for requesting access, and for learning
    that it was revoked.
    """
    facts = msgspec.structs.replace(REQUEST, origins=origins, policy=policy)

    assert expected is may_read(facts, ADDRESS, CALLERS_WITH_ACCESS)


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


def test_pass_through_accepts_any_content_type() -> None:
    """Upstash decides which types it accepts. Requiring a token header already rules out simple cross-site requests."""
    decision = decided(
        method="POST", authorizations=("Bearer native-token",), policy=PASS_THROUGH, content_types=("text/plain",),
        has_body=True,
    )  # fmt: skip

    assert "native" == outcome(decision)
