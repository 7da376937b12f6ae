"""The gate, as a table: one row, one request, one decision."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from upstash_helper.api.guard import Allow, Caller, Deny, Facts, Policy, Surface, bearer, decide

SURFACE = Surface(port=3000)
OWNER = Caller("owner", "owner")
GOOD = b"good-token"

READ = Policy("token", "databases:read")
WRITE = Policy("token", "databases:write", "json")
LANDING = Policy("landing")
OPEN = Policy("open")
PAGE = Policy("page")

REQUEST = Facts(
    method="GET", target="/v1/databases", hosts=("localhost:3000",), origins=(),
    authorizations=("Bearer good-token",), policy=READ,
)  # fmt: skip


def find(token: bytes) -> Caller | None:
    return OWNER if token == GOOD else None


def decided(**changes: Any) -> Allow | Deny:
    return decide(msgspec.structs.replace(REQUEST, **changes), SURFACE, find)


def code(**changes: Any) -> tuple[int, str]:
    decision = decided(**changes)
    assert isinstance(decision, Deny)
    return decision.status, decision.code


def test_the_owner_with_its_token_is_let_in() -> None:
    """A request that breaks no rule reaches its handler with its caller named."""
    decision = decided()

    assert Allow(OWNER) == decision


@pytest.mark.parametrize("host", ["localhost:3000", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000"])
def test_t02_our_own_hosts_are_taken(host: str) -> None:
    """The daemon answers to exactly the names of its own loopback addresses, in any case."""
    assert Allow(OWNER) == decided(hosts=(host,))


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost", "localhost:3001", "localhost.:3000", "localhost.evil.com:3000", "foo.localhost:3000",
        "127.0.0.2:3000", "0.0.0.0:3000", "[::]:3000", "host.docker.internal:3000", "localhost:3000@evil.com",
        "localhost:3000, evil.com", "localhost:3000.", "2130706433:3000", "ⅼocalhost:3000", "evil.example:3000",
        " localhost:3000", "localhost:03000", "[::1%lo]:3000", "ſocalhost:3000", "LOCALHOſT:3000",
    ],
)  # fmt: skip
def test_t02_any_other_host_is_turned_away(host: str) -> None:
    """Whatever else Host says is another site's name for our address, and gets nothing."""
    assert (421, "host_not_allowed") == code(hosts=(host,))


def test_t01_the_refusal_names_both_sides() -> None:
    """Somebody behind a proxy reads in the answer which host arrived and which are taken."""
    decision = decided(hosts=("evil.example:3000",))

    assert isinstance(decision, Deny)
    assert "evil.example:3000" in decision.detail
    assert all(host in decision.detail for host in SURFACE.hosts)


def test_t02_a_request_without_host_is_turned_away() -> None:
    """HTTP/1.0 allows a request without Host; we do not."""
    assert (421, "host_not_allowed") == code(hosts=())


def test_t03_two_hosts_are_no_host() -> None:
    """Two Host headers would leave the choice to whoever reads them."""
    assert (400, "invalid_host") == code(hosts=("localhost:3000", "evil.com"))


@pytest.mark.parametrize(
    "target",
    ["http://localhost:3000/v1/databases", "http://evil.com/v1/databases", "*", "localhost:3000", "", "v1/databases"],
)
def test_t04_only_the_origin_form_is_taken(target: str) -> None:
    """A target with a host of its own is refused, whatever Host says."""
    assert (400, "invalid_target") == code(target=target)


@pytest.mark.parametrize(
    "target",
    [
        "/..%2f..%2fetc/passwd", "/v1/%2e%2e/x", "//v1//databases", "/v1/../x", "/v1/./x", "/v1/a%00b", "/v1/a%0d%0ab",
        "/" + "a" * 4096, "/v1/%5c..%5cx", "/v1/databases#x", "/?code=a#b", "/v1/%FF", "/v1/é",
    ],
)  # fmt: skip
def test_t23_paths_that_try_to_climb_are_refused(target: str) -> None:
    """No path here has dot segments, empty segments, encoded slashes or control characters."""
    assert (400, "invalid_target") == code(target=target)


@pytest.mark.parametrize("target", ["/", "/v1/databases", "/v1/databases/", "/?code=a%2fb&state=..%2f", "/v1/a%20b"])
def test_t23_ordinary_paths_are_not(target: str) -> None:
    """The query may hold anything; it is no path."""
    assert isinstance(decided(target=target), Allow)


def test_t10_two_origins_are_refused() -> None:
    """Two Origin headers would leave the choice to whoever reads them."""
    assert (400, "invalid_origin") == code(origins=("https://a.example", "https://b.example"))


@pytest.mark.parametrize("policy", [READ, WRITE, OPEN, PAGE, LANDING, None])
def test_t09_the_null_origin_is_refused_everywhere(policy: Policy | None) -> None:
    """``null`` is what a sandboxed frame says: it names nobody."""
    assert (403, "origin_not_allowed") == code(origins=("null",), policy=policy)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "garbage"])
@pytest.mark.parametrize("dest", ["image", "script", "iframe", "object", "empty"])
@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, LANDING, None])
def test_t15_t16_other_sites_subresources_are_refused(site: str, dest: str, policy: Policy | None) -> None:
    """An image, a script, a frame of another site, or of another port of localhost, gets nothing anywhere."""
    assert (403, "cross_site_request") == code(
        fetch_site=site, fetch_mode="no-cors", fetch_dest=dest, policy=policy, authorizations=()
    )


