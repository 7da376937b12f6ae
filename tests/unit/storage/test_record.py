"""The stored form of a credential."""

from __future__ import annotations

import json

import pytest

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.record import decode, encode

CREDENTIAL = Credential(
    email="ada@example.com", api_key=Secret("made-up-key"), method="oauth", since=1.5, key_name="the key"
)


def test_record_format_is_stable() -> None:
    """
    Later versions read records of this one, so version 1 must not change.
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


def test_unknown_fields_are_ignored() -> None:
    """
    A later daemon may add a field that this one does not need.
    """
    text = json.dumps({**json.loads(encode(CREDENTIAL)), "team": "new"})

    assert CREDENTIAL == decode(text, place="there")


def test_record_of_a_newer_version_is_rejected() -> None:
    """
    The error for a record of a later version names both versions and suggests an upgrade.
    """
    with pytest.raises(StoreUnavailable, match=r"the place .*its format is 2, and this version reads 1.*Upgrade"):
        decode('{"version": 2, "sealed": "…"}', place="the place")


@pytest.mark.parametrize(
    "text",
    [
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
def test_damaged_record_is_rejected_without_quoting_it(text: str | bytes) -> None:
    """
    The error for an invalid record names its place, and does not quote it.
    """
    with pytest.raises(StoreUnavailable, match="in the place is damaged") as refused:
        decode(text, place="the place")

    assert "made-up-key" not in str(refused.value)
    assert None is refused.value.__context__
