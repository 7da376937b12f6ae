import base64
import json
from typing import Any

import pytest

from upstash_helper.upstream.oauth import emails_in, jwt_claims, valid_email


def jwt(claims: Any) -> str:
    """Return a JWT with these claims and an invalid signature."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize("padding", range(4))
def test_jwt_claims_are_read(padding: int) -> None:
    """
    The payload is decoded, whatever padding it would need.
    """
    claims = {"email": "a@b.example", "x": "ü" * padding}

    assert claims == jwt_claims(jwt(claims))


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c.d", "a.!!!.c", "a.YWJj.c", "a.é.c", jwt([1]), jwt("text"), jwt(None)]
)
def test_opaque_token_has_no_claims(token: str) -> None:
    """
    Opaque and malformed tokens have no claims.
    """
    assert {} == jwt_claims(token)


def test_standard_claim_comes_before_namespaced_ones() -> None:
    """
    `email` is preferred over claims that the tenant has defined.
    """
    claims = {"https://upstash.com/email": "second@b.example", "email": "first@b.example", "sub": "x@y.example"}

    assert ["first@b.example", "second@b.example"] == list(emails_in(claims))


@pytest.mark.parametrize(
    "value",
    [None, 3, True, [], {}, "", "nobody", "@b.example", "a@", "a@b@c", "a:b@c.example", "a b@c.example", "a@b\n"],
)
def test_invalid_emails_are_ignored(value: object) -> None:
    """
    Only values that can be the user name of HTTP Basic count as email addresses.
    """
    assert valid_email(value) is None
    assert [] == list(emails_in({"email": value}))


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x9b", "\U000e0041"])
def test_t59_email_with_an_invisible_character_is_ignored(character: str) -> None:
    """The question whether to replace an account shows it, and it must not look like another one."""
    assert valid_email(f"me{character}@b.example") is None
    assert "mé@b.example" == valid_email("mé@b.example")
