"""The gate, as a table: one row, one request, one decision."""

from __future__ import annotations

import base64
from itertools import product
from typing import Any, Final

import msgspec
import pytest

from upstash_helper.api.guard.policy import Allowed, Denied, RequestFacts, ServerAddress, decide, may_read
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server.routes import Policy
from upstash_helper.broker.apps.identity import OWNER, Caller, Identity

SURFACE = ServerAddress(port=3000)
PAGE_ORIGIN = "https://app.example"
LOCAL_ORIGIN = "http://localhost:5173"
EXTENSION_ORIGIN = "chrome-extension://" + "a" * 32
STRANGER = "https://stranger.example"
OURS = "http://localhost:3000"

READ = Policy("token", "databases:read")
WRITE = Policy("token", "databases:write", "json", audit="x")
DELETE = Policy("token", "databases:delete", audit="x")
ANY_SCOPE = Policy("token")
READABLE = Policy("token", readable=True)
OWNER_ONLY = Policy("owner")
PAIRING = Policy("pairing")
ASK = Policy("pairing", body="json")
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


class Known:
    """Who has been let in, without a ledger behind it."""

    def find(self, token: bytes) -> Caller | None:
        return CALLERS.get(token.decode("utf-8", "replace").removesuffix("-token"))

    def approved(self, origin: str) -> bool:
        return any(one.identity is not None and one.identity.origin == origin for one in APPS.values())


KNOWN = Known()

REQUEST = RequestFacts(
    method="GET", target="/v1/databases", hosts=("localhost:3000",), origins=(),
    authorizations=("Bearer owner-token",), policy=READ,
)  # fmt: skip


def decided(**changes: Any) -> Allowed | Denied:
    return decide(msgspec.structs.replace(REQUEST, **changes), SURFACE, KNOWN)


def code(**changes: Any) -> tuple[int, str]:
    decision = decided(**changes)
    assert isinstance(decision, Denied)
    return decision.status, decision.code


def said(decision: Allowed | Denied) -> str:
    """Return a decision in a word: whom it lets in, or why it does not."""
    if isinstance(decision, Denied):
        return decision.code
    return "anybody" if decision.caller is None else decision.caller.id


def test_the_owner_with_its_token_is_let_in() -> None:
    """A request that breaks no rule reaches its handler with its caller named."""
    decision = decided()

    assert Allowed(OWNER) == decision


@pytest.mark.parametrize("host", ["localhost:3000", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000"])
def test_t02_our_own_hosts_are_taken(host: str) -> None:
    """The daemon answers to exactly the names of its own loopback addresses, in any case."""
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
def test_t02_any_other_host_is_turned_away(host: str) -> None:
    """Whatever else Host says is another site's name for our address, and gets nothing."""
    assert (421, "host_not_allowed") == code(hosts=(host,))


def test_t01_the_refusal_names_both_sides() -> None:
    """Somebody behind a proxy reads in the answer which host arrived and which are taken."""
    decision = decided(hosts=("evil.example:3000",))

    assert isinstance(decision, Denied)
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
    assert isinstance(decided(target=target), Allowed)


def test_t10_two_origins_are_refused() -> None:
    """Two Origin headers would leave the choice to whoever reads them."""
    assert (400, "invalid_origin") == code(origins=("https://a.example", "https://b.example"))


@pytest.mark.parametrize("policy", [READ, WRITE, OPEN, PAGE, LANDING, PAIRING, ASK, READABLE, None])
def test_t09_the_null_origin_is_refused_everywhere(policy: Policy | None) -> None:
    """``null`` is what a sandboxed frame says: it names nobody."""
    assert (403, "origin_not_allowed") == code(origins=("null",), policy=policy)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "garbage"])
@pytest.mark.parametrize("dest", ["image", "script", "iframe", "object", "empty"])
@pytest.mark.parametrize("policy", [READ, OPEN, PAGE, LANDING, PAIRING, ASK, READABLE, None])
def test_t15_t16_other_sites_subresources_are_refused(site: str, dest: str, policy: Policy | None) -> None:
    """An image, a script, a frame of another site, or of another port of localhost, gets nothing anywhere."""
    assert (403, "cross_site_request") == code(
        fetch_site=site, fetch_mode="no-cors", fetch_dest=dest, policy=policy, authorizations=()
    )


