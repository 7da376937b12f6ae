"""JSON Schemas of the tools' arguments and results, from their msgspec types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_REFERENCE: Final = "#/$defs/"
_NAMES: Final = frozenset({"title", "description"})
"""The members for a class's name and docstring."""


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """
    Return the schema of a type: an object, without references, since not every client resolves them.

    Names and docstrings of classes are left out, since models read the schemas of all tools. A field has its own
    description where its name is not enough.
    """
    (root,), components = msgspec.json.schema_components((kind,), ref_template=f"{_REFERENCE}{{name}}")

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            named = {
                key: item for key, item in components[reference.removeprefix(_REFERENCE)].items() if key not in _NAMES
            }
            value = {**named, **value}
            del value["$ref"]
        if "enum" in value:
            value = {"type": "string", **value}  # some clients require it
        return {
            key: _each(item, resolved) if key == "properties" else resolved(item)
            for key, item in value.items()
            if key != "title"
        }

    found: dict[str, Any] = resolved(root)
    return found


def _each(properties: dict[str, Any], resolved: Any) -> dict[str, Any]:
    """Resolve the properties of an object, one of which may have the name of a keyword."""
    return {name: resolved(value) for name, value in properties.items()}
