"""
Route declarations: a handler, who may call it, and its OpenAPI description, in one place.

The guard enforces ``Policy``; ``openapi`` renders the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from upstash_helper.api.server.body import BODY_LIMIT
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.protocol.literals import Audience, Scope

if TYPE_CHECKING:
    from upstash_helper.broker.identity import Caller

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

Access = Literal[
    "open",  # anyone, including a page of a foreign origin: the answer is a constant that such a page cannot read
    "page",  # one of the owner's pages or its files, at their own origin: for that origin, or a typed address
    "landing",  # a page for a typed address or a top-level navigation from any site, at every address of ours
    "own_page",  # the owner's pages only
    "form",  # a form of one of our pages, at the address at which it was shown; other programs may have used it
    "program",  # a program of this user that is no browser, or a typed address; no page reads the answer
    "pairing",  # any app that could be granted access; the handler checks the pairing's poll secret
    "token",  # a token with the scope
    "owner",  # the user's own tools only
]

Body = Literal[
    "none",
    "json",
    "optional",  # JSON, or no body
    "form",  # application/x-www-form-urlencoded, which a browser can post across sites: only with "form" or "program"
    "any",  # any content type, streamed by the handler; requiring a token header already rules out simple requests
]


class Order(enum.Enum):
    """In which order a route that changes something acts and writes that down. Each such route declares it."""

    RECORD_FIRST = "record_first"
    """
    For what gives rights, discloses a secret, or changes something at Upstash: it is recorded, then done. If it cannot
    be recorded, it is not done.
    """
    ACT_FIRST = "act_first"
    """
    For what takes rights away, ends something, or lets the owner in: it is done at once, then recorded. A full,
    read-only, or locked disk does not prevent it, and the response says if it is not written yet (``recorded``).
    """
    BY_HANDLER = "by_handler"
    """
    For a route whose body names the action: only its handler knows what to record. It does so as for ``RECORD_FIRST``,
    under the action's name.
    """


RECORD_FIRST: Final = Order.RECORD_FIRST
ACT_FIRST: Final = Order.ACT_FIRST
BY_HANDLER: Final = Order.BY_HANDLER


class Policy(msgspec.Struct, frozen=True):
    """What a route requires of its caller. The daemon does not start with a route that has none."""

    access: Access
    scope: Scope | None = None
    """None: any token is accepted."""
    body: Body = "none"
    basic: bool = False
    """Whether HTTP Basic is accepted with the app's token as the password, for existing Upstash clients."""
    readable: bool = False
    """Whether a page may read the response although its origin does not (or no longer) have access."""
    embeddable: bool = False
    """Whether any page may load it, such as an image. For a constant that shows no more than that we can be reached."""
    audit: str | None = None
    """The action's name in the audit log. Required for every route that changes state, except ``BY_HANDLER``."""
    order: Order | None = None
    """Required for every route that changes state."""
    audience: Audience = "api"
    """Whose tokens are accepted, if the route requires one."""
    body_limit: int = BODY_LIMIT
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A query or header parameter, for the OpenAPI document."""

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
    body: type[msgspec.Struct] | None = None
    answers: Mapping[int, object]
    """By status: the response type, a content type if it is not JSON, or None if there is no body."""
    problems: tuple[int, ...] = ()
    """Problem statuses beyond those that every route with this policy may return."""
    parameters: tuple[Parameter, ...] = ()
    types: Callable[[], Mapping[str, Any]] | None = None
    """
    Returns ``body`` and ``answers`` for the OpenAPI document, for a route whose types are imported late.
    """


CALLER: web.RequestKey[Caller | None] = web.RequestKey("caller", object)  # type: ignore[arg-type]
"""The caller, as authenticated by the guard; None if the route requires no token."""

ORIGIN: web.RequestKey[str | None] = web.RequestKey("origin", object)  # type: ignore[arg-type]
"""The origin of the requesting page, also if the bridge page forwards its request. None if there is none."""

ON_OWN_PAGES: web.RequestKey[bool] = web.RequestKey("on_own_pages", bool)
"""Whether the request was sent to the origin of the owner's pages, and not to an address that others share."""

FORWARDED_FROM: web.RequestKey[str] = web.RequestKey("forwarded_from", str)
"""The loopback host with another port to which a browser has sent the OAuth redirect; empty if it was ours."""

VIA_BRIDGE: web.RequestKey[bool] = web.RequestKey("via_bridge", bool)
"""Whether the bridge page forwarded the request."""

TARGET: web.RequestKey[str] = web.RequestKey("target", str)
"""What the audit log records as the object of the request; by default the path's variable parts."""

BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
"""The request's body, read within its limits, unless the route streams it."""


def flag_of(request: web.Request, name: str, *, default: bool = False) -> bool:
    """
    Return a boolean query parameter; ``default`` if it is absent.

    Raises:
        InvalidRequest: If it is anything but ``true`` or ``false``, once.
    """
    values = request.query.getall(name, ["true" if default else "false"])
    if values not in (["true"], ["false"]):
        raise InvalidRequest(f"{name} must be true or false.")
    return values == ["true"]


def caller_of(request: web.Request) -> Caller:
    """Return the caller of a route that requires a token."""
    caller = request[CALLER]
    if caller is None:
        message = "a route that requires a token has a caller"
        raise RuntimeError(message)
    return caller