def test_a_navigation_from_another_site_may_land_on_the_root() -> None:
    """The authorization server's redirect is such a navigation."""
    decision = decided(policy=LANDING, fetch_site="cross-site", fetch_mode="navigate", fetch_dest="document")

    assert isinstance(decision, Allowed)


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
def test_t06_a_token_that_is_not_good_is_refused(authorization: str) -> None:
    """Whatever is wrong with it, the answer is 401."""
    decision = decided(authorizations=(authorization,))

    assert isinstance(decision, Denied)
    assert 401 == decision.status


def test_t06_a_token_in_the_query_is_ignored() -> None:
    """Addresses end up in logs and histories, so no token is taken from one."""
    assert (401, "token_required") == code(target="/v1/databases?token=owner-token", authorizations=())


def test_two_authorizations_are_none() -> None:
    """Two Authorization headers would leave the choice to whoever reads them."""
    assert (401, "token_required") == code(authorizations=("Bearer owner-token", "Bearer owner-token"))


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:5173", "http://localhost:3000"])
def test_t08_the_owners_token_is_refused_in_a_page(origin: str) -> None:
    """The owner's token is for programs: with any Origin it has leaked."""
    assert (403, "origin_mismatch") == code(origins=(origin,))


@pytest.mark.parametrize("origin", [STRANGER, "http://localhost:8080", "http://localhost:3000.evil.com"])
def test_a_foreign_origin_without_a_token_is_refused(origin: str) -> None:
    """A page that the user has not let in is told so, before anything about tokens."""
    assert (403, "origin_not_allowed") == code(origins=(origin,), authorizations=())


def test_t55_any_page_may_ask_for_health() -> None:
    """It gets a constant, and without CORS headers it cannot even read that."""
    decision = decided(
        policy=OPEN, origins=("https://app.example",), fetch_site="cross-site", fetch_mode="cors", authorizations=()
    )

    assert Allowed(None) == decision


def test_t17_an_unknown_method_gets_the_list_of_known_ones() -> None:
    """405 names what is taken."""
    decision = decided(method="TRACE", policy=None, allowed_methods=("POST", "GET"))

    assert isinstance(decision, Denied)
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
    assert isinstance(decided(method="POST", policy=WRITE, content_types=(kind,), has_body=True), Allowed)


def test_t14_a_body_where_none_is_expected_is_refused_too() -> None:
    """A form posted to a route without a body does not slip through."""
    assert (415, "unsupported_media_type") == code(
        method="POST", policy=READ, content_types=("text/plain",), has_body=True
    )


def test_bearer_reads_the_scheme_in_any_case() -> None:
    """RFC 9110, section 11.1: the scheme is case-insensitive."""
    assert b"abc" == token_of(("bEaReR abc",))


def test_the_default_port_may_be_left_out() -> None:
    """On port 80 clients send Host without a port."""
    assert "localhost" in ServerAddress(port=80).hosts
    assert "localhost" not in ServerAddress(port=3000).hosts


# --- apps: whose token, from where ------------------------------------------------------------------------------------

# What a browser says of where a request comes from; "absent" is a program, or a browser of long ago.
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
    "a stranger's": (STRANGER,),
    "own_page": (OURS,),
}

# By whose the token is: from where it is taken when nothing else is said. Whatever is not here is a mismatch.
TAKEN: Final = {
    ("owner", "no origin"),
    ("native", "no origin"),
    ("extension", "no origin"),
    ("extension", "its own"),
    ("web", "its own"),
    ("local", "its own"),
}


def origins_of(who: str, where: str) -> tuple[str, ...]:
    identity = CALLERS[who].identity
    own = (identity.origin if identity else None) or STRANGER
    other = LOCAL_ORIGIN if own == PAGE_ORIGIN else PAGE_ORIGIN
    return tuple(origin.replace("(its own)", own).replace("(another approved one)", other) for origin in ORIGINS[where])


def has_one(who: str, where: str, _: str) -> bool:
    """Return whether there is such a row: programs have no origin of their own."""
    return where != "its own" or origins_of(who, where) != (STRANGER,)


