"""Documents of the Developer API, as the tools read them: whatever Upstash sends, and nothing that is not shown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from upstash_helper.api.mcp.tools import documents, index_results
from upstash_helper.broker.errors import UpstreamUnavailable


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (2.5, 2.5), ("7", 7), ("", 0), (None, 0), ("x", 0), (True, 1), ("inf", 0), ("nan", 0), (-1, -1)],
)
def test_a_number_is_read_in_each_form_that_upstash_sends(value: documents.Text, expected: float) -> None:
    """
    Some of its numbers are texts, and some are missing.
    """
    assert expected == documents.number(value)


@pytest.mark.parametrize(("value", "expected"), [("a", "a"), (None, ""), (3, "3"), (False, "False")])
def test_a_text_is_read_in_each_form_that_upstash_sends(value: documents.Text, expected: str) -> None:
    """
    A field that is missing is empty.
    """
    assert expected == documents.text(value)


def test_fields_that_are_not_shown_are_dropped() -> None:
    """
    An index without most of its fields is still shown, and a field that nobody knows is not.
    """
    document = b'{"id": "i", "name": null, "max_vector_count": null, "token": "t", "signing_key": "secret"}'

    shown = index_results.details(documents.read(document, index_results.Document), hidden=True)

    assert ("i", "", 0) == (shown.id, shown.name, shown.max_vector_count)
    assert not {b"secret", b'"t"'} & {part for part in (b"secret", b'"t"') if part in msgspec.json.encode(shown)}


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b'{"id": 1}', b'{"id": "\xff"}', b"[" * 100_000])
def test_an_unreadable_document_is_upstashs_failure(document: bytes) -> None:
    """
    The error does not quote it.
    """
    with pytest.raises(UpstreamUnavailable, match="unreadable response"):
        documents.read(document, index_results.Document)


@pytest.mark.parametrize(("document", "count"), [(b"null", 0), (b" null\n", 0), (b"[]", 0), (b'[{"id": "a"}]', 1)])
def test_a_list_without_entries_can_be_null(document: bytes, count: int) -> None:
    """
    Programs in Go send that for an empty list.
    """
    found: list[Any] = documents.read_list(document, index_results.Document)

    assert count == len(found)
