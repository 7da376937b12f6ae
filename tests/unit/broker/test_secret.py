"""A secret does not print."""

from __future__ import annotations

import json
import pickle
import traceback

import msgspec
import pytest

from upstash_helper.broker.models import Credential, DatabaseSecrets, IssuedKey, Secret, TokenSet
from upstash_helper.protocol import wire

HIDDEN = "hidden-7f3a"

VALUES = [
    Secret(HIDDEN),
    Credential(email="a@b.example", api_key=Secret(HIDDEN), method="oauth", since=0),
    TokenSet(access_token=Secret(HIDDEN), refresh_token=Secret(HIDDEN), id_token=Secret(HIDDEN)),
    IssuedKey(api_key=Secret(HIDDEN)),
    DatabaseSecrets(password=Secret(HIDDEN), rest_token=Secret(HIDDEN), read_only_rest_token=Secret(HIDDEN)),
    wire.ApiKey(email="a@b.example", api_key=HIDDEN),
    wire.DatabaseCredentials(
        id="1", name="n", host="h", port=1, tls=True, username="default", password=HIDDEN, redis_url=HIDDEN,
        rest_url="r", rest_token=HIDDEN, read_only_rest_token=HIDDEN, env={"A": HIDDEN},
    ),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_t44_no_way_of_printing_shows_it(value: object) -> None:
    """However a value with a secret gets into a message, the secret does not."""
    shown = [repr(value), str(value), f"{value}", "%s" % (value,), repr([value]), repr({"k": value})]  # noqa: UP031

    assert not any(HIDDEN in text for text in shown)


@pytest.mark.parametrize("value", VALUES[:5], ids=lambda value: type(value).__name__)
def test_a_secret_is_not_written_by_accident(value: object) -> None:
    """Neither JSON nor pickle takes it: who wants the text says so."""
    with pytest.raises(TypeError):
        msgspec.json.encode(value)
    with pytest.raises(TypeError):
        json.dumps(value)
    with pytest.raises(TypeError):
        pickle.dumps(value)


def test_a_traceback_does_not_show_it() -> None:
    """An error that carries one shows a placeholder."""
    try:
        raise ValueError(Secret(HIDDEN))
    except ValueError:
        assert HIDDEN not in traceback.format_exc()


def test_secrets_are_compared_by_their_text() -> None:
    """And have no place in a set, where they would be hashed."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))
