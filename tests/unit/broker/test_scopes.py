"""Scopes: the same everywhere, each with its meaning."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import pytest

from upstash_helper.broker.identity import MEANING, SCOPES, Scope, ordered
from upstash_helper.protocol import wire_apps


def test_the_wire_has_the_brokers_scopes() -> None:
    """What an app can wish for is what it can be granted, in the same order."""
    assert SCOPES == get_args(wire_apps.Scope) == get_args(Scope)


def test_every_scope_is_said_in_plain_words() -> None:
    """Nobody has to decide about a word that only programs know."""
    assert set(SCOPES) == set(MEANING)
    assert len(SCOPES) == len(set(MEANING.values()))
    assert not any(":" in text for text in MEANING.values())


@pytest.mark.parametrize("wished", [*permutations(SCOPES[:3]), (SCOPES[0], SCOPES[2], SCOPES[0], SCOPES[1])])
def test_scopes_are_shown_in_one_order(wished: tuple[Scope, ...]) -> None:
    """However an app lists them, and each once: what is worst cannot be hidden in the middle."""
    assert SCOPES[:3] == ordered(wished)


def test_no_scope_is_made_of_nothing() -> None:
    """Nothing wished for is nothing granted."""
    assert () == ordered(())
