"""``/openapi.json``, generated from the route declarations and the wire types that validate requests."""

from __future__ import annotations

import dataclasses
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from upstash_helper.protocol import wire
from upstash_helper.protocol.discovery import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.api.server.routes import Route

_REF: Final = "#/components/schemas/{name}"
# The characters of every id and file name. Any other value in a path is not found.
_ID: Final = "^[A-Za-z0-9._~-]+$"
_PATH: Final = "^[!-~]+$"

# Returned by the guard and the limits before a handler is called. Any request can come with a body that is too large,
# too slow, or encoded, even if the route has none.
_ANY: Final = (400, 403, 405, 408, 413, 415, 421, 500, 503)
_WITH_TOKEN: Final = (401, 429)
# The audit entry comes first, and the disk may be full.
_WITH_AUDIT: Final = (507,)
_WITH_BODY: Final = (422,)
_WITH_RATE: Final = (429,)

_FORM: Final = "application/x-www-form-urlencoded"

_ABOUT: Final = (
    "The loopback API of upstash-helper, a daemon on the user's own machine that keeps the user's Upstash credentials. "
    "Errors are RFC 9457 problem details with a stable `code`; `detail` explains what to do."
)


def describe(routes: Iterable[Route], *, port: int) -> bytes:
    """
    Return the OpenAPI 3.1 description of ``routes`` as JSON.

    The required ``info.version`` is that of the API, not of the program: anyone can read it, and the program's version
    would tell them which faults to try.
    """
    routes = [dataclasses.replace(it, **it.types()) if it.types else it for it in routes]
    types: list[Any] = [wire.Problem]
    for route in routes:
        types += [answer for answer in route.answers.values() if isinstance(answer, type)]
        types += [route.body] if route.body else []
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)

    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(_template(route.path), {})[route.method.lower()] = _operation(route)

    return msgspec.json.format(
        msgspec.json.encode(
            {
                "openapi": "3.1.0",
                "info": {"title": "upstash-helper", "version": str(API_VERSION), "description": _ABOUT},
                "servers": [{"url": f"http://localhost:{port}"}],
                "paths": paths,
                "components": {
                    "schemas": schemas,
                    "securitySchemes": {
                        "token": {"type": "http", "scheme": "bearer", "description": "An app's own token."},
                        "basic": {
                            "type": "http",
                            "scheme": "basic",
                            "description": "An app's own token as the password; any user name.",
                        },
                        "owner": {
                            "type": "http",
                            "scheme": "bearer",
                            "description": "The token of the user's own tools.",
                        },
                    },
                },
            }
        ),
        indent=1,
    )


def statuses(route: Route) -> set[int]:
    """Return every status that ``route`` may respond with."""
    found = {*route.answers, *route.problems, *_ANY}
    if route.policy.access in ("token", "owner"):
        found |= {*_WITH_TOKEN}
    if route.policy.audit is not None or route.policy.access == "pairing":
        found |= {*_WITH_AUDIT}
    if route.policy.access in ("pairing", "program"):
        found |= {*_WITH_RATE}
    if route.method not in ("GET", "HEAD"):
        found |= {*_WITH_BODY}
    return found


def _template(path: str) -> str:
    """Remove the patterns of a path's parameters, which OpenAPI does not have: ``{path:.+}`` becomes ``{path}``."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def _operation(route: Route) -> dict[str, object]:
    operation: dict[str, object] = {"operationId": route.operation_id, "summary": route.summary}
    in_path = re.findall(r"\{(\w+)(:?)[^}]*\}", route.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": _PATH if free else _ID}}
        for name, free in in_path
    ]
    parameters += [
        {
            "name": it.name,
            "in": it.where,
            "required": it.required,
            "description": it.description,
            "schema": dict(it.schema),
        }
        for it in route.parameters
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = {"$ref": _REF.format(name=route.body.__name__)}
        operation["requestBody"] = {
            "required": route.policy.body != "optional",
            "content": {_FORM if route.policy.body == "form" else "application/json": {"schema": schema}},
        }
    operation["responses"] = _responses(route)
    if route.policy.access in ("token", "owner"):
        schemes = ["owner"] if route.policy.access == "owner" else ["token", "owner"]
        schemes += ["basic"] if route.policy.basic else []
        operation["security"] = [{scheme: []} for scheme in schemes]
        if route.policy.scope is not None:
            operation["x-scope"] = route.policy.scope
    return operation


def _responses(route: Route) -> dict[str, dict[str, Any]]:
    found = {str(status): _response(route, status) for status in sorted(statuses(route))}
    if route.policy.body != "any":
        return found
    # Upstash's own responses are passed through: any status, and a body of any type.
    for response in found.values():
        response["content"] = {**response.get("content", {}), "*/*": {}}
    return {**found, "default": {"description": "Upstash's own response", "content": {"*/*": {}}}}


def _response(route: Route, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    answer = route.answers.get(status, wire.Problem)
    if isinstance(answer, type) and status >= 400 and answer is not wire.Problem:
        # OAuth's own errors; those of the guard are problems.
        response["content"] = {
            kind: {"schema": {"$ref": _REF.format(name=one.__name__)}}
            for kind, one in (("application/json", answer), ("application/problem+json", wire.Problem))
        }
    elif isinstance(answer, type):
        kind = "application/problem+json" if answer is wire.Problem else "application/json"
        response["content"] = {kind: {"schema": {"$ref": _REF.format(name=answer.__name__)}}}
    elif isinstance(answer, str):
        response["content"] = {answer: {}}
    return response
