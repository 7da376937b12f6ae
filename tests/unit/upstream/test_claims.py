import base64
import json
from typing import Any

import pytest

from upstash_helper.upstream.oauth import emails_in, jwt_claims, valid_email


def jwt(claims: Any) -> str:
    """Return a token with these claims and a signature of nobody."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize("padding", range(4))
def test_claims_of_a_jwt_are_read(padding: int) -> None:
    """
    The payload is found whatever padding its length would need.
    """
    claims = {"email": "a@b.example", "x": "ü" * padding}

    assert claims == jwt_claims(jwt(claims))


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c.d", "a.!!!.c", "a.YWJj.c", "a.é.c", jwt([1]), jwt("text"), jwt(None)]
)
def test_a_token_that_is_no_jwt_has_no_claims(token: str) -> None:
    """
    Opaque and malformed tokens are passed over.
    """
    assert {} == jwt_claims(token)


def test_the_plain_claim_comes_before_the_namespaced_ones() -> None:
    """
    `email` is trusted before a claim that the tenant made up.
    """
    claims = {"https://upstash.com/email": "second@b.example", "email": "first@b.example", "sub": "x@y.example"}

    assert ["first@b.example", "second@b.example"] == list(emails_in(claims))


@pytest.mark.parametrize(
    "value",
    [None, 3, True, [], {}, "", "nobody", "@b.example", "a@", "a@b@c", "a:b@c.example", "a b@c.example", "a@b\n"],
)
def test_what_is_no_email_is_passed_over(value: object) -> None:
    """
    Only what can be the user name of HTTP Basic is taken for an e-mail.
    """
    assert valid_email(value) is None
    assert [] == list(emails_in({"email": value}))
