"""The database and the user of a request. Its REST token determines both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.dialect.tokens import parse_token
from upstash_helper.sandbox.redis.servers import NO_ADDRESS, Role, User

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
    user: Role | User
    source: bytes = NO_ADDRESS
    """The client's address, for MONITOR."""

    @property
    def user_name(self) -> bytes:
        """The name of the user."""
        return (self.user.name if isinstance(self.user, User) else self.user).encode()


def authenticate(request: web.Request, databases: Databases) -> Access:
    """
    Return what the request's token gives access to.

    As at Upstash, ``_token`` in the query takes precedence, and the header may omit ``Bearer``.

    Raises:
        RequestError: With 401, if the token is missing or invalid. The server checks those of database users later.
    """
    token = request.query.get("_token") or _token_of(request.headers.get("Authorization", ""))
    source = _address_of(request)
    if token and (found := databases.by_token(token)):
        return Access(*found, source)
    if token and (access := _of_own_user(token, databases, source)):
        return access
    raise unauthorized()


def unauthorized() -> RequestError:
    """Return the error for a token that is missing or invalid."""
    return RequestError(401, UNAUTHORIZED)


def _of_own_user(token: str, databases: Databases, source: bytes) -> Access | None:
    """Return the access of a user created with ACL, if the token has the form of such a user's."""
    content = parse_token(token.encode("utf-8", "surrogatepass"))
    database = databases.by_id(content.database_id) if content else None
    if content is None or database is None:
        return None
    try:
        name = content.user.decode()
    except UnicodeDecodeError:
        return None
    # The server decides whether the token is valid when it is used to connect.
    return Access(database, User(name, token), source)


def _address_of(request: web.Request) -> bytes:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not peer:
        return NO_ADDRESS
    host, port = peer[:2]
    return f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()


def _token_of(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else authorization.strip()
