"""For whom the bridge speaks, as a table: one row, one request, one decision."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from tests.unit.api.test_guard import (
    ASK,
    EXTENSION_ORIGIN,
    KNOWN,
    OURS,
    OWNER_ONLY,
    PAGE,
    PAGE_ORIGIN,
    READ,
    STRANGER,
    SURFACE,
    said,
)
from upstash_helper.api.guard.middleware import resolve_on_behalf
from upstash_helper.api.guard.policy import Allowed, Denied, RequestFacts, decide
from upstash_helper.api.server.routes import Policy

# As the bridge sends them.
GET: Final = RequestFacts(
    method="GET", target="/v1/databases", hosts=("localhost:3000",), origins=(), on_behalf=(PAGE_ORIGIN,),
    fetch_site="same-origin", fetch_mode="same-origin", fetch_dest="empty",
    authorizations=("Bearer web-token",), policy=READ,
)  # fmt: skip
POST: Final = msgspec.structs.replace(
    GET, method="POST", origins=(OURS,), policy=ASK, authorizations=(), has_body=True,
    content_types=("application/json",),
)  # fmt: skip


def judged(facts: RequestFacts, **changes: Any) -> Allowed | Denied:
    spoken = resolve_on_behalf(msgspec.structs.replace(facts, **changes), SURFACE)
    return spoken if isinstance(spoken, Denied) else decide(spoken, SURFACE, KNOWN)


def test_the_bridge_speaks_for_a_page() -> None:
    """A GET has no Origin and a POST has ours; either is the named page's own."""
    assert ("web", "anybody") == (said(judged(GET)), said(judged(POST)))


def test_a_request_that_names_nobody_is_what_it_is() -> None:
    """Without the header nothing changes."""
    facts = msgspec.structs.replace(GET, on_behalf=())

    assert facts is resolve_on_behalf(facts, SURFACE)


@pytest.mark.parametrize("origin", SURFACE.origins)
def test_all_our_own_pages_are_ours(origin: str) -> None:
    """The helper has three names, and its pages as many origins."""
    assert "anybody" == said(judged(POST, origins=(origin,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": (STRANGER,)}, {"origins": (PAGE_ORIGIN,)}, {"origins": ("http://localhost:5173",)},
        {"origins": ("null",)}, {"origins": (OURS, OURS)}, {"origins": (OURS, STRANGER)},
        {"origins": (EXTENSION_ORIGIN,)},
        {"fetch_site": "cross-site"}, {"fetch_site": "same-site"}, {"fetch_site": "none"}, {"fetch_site": "garbage"},
        {"origins": (STRANGER,), "fetch_site": "cross-site", "fetch_mode": "cors"},
        {"preflight": True, "method": "OPTIONS"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("facts", [GET, POST])
def test_nobody_else_speaks_for_a_page(facts: RequestFacts, changes: dict[str, Any]) -> None:
    """A page, an extension, an image, what a user types: the header is refused from each, and its preflight too."""
    assert "on_behalf_not_allowed" == said(judged(facts, **changes))


@pytest.mark.parametrize("facts", [GET, POST])
def test_a_program_does_not_either(facts: RequestFacts) -> None:
    """It needs no bridge, and has no page of ours around it: no Origin, and no word of a browser."""
    assert "on_behalf_not_allowed" == said(judged(facts, origins=(), fetch_site=None))


@pytest.mark.parametrize(
    "named",
    [
        *((origin,) for origin in SURFACE.origins), (EXTENSION_ORIGIN,), ("null",), ("",), ("*",), ("http://app.example",),
        ("https://app.example/",), ("https://APP.example",), ("https://app.example, https://b.example",),
        (PAGE_ORIGIN, PAGE_ORIGIN), (PAGE_ORIGIN, STRANGER), ("file://",), ("https://app.example:443",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("facts", [GET, POST])
def test_it_speaks_for_web_pages_alone(facts: RequestFacts, named: tuple[str, ...]) -> None:
    """Who could not be let in, who reaches us by itself, and our own pages, cannot be named; nor two."""
    assert "on_behalf_not_allowed" == said(judged(facts, on_behalf=named))


def test_another_pages_token_is_stolen_there_too() -> None:
    """The token must belong to the page that is named."""
    decision = judged(GET, on_behalf=(STRANGER,))

    assert isinstance(decision, Denied)
    assert ("origin_mismatch", "web") == (decision.code, decision.misused.id if decision.misused else None)


@pytest.mark.parametrize("token", ["native-token", "extension-token", "owner-token"])
def test_a_programs_token_is_refused(token: str) -> None:
    """The bridge serves a page: what is not a page's leaked there."""
    assert "origin_mismatch" == said(judged(GET, authorizations=(f"Bearer {token}",)))


@pytest.mark.parametrize("policy", [OWNER_ONLY, Policy("own_page"), PAGE, Policy("landing")])
def test_nothing_of_the_owners_and_no_page_is_carried(policy: Policy) -> None:
    """The named page gets there what it would get itself, which is nothing."""
    decision = judged(GET, policy=policy)

    assert isinstance(decision, Denied)
    assert 403 == decision.status


def test_other_rules_come_first() -> None:
    """A wrong Host stays a wrong Host."""
    assert "host_not_allowed" == said(judged(GET, hosts=("evil.example:3000",)))