def expected_of(who: str, where: str, fetch: str) -> str:
    if fetch.endswith("image") or fetch == "navigation":
        return "cross_site_request"
    if where == "no origin" and fetch.endswith("fetch"):
        return "cross_site_request"
    if where == "no origin" and fetch == "same-origin":
        return "origin_mismatch"  # a page of ours is behind it, and no token of these was given to one
    return who if (who, where) in TAKEN else "origin_mismatch"


@pytest.mark.parametrize(("who", "where", "fetch"), [row for row in product(CALLERS, ORIGINS, FETCH) if has_one(*row)])
def test_t07_t08_a_token_is_good_where_it_was_given_to(who: str, where: str, fetch: str) -> None:
    """
    A page's token in that page, an extension's in it, a program's and the owner's in no page: anywhere else it was
    stolen, and what a browser loads into another site's page gets nothing at all.
    """
    decision = decided(authorizations=(f"Bearer {who}-token",), origins=origins_of(who, where), **FETCH[fetch])

    assert expected_of(who, where, fetch) == said(decision)


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.evil.com", "https://app.example:8443", "http://app.example", "https://APP.example",
     "https://app.example/", "https://app.example.", "https://xapp.example", "https://app.example:443", "", " "],
)  # fmt: skip
def test_t07_an_origin_is_compared_as_a_whole(origin: str) -> None:
    """Nothing that begins like it, ends like it or means the same is the origin that the token was given to."""
    decision = decided(authorizations=("Bearer web-token",), origins=(origin,))

    assert isinstance(decision, Denied)
    assert (403, "origin_mismatch", "web") == (
        decision.status, decision.code, decision.misused.id if decision.misused else None
    )  # fmt: skip


@pytest.mark.parametrize("who", [*APPS])
def test_t29_a_scope_that_was_not_granted_is_named(who: str) -> None:
    """RFC 6750, section 3.1: 403, the scope in the challenge; the token itself is fine and not misused."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    decision = decided(authorizations=(f"Bearer {who}-token",), origins=origins, method="DELETE", policy=DELETE)

    assert isinstance(decision, Denied)
    assert (403, "insufficient_scope", None) == (decision.status, decision.code, decision.misused)
    assert any('scope="databases:delete"' in text for _, text in decision.headers)


@pytest.mark.parametrize(("who", "policy"), [*product(APPS, [ANY_SCOPE, READABLE])])
def test_a_route_without_a_scope_takes_any_token(who: str, policy: Policy) -> None:
    """An app can always ask what it is."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    assert who == said(decided(authorizations=(f"Bearer {who}-token",), origins=origins, policy=policy))


@pytest.mark.parametrize("who", [*APPS])
def test_the_owners_routes_take_no_apps_token(who: str) -> None:
    """No app decides about apps, whatever it was granted."""
    identity = APPS[who].identity
    origins = (identity.origin,) if identity is not None and identity.origin else ()

    assert "owner_only" == said(decided(authorizations=(f"Bearer {who}-token",), origins=origins, policy=OWNER_ONLY))


def test_the_owners_routes_take_the_owners_token() -> None:
    """Approving is for the user's own tools."""
    assert "owner" == said(decided(policy=OWNER_ONLY))


@pytest.mark.parametrize("policy", [READ, WRITE, DELETE, ANY_SCOPE, READABLE])
def test_the_owner_has_every_scope(policy: Policy) -> None:
    """What a user may do cannot be forgotten in a list."""
    assert "owner" == said(decided(policy=policy, content_types=("application/json",)))


@pytest.mark.parametrize("origin", [PAGE_ORIGIN, LOCAL_ORIGIN, EXTENSION_ORIGIN])
@pytest.mark.parametrize(("sent", "expected"), [((), "token_required"), (("Bearer gone",), "invalid_token")])
def test_t13_an_approved_page_gets_to_know_about_tokens(origin: str, sent: tuple[str, ...], expected: str) -> None:
    """It is told that its token is missing or unknown, which a stranger is not."""
    assert (401, expected) == code(origins=(origin,), authorizations=sent)


@pytest.mark.parametrize("origin", [STRANGER, "https://app.example:8443", "http://evil.localhost"])
def test_a_revoked_page_gets_to_know_it_at_one_address(origin: str) -> None:
    """Elsewhere its origin is a stranger's again."""
    elsewhere = code(origins=(origin,), authorizations=("Bearer gone",))
    there = code(origins=(origin,), authorizations=("Bearer gone",), policy=READABLE)

    assert [(403, "origin_not_allowed"), (401, "invalid_token")] == [elsewhere, there]


