"""How a credential is written down."""

from __future__ import annotations

import json

import pytest

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.record import decode, encode

CREDENTIAL = Credential(
    email="ada@example.com", api_key=Secret("made-up-key"), method="oauth", since=1.5, key_name="the key"
)


def test_the_record_stays_as_it_is() -> None:
    """
    Later daemons read what this one wrote: version 1 does not change.
    """
    expected = {
        "version": 1,
        "email": "ada@example.com",
        "api_key": "made-up-key",
        "method": "oauth",
        "since": 1.5,
        "key_name": "the key",
    }

    assert expected == json.loads(encode(CREDENTIAL))


def test_fields_of_a_later_daemon_are_passed_over() -> None:
    """
    A later daemon may add a field that this one can do without.
    """
    text = json.dumps({**json.loads(encode(CREDENTIAL)), "team": "new"})

    assert CREDENTIAL == decode(text, place="there")


def test_a_newer_version_is_not_guessed_at() -> None:
    """
    A record of a later version is refused, with both versions and what to do.
    """
    with pytest.raises(StoreUnavailable, match=r"the place .*record version 2, this one reads 1.*Upgrade"):
        decode('{"version": 2, "sealed": "…"}', place="the place")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "made-up-key",
        "{",
        "[]",
        '{"version": "1"}',
        '{"version": 1}',
        encode(CREDENTIAL)[:-1],
        encode(CREDENTIAL).replace('"oauth"', '"made-up-key"'),
        encode(CREDENTIAL).replace('"made-up-key"', "17"),
        encode(CREDENTIAL).encode().replace(b"ada", b"\xff\xfe"),
    ],
)
def test_damage_is_named_and_not_quoted(text: str | bytes) -> None:
    """
    A record that cannot be read is an error that says where it is and what to do, and shows nothing of it.
    """
    with pytest.raises(StoreUnavailable, match="the place holds is damaged") as refused:
        decode(text, place="the place")

    assert "made-up-key" not in str(refused.value)
    assert None is refused.value.__context__
