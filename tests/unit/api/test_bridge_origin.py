"""For which pages the bridge may forward requests: each row is a request and the decision about it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from tests.unit.api.test_guard import (
    ADDRESS,
    CALLERS_WITH_ACCESS,
    EXTENSION_ORIGIN,
    OWN_ORIGIN,
    OWNER_ONLY,
    PAGE,
    PAGE_ORIGIN,
    PAGES_HOST,
    READ,
    REQUEST_ACCESS,
    SHARED_ORIGIN,
    UNAPPROVED_ORIGIN,
    outcome,
)
from upstash_helper.api.guard.middleware import resolve_on_behalf
from upstash_helper.api.guard.policy import Allowed, Denied, RequestFacts, check_request, decide
from upstash_helper.api.server.routes import Policy

# Requests as the bridge sends them.
GET: Final = RequestFacts(
    method="GET", target="/v1/databases", hosts=(PAGES_HOST,), origins=(), on_behalf=(PAGE_ORIGIN,),
    fetch_site="same-origin", fetch_mode="same-origin", fetch_dest="empty",
    authorizations=("Bearer web-token",), policy=READ,
)  # fmt: skip
POST: Final = msgspec.structs.replace(
    GET, method="POST", origins=(OWN_ORIGIN,), policy=REQUEST_ACCESS, authorizations=(), has_body=True,
    content_types=("application/json",),
)  # fmt: skip


def decision_for(facts: RequestFacts, **changes: Any) -> Allowed | Denied:
    """Return the decision about a request."""
    resolved = resolve_on_behalf(msgspec.structs.replace(facts, **changes), ADDRESS)
    return resolved if isinstance(resolved, Denied) else decide(resolved, ADDRESS, CALLERS_WITH_ACCESS)


def test_bridge_forwards_requests_of_a_page() -> None:
    """A GET has no Origin and a POST has ours. Both count as the named page's."""
    assert ("web", "no caller") == (outcome(decision_for(GET)), outcome(decision_for(POST)))


def test_request_without_the_header_is_unchanged() -> None:
    """Without the header nothing changes."""
    facts = msgspec.structs.replace(GET, on_behalf=())

    assert facts is resolve_on_behalf(facts, ADDRESS)


@pytest.mark.parametrize("host", [*ADDRESS.shared_hosts, *ADDRESS.entry_hosts, "127.0.0.7:40000"])
@pytest.mark.parametrize("facts", [GET, POST])
def test_t57_header_is_not_believed_at_other_origins(facts: RequestFacts, host: str) -> None:
    """A page that another program left open there, a redirect, and the numeric address have no bridge."""
    address = msgspec.structs.replace(ADDRESS, numeric_host="127.0.0.7:40000")
    sent = msgspec.structs.replace(facts, hosts=(host,), origins=(f"http://{host}",) if facts.origins else ())

    for also in (sent, msgspec.structs.replace(sent, hosts=(PAGES_HOST,), fetch_site="cross-site")):
        resolved = resolve_on_behalf(also, address)
        assert isinstance(resolved, Denied)
        assert "on_behalf_not_allowed" == resolved.code


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": (UNAPPROVED_ORIGIN,)}, {"origins": (PAGE_ORIGIN,)}, {"origins": (SHARED_ORIGIN,)}, {"origins": ("http://localhost:5173",)},
        {"origins": ("null",)}, {"origins": (OWN_ORIGIN, OWN_ORIGIN)}, {"origins": (OWN_ORIGIN, UNAPPROVED_ORIGIN)},
        {"origins": (EXTENSION_ORIGIN,)},
        {"fetch_site": "cross-site"}, {"fetch_site": "same-site"}, {"fetch_site": "none"}, {"fetch_site": "garbage"},
        {"origins": (UNAPPROVED_ORIGIN,), "fetch_site": "cross-site", "fetch_mode": "cors"},
        {"preflight": True, "method": "OPTIONS"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("facts", [GET, POST])
def test_header_from_other_pages_is_denied(facts: RequestFacts, changes: dict[str, Any]) -> None:
    """The header is denied from a foreign page, an extension, an image, or a typed address, and in a preflight."""
    assert "on_behalf_not_allowed" == outcome(decision_for(facts, **changes))


@pytest.mark.parametrize("facts", [GET, POST])
def test_header_from_a_native_program_is_denied(facts: RequestFacts) -> None:
    """A program does not need the bridge, and sends neither Origin nor Fetch Metadata."""
    assert "on_behalf_not_allowed" == outcome(decision_for(facts, origins=(), fetch_site=None))


@pytest.mark.parametrize(
    "named",
    [
        *((f"http://{host}",) for host in (*ADDRESS.hosts, "app.localhost:3000")),
        (EXTENSION_ORIGIN,), ("null",), ("",), ("*",), ("http://app.example",),
        ("https://app.example/",), ("https://APP.example",), ("https://app.example, https://b.example",),
        (PAGE_ORIGIN, PAGE_ORIGIN), (PAGE_ORIGIN, UNAPPROVED_ORIGIN), ("file://",), ("https://app.example:443",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("facts", [GET, POST])
def test_only_a_single_web_origin_can_be_named(facts: RequestFacts, named: tuple[str, ...]) -> None:
    """Origins that cannot have access, extensions, our own pages, and several origins are denied."""
    assert "on_behalf_not_allowed" == outcome(decision_for(facts, on_behalf=named))


def test_token_of_another_page_is_a_mismatch() -> None:
    """The token must be bound to the named page."""
    decision = decision_for(GET, on_behalf=(UNAPPROVED_ORIGIN,))

    assert isinstance(decision, Denied)
    assert ("origin_mismatch", "web") == (decision.code, decision.misused.id if decision.misused else None)


@pytest.mark.parametrize("token", ["native-token", "extension-token", "owner-token"])
def test_token_of_a_program_is_a_mismatch(token: str) -> None:
    """The bridge serves pages. A token that is not a page's has leaked."""
    assert "origin_mismatch" == outcome(decision_for(GET, authorizations=(f"Bearer {token}",)))


@pytest.mark.parametrize("policy", [OWNER_ONLY, Policy("own_page"), PAGE, Policy("landing")])
def test_bridge_does_not_forward_owner_and_page_requests(policy: Policy) -> None:
    """The named page gets only what it would get directly, which is nothing here."""
    decision = decision_for(GET, policy=policy)

    assert isinstance(decision, Denied)
    assert 403 == decision.status


def test_general_rules_apply_first() -> None:
    """A wrong Host is reported as such."""
    denied = check_request(msgspec.structs.replace(GET, hosts=("evil.example:3000",)), ADDRESS)

    assert denied is not None
    assert "host_not_allowed" == denied.code