# --- another user of the machine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [READ, OWNER_ONLY, OPEN, PAGE, LANDING, PAIRING, PASS_THROUGH, None])
def test_t50_another_user_is_turned_away_everywhere(policy: Policy | None) -> None:
    """With a good token too, and before anything is said of routes."""
    decision = decided(other_user=True, policy=policy)

    assert isinstance(decision, Denied)
    assert (403, "wrong_user", True) == (decision.status, decision.code, decision.close)


def test_t50_a_stolen_token_of_another_user_is_not_held_against_its_app() -> None:
    """The owner of the token is not punished for what the system kept out."""
    decision = decided(other_user=True, authorizations=("Bearer web-token",))

    assert isinstance(decision, Denied)
    assert decision.misused is None


# --- asking to be let in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "origins", "fetch", "expected"),
    [
        ("POST", (), "absent", "anybody"),
        ("POST", (STRANGER,), "cross-site fetch", "anybody"),
        ("POST", (LOCAL_ORIGIN,), "same-site fetch", "anybody"),
        ("POST", (EXTENSION_ORIGIN,), "none", "anybody"),
        ("GET", (), "none", "anybody"),  # an extension's GET has no Origin; the poll secret tells
        ("GET", (STRANGER,), "cross-site fetch", "anybody"),
        ("POST", (), "none", "cross_site_request"),  # a browser that hides whose page it is
        ("POST", (), "same-origin", "cross_site_request"),
        ("POST", (), "cross-site image", "cross_site_request"),
        ("POST", (STRANGER,), "cross-site image", "cross_site_request"),  # a form's POST names its origin, too
        ("POST", (STRANGER,), "navigation", "cross_site_request"),
        ("GET", (), "cross-site image", "cross_site_request"),
        ("POST", ("null",), "cross-site fetch", "origin_not_allowed"),
        ("POST", (OURS,), "same-origin", "origin_not_allowed"),
        ("POST", ("http://192.168.1.2",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("http://example.com",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("file://",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("https://USER@app.example",), "cross-site fetch", "origin_not_allowed"),
        ("POST", ("",), "absent", "origin_not_allowed"),
    ],
)
def test_t09_who_may_ask(method: str, origins: tuple[str, ...], fetch: str, expected: str) -> None:
    """A page of a name that can be vouched for, an extension, a program of this user; and nobody who hides."""
    decision = decided(
        method=method, origins=origins, authorizations=(), policy=ASK if method == "POST" else PAIRING,
        content_types=("application/json",) if method == "POST" else (), **FETCH[fetch],
    )  # fmt: skip

    assert expected == said(decision)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_t14_asking_takes_json_alone(kind: str | None) -> None:
    """What a form can post without a preflight asks for nothing."""
    kinds = () if kind is None else (kind,)

    assert (415, "unsupported_media_type") == code(
        method="POST", policy=ASK, authorizations=(), content_types=kinds, has_body=True
    )


# --- preflights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "policy", "expected"),
    [
        (PAGE_ORIGIN, READ, "anybody"),
        (PAGE_ORIGIN, OWNER_ONLY, "anybody"),
        (LOCAL_ORIGIN, DELETE, "anybody"),
        (EXTENSION_ORIGIN, PASS_THROUGH, "anybody"),
        (STRANGER, ASK, "anybody"),
        (STRANGER, READABLE, "anybody"),
        (STRANGER, READ, "origin_not_allowed"),
        (STRANGER, OPEN, "origin_not_allowed"),
        (STRANGER, PAGE, "origin_not_allowed"),
        (STRANGER, LANDING, "origin_not_allowed"),
        (STRANGER, PASS_THROUGH, "origin_not_allowed"),
        ("https://app.example:8443", READ, "origin_not_allowed"),
        ("http://example.com", ASK, "origin_not_allowed"),
        (OURS, READ, "origin_not_allowed"),
        (OURS, ASK, "origin_not_allowed"),
        ("null", ASK, "origin_not_allowed"),
        (PAGE_ORIGIN, None, "not_found"),
    ],
)
def test_t11_t12_who_may_send_after_asking(origin: str, policy: Policy | None, expected: str) -> None:
    """A preflight is answered for origins that are let in, and for all that could be where they ask for that."""
    decision = decided(
        method="OPTIONS", preflight=True, origins=(origin,), authorizations=(), policy=policy,
        **FETCH["cross-site fetch"],
    )  # fmt: skip

    assert expected == said(decision)


def test_a_preflight_needs_no_token_and_is_given_none() -> None:
    """Whatever it carries is not looked at, so that nothing can be tried out with it."""
    decision = decided(method="OPTIONS", preflight=True, origins=(PAGE_ORIGIN,), authorizations=("Bearer web-token",))

    assert Allowed(None) == decision


# --- what a page may read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origins", "policy", "expected"),
    [
        ((PAGE_ORIGIN,), READ, True),
        ((PAGE_ORIGIN,), OWNER_ONLY, True),
        ((PAGE_ORIGIN,), OPEN, True),
        ((PAGE_ORIGIN,), None, True),
        ((STRANGER,), PAIRING, True),
        ((STRANGER,), READABLE, True),
        ((STRANGER,), READ, False),
        ((STRANGER,), OPEN, False),
        ((STRANGER,), OWNER_ONLY, False),
        ((STRANGER,), None, False),
        ((), PAIRING, False),
        (("null",), PAIRING, False),
        (("http://example.com",), PAIRING, False),
        ((OURS,), PAIRING, False),
        ((PAGE_ORIGIN, PAGE_ORIGIN), READ, False),
        (("*",), PAIRING, False),
        (("",), PAIRING, False),
    ],
)
def test_t13_t55_which_page_may_read_an_answer(origins: tuple[str, ...], policy: Policy | None, expected: bool) -> None:  # noqa: FBT001  # pytest passes it by its name
    """Of origins that are let in, all; of others, what they need in order to ask, and to learn that they are out."""
    facts = msgspec.structs.replace(REQUEST, origins=origins, policy=policy)

    assert expected is may_read(facts, SURFACE, KNOWN)


