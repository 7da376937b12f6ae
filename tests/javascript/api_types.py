"""
Write the types of the API's JSON for the dashboard's JavaScript, from an OpenAPI document.

    curl -s http://localhost:3000/openapi.json | .venv/bin/python -m tests.javascript.api_types

Descriptions are left out, so that rewording the API's documentation changes no types.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TYPES = Path(__file__).parents[2] / "daemon/upstash_helper/web/dashboard/openapi.d.ts"
"""The file that is committed. It is not served, and not in the wheel."""

_HEADER = """\
// Generated from /openapi.json by tests/javascript/api_types.py; do not edit. CONTRIBUTING.md says how.
"""
_PRIMITIVES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def declarations(document: dict[str, Any]) -> str:
    """Return an interface for each schema of an OpenAPI document."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    return "\n".join((_HEADER, *(_interface(name, schemas[name]) for name in sorted(schemas))))


def _interface(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    lines = [
        f"  {key}{'' if key in required else '?'}: {_type(value)};\n" for key, value in schema["properties"].items()
    ]
    return f"export interface {name} {{\n{''.join(lines)}}}\n"


def _type(schema: dict[str, Any]) -> str:
    """Return the TypeScript type of a JSON Schema, as far as our wire types use it."""
    match schema:
        case {"$ref": reference}:
            found = str(reference).rpartition("/")[2]
        case {"anyOf": choices}:
            found = " | ".join(_type(choice) for choice in choices)
        case {"enum": values}:
            found = " | ".join(json.dumps(value) for value in values)
        case {"type": "array", "items": items}:
            found = f"Array<{_type(items)}>"
        case {"type": "object", "additionalProperties": values}:
            found = f"Record<string, {_type(values)}>"
        case {"type": str() as kind} if kind in _PRIMITIVES:
            found = _PRIMITIVES[kind]
        case _:
            raise ValueError(f"no TypeScript type for {schema}")
    return found


if __name__ == "__main__":
    TYPES.write_text(declarations(json.load(sys.stdin)), encoding="utf-8")
