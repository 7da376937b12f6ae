"""Secrets are never printed."""

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
def test_t44_no_formatting_shows_a_secret(value: object) -> None:
    """However a value that contains a secret ends up in a message, the secret is hidden."""
    shown = [repr(value), str(value), f"{value}", "%s" % (value,), repr([value]), repr({"k": value})]  # noqa: UP031

    assert not any(HIDDEN in text for text in shown)


@pytest.mark.parametrize("value", VALUES[:5], ids=lambda value: type(value).__name__)
def test_secret_cannot_be_serialized(value: object) -> None:
    """JSON and pickle reject it; the text is only available through ``reveal``."""
    with pytest.raises(TypeError):
        msgspec.json.encode(value)
    with pytest.raises(TypeError):
        json.dumps(value)
    with pytest.raises(TypeError):
        pickle.dumps(value)


def test_traceback_does_not_show_a_secret() -> None:
    """An exception that carries a secret shows a placeholder."""
    try:
        raise ValueError(Secret(HIDDEN))
    except ValueError:
        assert HIDDEN not in traceback.format_exc()


def test_secrets_are_compared_by_their_text() -> None:
    """They cannot be hashed."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))
