"""The schemas of the tools: what clients of the protocol require of them, and what the handlers' types accept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.api.mcp.schemas import schema
from upstash_helper.api.mcp.tools import all_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING: Any = None
"""In place of the broker, which is not used to describe tools."""
TOOLS = all_tools(
    databases=NOTHING,
    create=NOTHING,
    credentials=NOTHING,
    run=NOTHING,
    resources=NOTHING,
    audit=NOTHING,
    has_access=NOTHING,
    background=NOTHING,
)

every_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


class Item(msgspec.Struct, kw_only=True):
    """Not for clients."""

    title: str
    kind: Literal["a", "b"] = "a"


class Root(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Not for clients."""

    items: Annotated[tuple[Item, ...], Meta(description="Some.", max_length=2)]
    first: Item | None = None
    limit: Annotated[int | UnsetType, Meta(description="How many.")] = UNSET


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a JSON document."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def test_a_type_becomes_one_object_without_references() -> None:
    """
    Nested types are written out, without the names and docstrings of their classes. A property called title stays.
    """
    item = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"], "default": "a"}},
        "required": ["title"],
    }

    assert {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": item, "maxItems": 2, "description": "Some."},
            "first": {"anyOf": [item, {"type": "null"}], "default": None},
            "limit": {"type": "integer", "description": "How many."},
        },
        "required": ["items"],
        "additionalProperties": False,
    } == schema(Root)


@every_tool
def test_arguments_are_an_object_that_allows_nothing_unknown(tool: Any) -> None:
    """
    Clients validate arguments against it, and a misspelled name is an error.
    """
    found = json.loads(json.dumps(schema(tool.arguments)))

    assert ("object", False) == (found["type"], found["additionalProperties"])
    assert not [it for it in objects(found) if "$ref" in it or "$defs" in it]
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no_such_argument": 1}, tool.arguments)


@every_tool
def test_results_are_an_object(tool: Any) -> None:
    """
    The protocol requires that of structured results.
    """
    found = json.loads(json.dumps(schema(tool.result)))

    assert "object" == found["type"]
    assert not [it for it in objects(found) if "$ref" in it or "$defs" in it]


@every_tool
def test_each_tool_is_described(tool: Any) -> None:
    """
    A model chooses by the description; a user sees the title. Hints do not contradict each other.
    """
    hints = tool.annotations

    assert tool.description.endswith(".")
    assert hints.title
    assert not (hints.read_only_hint and hints.destructive_hint)


def test_names_are_unique_and_can_be_used_by_every_client() -> None:
    """
    The strictest clients allow letters, digits, and underscores, and 64 characters with their own prefix.
    """
    names = [tool.name for tool in TOOLS]

    assert len(names) == len(set(names))
    assert all(name.isascii() and name.replace("_", "").isalnum() and len(name) <= 48 for name in names)


def test_the_list_of_all_tools_is_short() -> None:
    """
    Models read it in every conversation.
    """
    listed = [
        (tool.name, tool.description, schema(tool.arguments), tool.result and schema(tool.result))
        for tool in TOOLS
        if tool.listed
    ]

    assert len(json.dumps(listed)) < 36_000


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "destructive",
            # What Upstash's documentation of its hosted server calls destructive, and what deletes something.
            (
                "redis_rename_database redis_set_eviction redis_set_auto_upgrade index_update redis_delete_database"
                " redis_reset_password redis_restore_backup redis_delete_backup redis_run_command index_delete"
            ),
        ),
        ("write", "redis_create_database redis_create_backup index_create"),
        ("read", "redis_list_databases redis_get_database redis_get_stats redis_list_backups index_get"),
    ],
)
def test_annotations_follow_the_definitions_of_the_hosted_server(kind: str, names: str) -> None:
    """
    What only adds something is a write; what can delete or overwrite something that exists is destructive.
    """
    tools = {tool.name: tool.annotations for tool in TOOLS}
    hints = {"read": (True, False), "write": (False, False), "destructive": (False, True)}[kind]

    assert dict.fromkeys(names.split(), hints) == {
        name: (tools[name].read_only_hint, tools[name].destructive_hint) for name in names.split()
    }