def test_a_navigation_from_another_site_may_land_on_the_root() -> None:
    """The authorization server's redirect is such a navigation."""
    decision = decided(policy=LANDING, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="document")

    assert isinstance(decision, Allow)


@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, None])
def test_a_navigation_from_another_site_lands_nowhere_else(policy: Policy | None) -> None:
    """A link on a foreign page opens no other address of the daemon."""
    assert (403, "cross_site_request") == code(
        policy=policy, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="document"
    )


def test_a_frame_of_another_site_does_not_land() -> None:
    """The redirect inside a frame would be somebody else's page around ours."""
    assert (403, "cross_site_request") == code(
        policy=LANDING, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="iframe"
    )


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Prefetch"])
def test_t31_nothing_is_fetched_ahead_of_time(purpose: str) -> None:
    """A browser that prefetches the callback would spend the code before the user is there."""
    assert (403, "prefetch_not_allowed") == code(policy=LANDING, purpose=purpose)


def test_t05_without_a_token_the_answer_says_how_to_send_one() -> None:
    """401 comes with the challenge that RFC 6750 asks for."""
    decision = decided(authorizations=())

    assert isinstance(decision, Deny)
    assert (401, "token_required") == (decision.status, decision.code)
    assert ("WWW-Authenticate", 'Bearer realm="upstash-helper"') in decision.headers


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong", "Bearer good-tokenX", "Bearer good-tokeX", "good-token", "", "Bearer", "Bearer ",
        "Bearer gööd-token", "Bearer \udcff\udcfe",
        "Bearer " + "x" * 8192, "Basic Z29vZC10b2tlbg==", "Bearer good token",
    ],
)  # fmt: skip
def test_t06_a_token_that_is_not_good_is_refused(authorization: str) -> None:
    """Whatever is wrong with it, the answer is 401."""
    decision = decided(authorizations=(authorization,))

    assert isinstance(decision, Deny)
    assert 401 == decision.status


def test_t06_a_token_in_the_query_is_ignored() -> None:
    """Addresses end up in logs and histories, so no token is taken from one."""
    assert (401, "token_required") == code(target="/v1/databases?token=good-token", authorizations=())


def test_two_authorizations_are_none() -> None:
    """Two Authorization headers would leave the choice to whoever reads them."""
    assert (401, "token_required") == code(authorizations=("Bearer good-token", "Bearer good-token"))


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:5173", "http://localhost:3000"])
def test_t08_the_owners_token_is_refused_in_a_page(origin: str) -> None:
    """The owner's token is for programs: with any Origin it has leaked."""
    assert (403, "origin_mismatch") == code(origins=(origin,))


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:5173", "http://localhost:3000.evil.com"])
def test_a_foreign_origin_without_a_token_is_refused(origin: str) -> None:
    """A page that the user has not let in is told so, before anything about tokens."""
    assert (403, "origin_not_allowed") == code(origins=(origin,), authorizations=())


def test_t55_any_page_may_ask_for_health() -> None:
    """It gets a constant, and without CORS headers it cannot even read that."""
    decision = decided(
        policy=OPEN, origins=("https://app.example",), fetch_site="cross-site", fetch_mode="cors", authorizations=()
    )

    assert Allow(None) == decision


def test_t17_an_unknown_method_gets_the_list_of_known_ones() -> None:
    """405 names what is taken."""
    decision = decided(method="TRACE", policy=None, allowed_methods=("POST", "GET"))

    assert isinstance(decision, Deny)
    assert (405, ("Allow", "GET, POST")) == (decision.status, decision.headers[0])


def test_an_unknown_path_is_not_found() -> None:
    """404 comes before any question of tokens: there is nothing to protect."""
    assert (404, "not_found") == code(policy=None, authorizations=())


@pytest.mark.parametrize(
    "kinds",
    [
        ("text/plain",), ("application/x-www-form-urlencoded",), ("multipart/form-data; boundary=x",), (), ("",),
        ("application/json", "text/plain"), ("application/jsonp",), ("text/json",),
    ],
)  # fmt: skip
def test_t14_only_json_is_taken(kinds: tuple[str, ...]) -> None:
    """The types that a form can send are never taken for JSON."""
    assert (415, "unsupported_media_type") == code(method="POST", policy=WRITE, content_types=kinds, has_body=True)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_is_taken(kind: str) -> None:
    """In any case, and with parameters."""
    assert isinstance(decided(method="POST", policy=WRITE, content_types=(kind,), has_body=True), Allow)


def test_t14_a_body_where_none_is_expected_is_refused_too() -> None:
    """A form posted to a route without a body does not slip through."""
    assert (415, "unsupported_media_type") == code(
        method="POST", policy=READ, content_types=("text/plain",), has_body=True
    )


def test_bearer_reads_the_scheme_in_any_case() -> None:
    """RFC 9110, section 11.1: the scheme is case-insensitive."""
    assert b"abc" == bearer(("bEaReR abc",))


def test_the_default_port_may_be_left_out() -> None:
    """On port 80 clients send Host without a port."""
    assert "localhost" in Surface(port=80).hosts
    assert "localhost" not in Surface(port=3000).hosts
