"""Which database a request is for, and as which user: both follow from its REST token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.servers import Role

if TYPE_CHECKING:
    from aiohttp import web

# Upstash's text, which clients match.
UNAUTHORIZED = (
    "WRONGPASS invalid or missing auth token. "
    "See https://docs.upstash.com/redis/troubleshooting/http_unauthorized for details."
)


class Access(msgspec.Struct, frozen=True):
    """A database, and the user that a request acts as."""

    database: Database
    role: Role


def authenticate(request: web.Request, databases: Databases) -> Access:
    """
    Return what the request's token gives access to.

    As at Upstash, ``_token`` in the query takes precedence, and the header may omit ``Bearer``.

    Raises:
        RequestError: With 401, if the token is missing or invalid.
    """
    token = request.query.get("_token") or _token_of(request.headers.get("Authorization", ""))
    found = databases.by_token(token) if token else None
    if found is None:
        raise RequestError(401, UNAUTHORIZED)
    return Access(*found)


def _token_of(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else authorization.strip()
