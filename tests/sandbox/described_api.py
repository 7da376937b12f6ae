"""An OpenAPI document of the Developer API, built from the table in ``developer_api.txt``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("developer_api.txt")
TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
METHODS = "GET|POST|PATCH|DELETE"

Schema = dict[str, Any]


def document() -> dict[str, Any]:
    """Return the document."""
    text = re.sub(r"^#.*\n", "", TABLE.read_text("utf-8"), flags=re.MULTILINE)
    paths: dict[str, Any] = {}
    for method, path, body, response in re.findall(
        rf"^({METHODS}) +(\S+)(?: (.+?))? -> (.+)$", text, flags=re.MULTILINE
    ):
        plain, _, query = path.partition("?")
        paths.setdefault(plain, {})[method.lower()] = _operation(method, plain, query, body, response)
    return {
        "openapi": "3.0.3",
        "info": {"title": "Developer API", "version": "1"},
        "paths": paths,
        "components": {"schemas": _schemas(text), "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    }


def _operation(method: str, path: str, query: str, body: str, response: str) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    in_query = [
        {"name": name, "in": "query", "schema": _schema(kind, responses=False)}
        for name, _, kind in (part.partition("=") for part in query.split("&") if part)
    ]
    operation: dict[str, Any] = {
        "operationId": f"{method} {path}",
        "parameters": in_path + in_query,
        "responses": {
            "200": _json("Done", _schema(response, responses=True)),
            "4XX": _json("Refused", {"$ref": "#/components/schemas/Error"}),
        },
        # The only operation that anyone can use.
        "security": [] if path == "/v2/qstash/ipv4" else [{"basic": []}],
    }
    if body:
        operation["requestBody"] = {"required": True, **_json("", _schema(body, responses=False))}
    return operation


def _schemas(text: str) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "minLength": 1}}}
    }
    for name, choices in re.findall(r"^(\w+) = (.+)$", text, flags=re.MULTILINE):
        schemas[name] = _schema(choices, responses=False)
    requested = set(re.findall(r" ([A-Z]\w+) ->", text))
    for name, fields in re.findall(r"^(\w+):\n((?:  .+\n)+)", text, flags=re.MULTILINE):
        inside = ", ".join(line.strip() for line in fields.splitlines())
        schemas[name] = _schema("{" + inside + "}", responses=name not in requested)
    return schemas


def _schema(kind: str, *, responses: bool) -> Schema:
    """
    Return the schema of a type in the table's notation.

    Args:
        kind: The type.
        responses: Whether it is in responses, where a field is required unless it is marked as optional.
    """
    if kind.startswith("["):
        return {"type": "array", "items": _schema(kind[1:-1], responses=responses)}
    if kind.startswith("{"):
        fields = [re.fullmatch(r"(\w+)([*?]?): (.+)", part) for part in _parts(kind[1:-1])]
        found = [field.groups() for field in fields if field]
        assert len(found) == len(fields), kind
        required = [name for name, mark, _ in found if (mark != "?" if responses else mark == "*")]
        properties = {name: _schema(inner, responses=responses) for name, _, inner in found}
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}
    if limits := re.fullmatch(r"integer\((\d+)\.\.(\d+)\)", kind):
        return {"type": "integer", "minimum": int(limits[1]), "maximum": int(limits[2])}
    if kind in TYPES:
        return {"type": TYPES[kind]}
    if kind[0].isupper() and "|" not in kind:
        return {"$ref": f"#/components/schemas/{kind}"}
    return {"type": "string", "enum": kind.split("|")}


def _parts(fields: str) -> list[str]:
    """Return the parts between the commas that are not inside of braces."""
    return re.findall(r"(?:[^,{}]|{[^}]*})+", fields.replace(", ", ","))


def _json(description: str, schema: Schema) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}}
    return {"description": description, **content} if description else content
