"""The stored form of a credential."""

from __future__ import annotations

import json

import msgspec
import pytest

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Grant, Secret
from upstash_helper.storage.credentials.keyring_store import MAX_RECORD_UNITS
from upstash_helper.storage.credentials.record import decode, encode

CREDENTIAL = Credential(
    email="ada@example.com", api_key=Secret("made-up-key"), method="oauth", since=1.5, key_name="the key"
)

GRANT = Credential(
    email="ada@example.com",
    method="grant",
    since=1.5,
    grant=Grant(
        refresh_token=Secret("made-up-token"),
        issuer="https://clerk.upstash.com",
        client_id="client-1",
        client_name="upstash-helper (lovelace)",
        team_id="t-1",
        team_role="owner",
        read_only=True,
        state="refreshing",
    ),
)
ACCESS = Secret("made-up-access")


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
    with pytest.raises(StoreUnavailable, match=r"the place .*its format is 3, and this version reads 2.*Upgrade"):
        decode('{"version": 3, "sealed": "…"}', place="the place")


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


# --- grants -----------------------------------------------------------------------------------------------------------


def test_record_of_a_grant_is_stable() -> None:
    """
    It is of another version, so that an earlier daemon asks for an upgrade. The access token is left out.
    """
    expected = {
        "version": 2,
        "email": "ada@example.com",
        "since": 1.5,
        "grant": {
            "refresh_token": "made-up-token",
            "issuer": "https://clerk.upstash.com",
            "client_id": "client-1",
            "client_name": "upstash-helper (lovelace)",
            "team_id": "t-1",
            "team_role": "owner",
            "read_only": True,
            "state": "refreshing",
        },
    }

    assert expected == json.loads(encode(msgspec.structs.replace(GRANT, access_token=ACCESS)))


def test_grant_is_read_as_it_was_written() -> None:
    """
    With all its fields, or only those that it must have.
    """
    least = json.loads(encode(GRANT))
    for name in ("team_id", "team_role", "read_only", "state"):
        del least["grant"][name]

    read = decode(json.dumps(least), place="there")

    assert GRANT == decode(encode(GRANT), place="there")
    assert read.grant is not None
    assert (None, None, False, "live") == (
        read.grant.team_id,
        read.grant.team_role,
        read.grant.read_only,
        read.grant.state,
    )


def test_long_grant_fits_into_a_windows_credential() -> None:
    """
    With the longest name, client ID, and team that the daemon accepts, and a refresh token of 256 characters.
    """
    grant = Grant(
        refresh_token=Secret("r" * 256),
        issuer="https://clerk.upstash.com",
        client_id="c" * 255,
        client_name="n" * 128,
        team_id="t" * 128,
        team_role="administrator",
        read_only=True,
        state="refreshing",
    )
    credential = Credential(email=f"{'e' * 48}@{'d' * 40}.com", method="grant", since=1_790_000_000.123456, grant=grant)

    length = len(encode(credential).encode("utf-16-le")) // 2

    assert length <= MAX_RECORD_UNITS
    assert 2 * MAX_RECORD_UNITS <= 2560


@pytest.mark.parametrize(
    "text",
    [
        encode(GRANT).replace('"made-up-token"', "17"),
        encode(GRANT).replace('"refreshing"', '"made-up-token"'),
        encode(GRANT).replace("true", '"made-up-token"'),
        encode(GRANT).replace('"grant":', '"made-up-token":'),
        encode(GRANT).replace('"version":2', '"version":1'),
        encode(CREDENTIAL).replace('"version":1', '"version":2'),
        encode(CREDENTIAL).replace('"made-up-key"', "null"),
        encode(GRANT)[:-2],
    ],
)
def test_damaged_grant_is_rejected_without_quoting_it(text: str) -> None:
    """
    Also one that is neither a grant nor an API key.
    """
    with pytest.raises(StoreUnavailable, match="in the place is damaged") as refused:
        decode(text, place="the place")

    assert "made-up" not in str(refused.value)
    assert None is refused.value.__context__


def test_grant_shows_no_token() -> None:
    """
    Neither in its repr nor in a traceback that shows it, and it cannot be written as JSON by accident.
    """
    with pytest.raises(TypeError):
        msgspec.json.encode(GRANT)

    assert "made-up" not in repr(msgspec.structs.replace(GRANT, access_token=ACCESS))
