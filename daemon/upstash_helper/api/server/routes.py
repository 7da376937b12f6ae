"""How a route is declared: its handler, its policy, and what ``/openapi.json`` says of it, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    from upstash_helper.api.guard.policy import Policy
    from upstash_helper.broker.identity import Caller
    from upstash_helper.protocol import wire

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLER: web.RequestKey[Caller | None] = web.RequestKey("caller", object)  # type: ignore[arg-type]
"""Who calls, as the guard found out."""

ORIGIN: web.RequestKey[str | None] = web.RequestKey("origin", object)  # type: ignore[arg-type]
"""Of the page that asks, if a page does, also where our own page carries its request."""

TARGET: web.RequestKey[str] = web.RequestKey("target", str)
"""What the audit calls the thing that the request is about; by default what the path names."""

BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
"""The request's body, read within its limits, where the route takes one."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A query or header parameter, for the description."""

    name: str
    where: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    policy: Policy
    summary: str
    operation_id: str
    body: type[wire.RequestBody] | None = None
    answers: Mapping[int, object]
    """By status: the type of the answer, a content type where it is no JSON, or None where it has no body."""
    problems: tuple[int, ...] = ()
    """Statuses of problems beyond those that any route of its policy may give."""
    parameters: tuple[Parameter, ...] = ()


def caller_of(request: web.Request) -> Caller:
    """Return who calls a route that asks for a token."""
    caller = request[CALLER]
    if caller is None:
        message = "a route that asks for a token has a caller"
        raise RuntimeError(message)
    return caller
