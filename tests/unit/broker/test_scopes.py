"""Scopes: their descriptions and their order."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import pytest

from upstash_helper.broker.identity import MEANING, SCOPES, ordered
from upstash_helper.protocol.literals import Scope


def test_every_scope_has_a_description_in_plain_words() -> None:
    """Users never have to decide about a raw scope name."""
    assert set(SCOPES) == set(get_args(Scope)) == set(MEANING)
    assert len(SCOPES) == len(set(MEANING.values()))
    assert not any(":" in text for text in MEANING.values())


@pytest.mark.parametrize("requested", [*permutations(SCOPES[:3]), (SCOPES[0], SCOPES[2], SCOPES[0], SCOPES[1])])
def test_scopes_are_shown_in_one_order_without_duplicates(requested: tuple[Scope, ...]) -> None:
    """An app cannot hide a dangerous scope in the middle of its list."""
    assert SCOPES[:3] == ordered(requested)


def test_no_scopes_are_ordered_as_no_scopes() -> None:
    """An empty request grants nothing."""
    assert () == ordered(())