# --- HTTP Basic -------------------------------------------------------------------------------------------------------


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize("user", [b"", b"ada@example.com", "\N{SNOWMAN}".encode(), b"native-token"])
def test_basic_has_the_token_as_its_password(user: bytes) -> None:
    """An existing client of Upstash needs a new address and a new password, and its user name does not matter."""
    decision = decided(authorizations=(basic(user + b":native-token"),), policy=PASS_THROUGH)

    assert "native" == said(decision)


@pytest.mark.parametrize(
    "authorization",
    [
        basic(b"native-token"), basic(b"native-token:"), basic(b":"), basic(b""), "Basic ", "Basic !!!!",
        "Basic bmF0aXZl", basic(b"a:native-token:"), basic(b"a:b:native-token"), "Basic bmF0aXZl\udcff",
        "Digest x", "Basic " + "A" * 8000,
    ],
)  # fmt: skip
def test_t06_a_password_that_is_no_token_is_refused(authorization: str) -> None:
    """401, and never a fault."""
    decision = decided(authorizations=(authorization,), policy=PASS_THROUGH)

    assert isinstance(decision, Denied)
    assert 401 == decision.status


def test_basic_is_taken_on_the_pass_through_alone() -> None:
    """Browsers fill it in by themselves; where no existing client needs it, it is no token."""
    assert (401, "token_required") == code(authorizations=(basic(b"x:native-token"),), policy=READ)


@pytest.mark.parametrize(("who", "expected"), [("web", "origin_mismatch"), ("owner", "owner"), ("native", "native")])
def test_basic_is_bound_like_bearer(who: str, expected: str) -> None:
    """The way that a token is sent in does not change where it belongs."""
    assert expected == said(decided(authorizations=(basic(f"x:{who}-token".encode()),), policy=PASS_THROUGH))


def test_the_pass_through_takes_any_type_of_body() -> None:
    """Upstash says what it takes; a token in a header already rules out simple requests of other sites."""
    decision = decided(
        method="POST", authorizations=("Bearer native-token",), policy=PASS_THROUGH, content_types=("text/plain",),
        has_body=True,
    )  # fmt: skip

    assert "native" == said(decision)
